"""By which keys are queue tokens verified? The current one, and each before it until its last token has expired (mqs.md 7.3).

A pair that turns up in the files is noted, told from then on, and stored by a daemon's pass, or by the transaction of the first token
that it signs. So whoever only asks for the keys makes nobody write.
"""

from collections.abc import Sequence
from functools import partial

from muster.domain.queue_token import PublicKey, limit_ttl
from muster.server.ports.mq import SigningKey
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts

TOPIC = "keys"
"""Rings when a pair was noted that is not stored."""


async def find_signing_key(parts: Parts) -> SigningKey | None:
    """The pair that signs now; None where there is none."""
    return None if parts.queue_keys is None else _note(parts, await parts.queue_keys.find_current())


async def store_noted_keys(parts: Parts) -> None:
    """A pass: read the files whatever they say of their times, and store what was noted."""
    if parts.queue_keys is None:
        return
    _note(parts, await parts.queue_keys.find_current(reads=True))
    book, ttl_s = parts.key_book, _find_ttl(parts)
    async with book.storing:
        while book.noted:
            await parts.store.write(partial(_make_current, key=book.noted[0], ttl_s=ttl_s))
            del book.noted[0]


async def list_published_keys(parts: Parts) -> Sequence[PublicKey]:
    """Every key that verifies a token which is good now. Where the database does not answer: those of the last time.

    Raises UnavailableError when there was none.
    """
    await find_signing_key(parts)
    book = parts.key_book
    stored = await book.read_together(lambda: parts.store.read(_list))
    return [*stored, *(key for key in dict.fromkeys(book.noted) if key not in stored)]


async def expire_keys(parts: Parts) -> int:
    """A pass; returns how many keys were deleted."""
    return await parts.store.write(lambda tx: tx.published_keys.delete_expired(now=tx.now()))


def _note(parts: Parts, key: SigningKey | None) -> SigningKey | None:
    book = parts.key_book
    if key is not None and key.public.kid != book.newest:
        book.newest = key.public.kid
        book.noted.append(key.public)
        parts.waking.wake(TOPIC)
    return key


def _find_ttl(parts: Parts) -> float:
    """Seconds that the tokens of these keys are good for; without a broker none are made, but they may have been."""
    return limit_ttl(parts.settings.broker_token_ttl_s) if parts.broker is None else parts.broker.ttl_s


def _make_current(tx: Transaction, *, key: PublicKey, ttl_s: float) -> None:
    tx.published_keys.make_current(key, now=tx.now(), ttl_s=ttl_s)


def _list(tx: Transaction) -> Sequence[PublicKey]:
    return tx.published_keys.list_published(now=tx.now())
