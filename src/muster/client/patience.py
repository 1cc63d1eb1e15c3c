"""When is a call tried again, and when is it given up? Decided without a clock of its own.

Every call of the service may be made twice: reads change nothing, creations carry a key, steps a number, and actions and
reports change nothing the second time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from muster.client.refusals import RETRIED, read_refusal
from muster.domain.backoff import next_delay
from muster.domain.errors import ForbiddenError, MusterError, UnauthenticatedError, UnavailableError

FIRST_DELAY_S = 0.1
DELAY_S_MAX = 5.0
WONDER_S = 2.0


@dataclass(frozen=True)
class Patience:
    """How long a service that does not answer is tried again.

    Args:
        first_s: before it has answered anything: somebody may be waiting for the news that nothing runs there.
        later_s: after it has answered once: it is being restarted.
        tell: called once a call, with the reason, when a person may begin to wonder; None for nobody.
    """

    first_s: float = 30.0
    later_s: float = 60.0
    tell: Callable[[str], None] | None = None


class Tries:
    """The tries of one call.

    Args:
        url: the address, for messages.
        subject: the call, for messages.
        limit_s: seconds after which no further try is begun.
        now: the clock's reading at the start; later readings are handed to each method.
        tell: as of `Patience`.
        token_from: where the caller's token is from, for messages; empty: that is not told.
    """

    def __init__(
        self,
        url: str,
        subject: str,
        *,
        limit_s: float,
        now: float,
        tell: Callable[[str], None] | None = None,
        token_from: str = "",
    ) -> None:
        self._url, self._subject, self._token_from = url, subject, token_from
        self._end = now + limit_s
        self._wonder_at = now + WONDER_S
        self._tell = tell
        self._failures = 0

    def judge_silence(self, reason: str, *, now: float, jitter: float, is_there: bool = False) -> float:
        """No answer came. Returns the seconds to wait before the next try; raises UnavailableError when there is none.

        Args:
            is_there: something would have answered, so that nobody is to start it.
        """
        remedy = "is `muster up` running there? Start it, or name another address (--url or MUSTER_URL; of `muster site`: MUSTER_SITE_URL)"
        error = UnavailableError(
            f"{self._url} is not trusted: {reason}" if is_there else f"{self._url} does not answer ({reason}): {remedy}"
        )
        return self._next_delay(error, now=now, jitter=jitter)

    def judge_sign_in(self, error: UnavailableError, *, now: float, jitter: float) -> float:
        """There was no token to send with. Returns the seconds to wait before the next try; raises the error when there is none."""
        return self._next_delay(error, now=now, jitter=jitter)

    def judge_refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, *, now: float, jitter: float
    ) -> float:
        """An answer that is no success came. Returns the seconds to wait before the next try; raises what the answer means."""
        error = read_refusal(status, body, subject=f"{self._subject} at {self._url}")
        if self._token_from and isinstance(error, UnauthenticatedError | ForbiddenError):
            error = type(error)(f"{error} (the token is from {self._token_from})")
        if status not in RETRIED:
            raise error
        return self._next_delay(error, now=now, jitter=jitter, at_least_s=_read_retry_after(headers))

    def _next_delay(self, error: MusterError, *, now: float, jitter: float, at_least_s: float = 0.0) -> float:
        self._failures += 1
        delay_s = next_delay(self._failures, first_s=FIRST_DELAY_S, delay_s_max=DELAY_S_MAX, jitter=jitter)
        delay_s = max(delay_s, at_least_s)
        if now + delay_s > self._end:
            raise error
        if self._tell is not None and now >= self._wonder_at:
            self._tell(f"{error}; trying again for {self._end - now:.0f} s")
            self._tell = None
        return delay_s


def _read_retry_after(headers: Mapping[str, str]) -> float:
    """Seconds asked for by `Retry-After`; 0 without, and for its form with a date, which the backoff serves well enough."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
