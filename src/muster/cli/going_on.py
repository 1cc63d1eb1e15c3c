"""What is published where publishing broke off, and which command goes on?"""

from collections.abc import Iterator
from enum import Enum, auto

from muster.client.conversations import Publication
from muster.client.refusals import ServiceFailedError
from muster.domain.errors import NoRoomError, UnavailableError


class Again(Enum):
    """How a command that publishes is repeated so that nothing is published twice."""

    AS_IT_IS = auto()  # its events have keys, or its calls have
    WITH_KEY = auto()  # its files are cut into the same calls again
    FROM_THERE = auto()  # a pipe was cut as its lines came


def render_break_off(
    publication: Publication, error: BaseException, *, total: int | None, again: Again
) -> Iterator[str]:
    """What is in, what is not, and how to go on; nothing where the first call was refused, which says it all."""
    is_unknown = isinstance(error, UnavailableError | ServiceFailedError) or not isinstance(error, Exception)
    if not publication.events and not is_unknown:
        return
    is_unknown = is_unknown and publication.under_way > 0 and not isinstance(error, NoRoomError)
    count = f"{publication.events}{'' if total is None else f' of {total}'} events are published"
    if publication.events == total:
        yield f"all {total} events are published; the queue may not be closed yet"
    elif is_unknown:
        yield f"{count}; of the next {publication.under_way} all or none, and none of those behind them"
    else:
        yield f"{count}, and none of the others"
    match again:
        case Again.AS_IT_IS:
            yield "the same command again publishes only what is missing"
        case Again.WITH_KEY:
            key = f"--idempotency-key {publication.idempotency_key}"
            yield f"the same command with {key} publishes only what is missing"
        case Again.FROM_THERE:
            doubt = f", or from {publication.events + publication.under_way + 1}" if is_unknown else ""
            which = "; `muster queue list` shows how many there are" if is_unknown else ""
            yield f"go on with the same input from line {publication.events + 1} on{doubt} (blank lines do not count){which}"
