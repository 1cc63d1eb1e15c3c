"""Was this request made before? The same key with the same body gets the answer that it was given.

Rule 3 of docs/design: (owner, route, key, hash of the body) → stored answer, in the same transaction as what it did.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from muster.domain.errors import Finding, InvalidError, RejectedError
from muster.server.ports.store import Store, StoredAnswer, Transaction

KEY_CHARS_MAX = 255
"""An Idempotency-Key: 1 to 255 printable ASCII characters."""


class IdempotencyMismatchError(RejectedError):
    """The key was used before, with another body."""


@dataclass(frozen=True)
class RequestKey:
    """What makes two requests the same one.

    Args:
        owner: name of the caller.
        route: method and path.
        key: the client's Idempotency-Key.
        body_hash: SHA-256 of the body as it was sent, in hex.
    """

    owner: str
    route: str
    key: str
    body_hash: str


def make_request_key(key: str | None, *, owner: str, route: str, body: bytes) -> RequestKey | None:
    """The key of a request; None for one that was sent without. Raises InvalidError for a key that cannot be one."""
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        raise InvalidError([Finding("Idempotency-Key", f"must be 1 to {KEY_CHARS_MAX} printable ASCII characters")])
    # Written so that a row can hold it, whatever stood in the path.
    return RequestKey(owner, route.encode("unicode_escape").decode(), key, hashlib.sha256(body).hexdigest())


def answer_once(
    tx: Transaction, request: RequestKey | None, *, status: int, work: Callable[[], bytes]
) -> tuple[StoredAnswer, bool]:
    """Do the work and keep its answer, or give the answer kept.

    Args:
        request: None: there is no key, so the work is done.
        status: HTTP status that goes with the answer.
        work: what to do in this transaction; gives the answer's body.

    Returns:
        The answer, and whether the work was done now.

    Raises:
        IdempotencyMismatchError: the key belongs to a request with another body.
    """
    if request is None:
        return StoredAnswer(status, work(), ""), True
    earlier = _find_earlier(tx, request)
    if earlier is not None:
        return earlier, False
    answer = StoredAnswer(status, work(), request.body_hash)
    tx.answers.insert(request.owner, request.route, request.key, answer, now=tx.now())
    return answer, True


async def find_answer(store: Store, request: RequestKey | None) -> StoredAnswer | None:
    """The answer that a request was given before, for one that would be refused now: the settings may have changed since.

    Raises IdempotencyMismatchError as `answer_once`.
    """
    return None if request is None else await store.write(lambda tx: _find_earlier(tx, request))


def _find_earlier(tx: Transaction, request: RequestKey) -> StoredAnswer | None:
    earlier = tx.answers.claim(request.owner, request.route, request.key, body_hash=request.body_hash, now=tx.now())
    if earlier is not None and earlier.body_hash != request.body_hash:
        raise IdempotencyMismatchError(f"Idempotency-Key {request.key!r} was used before with another body")
    return earlier
