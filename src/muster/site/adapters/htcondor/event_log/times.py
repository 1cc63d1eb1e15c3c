"""When did an event happen? Its stamp, in any of the forms that an access point may write, as seconds since the epoch.

`2026-11-22 03:08:10`, with `.092` and `Z` where `DEFAULT_USERLOG_FORMAT_OPTIONS` asks for them, or the old `11/22 03:08:10`, which
has neither year nor zone. Without a zone it is the local time of the access point.

Source: HTCondor manual, `DEFAULT_USERLOG_FORMAT_OPTIONS`; `ULogEvent::formatHeader`.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo

STAMP = rb"(?:\d{4}-\d\d-\d\d[ T]|\d\d/\d\d )\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
"""A stamp as a regular expression, for whoever looks for the beginning of an event."""

_PARTS = re.compile(
    rb"(?:(\d{4})-(\d\d)-(\d\d)[ T]|(\d\d)/(\d\d) )(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:(Z)|([+-])(\d\d):?(\d\d))?(?![^ \n])"
)
_AHEAD_S = 86400.0
"""How far ahead of us the clock of the access point may be, before a stamp without a year is one of last year."""
_KEPT = 4096
_STAMP_BYTES = len("2026-11-22 03:08:10 ")
"""Stamps of this form are remembered, with the space behind, so that none with a fraction or a zone is taken for one."""


class LogClock:
    """Reads stamps.

    Args:
        zone: of stamps that name none; None is that of this machine.
        now: seconds since the epoch, for stamps without a year: it is the latest year that does not put them into the future.
    """

    def __init__(self, zone: tzinfo | None = None, *, now: Callable[[], float] = time.time) -> None:
        self._zone = zone
        self._now = now
        self._known: dict[bytes, float] = {}

    def read(self, event: bytes, text_at: int = 0) -> float:
        """The time of an event, given from its header on; `text_at`: where the text behind it begins, if that is known.

        Raises ValueError where there is none.
        """
        stamp = event[text_at - _STAMP_BYTES : text_at]
        if stamp in self._known:
            return self._known[stamp]
        at = event.find(b") ", 4) + 2
        match = _PARTS.match(event, at)
        if match is None or at < 2:
            raise ValueError("no time")
        seconds = self._convert(match)
        if match[1] and match.end() == at + _STAMP_BYTES - 1:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[event[at : at + _STAMP_BYTES]] = seconds
        return seconds

    def _convert(self, match: re.Match[bytes]) -> float:
        year, month, day, old_month, old_day, hour, minute, second, fraction, is_utc, sign, hours, minutes = (
            match.groups()
        )
        zone = self._zone
        if is_utc:
            zone = UTC
        elif sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(-offset if sign == b"-" else offset)
        more = int(second) + (float(b"0." + fraction) if fraction else 0.0)
        clock = (int(hour), int(minute))
        if year:
            return _seconds(int(year), int(month), int(day), clock, zone) + more
        return self._guess_year(int(old_month), int(old_day), clock, zone) + more

    def _guess_year(self, month: int, day: int, clock: tuple[int, int], zone: tzinfo | None) -> float:
        latest = self._now() + _AHEAD_S
        this_year = datetime.fromtimestamp(latest, zone or UTC).year + 1
        for year in range(this_year, this_year - 10, -1):  # 29 February may be up to eight years back
            try:
                seconds = _seconds(year, month, day, clock, zone)
            except ValueError:
                continue
            if seconds <= latest:
                return seconds
        raise ValueError("no such day")


def _seconds(year: int, month: int, day: int, clock: tuple[int, int], zone: tzinfo | None) -> float:
    return datetime(year, month, day, *clock, tzinfo=zone).timestamp()
