"""Is a time that an access point writes read as what it means: with a zone, without one, and without a year?"""

import time
from datetime import UTC, datetime, timezone
from datetime import timedelta as td

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.event_logs import chirp, execute, look_at_one, submit, terminated
from muster.site.adapters.htcondor.event_log.times import LogClock

NEW_YEAR = datetime(2027, 1, 1, 0, 0, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-11-22 03:08:10", 1795316890.0),
        ("2026-11-22T03:08:10", 1795316890.0),
        ("2026-11-22 03:08:10.500", 1795316890.5),
        ("2026-11-22 03:08:10Z", 1795316890.0),
        ("2026-11-22 03:08:10.250Z", 1795316890.25),
        ("2026-11-22 05:08:10+02:00", 1795316890.0),
        ("2026-11-21 22:08:10.500-0500", 1795316890.5),
        ("11/22 03:08:10", 1795316890.0),
        ("11/22 03:08:10.125", 1795316890.125),
    ],
)
def test_a_time_of_each_form_is_read(stamp: str, expected: float) -> None:
    clock = LogClock(UTC, now=lambda: NEW_YEAR)

    assert clock.read(submit(at=stamp)) == expected
    assert clock.read(submit(at=stamp)) == expected


@pytest.mark.parametrize(
    "stamp", ["2026-11-22 03:08:10.500", "2026-11-22 03:08:10Z", "11/22 03:08:10", "2026-11-22T03:08:10"]
)
def test_events_with_a_time_of_any_form_are_counted(stamp: str) -> None:
    log = submit(at=stamp) + execute(at=stamp) + chirp("LastUpdatedTimestamp", '"1"', at=stamp)
    log += chirp("Status", '"Done"', at=stamp) + terminated(at=stamp)

    assert (look_at_one(log).status, look_at_one(log).pilot, look_at_one(log).n_starts) == ("COMPLETED", "Done", 1)


def test_forms_may_be_mixed_in_one_log() -> None:
    log = submit(at="11/22 03:08:10") + execute(at="2026-11-22 03:08:10.500Z") + chirp("Status", '"Done"')

    assert look_at_one(log + chirp("Status", '"Tasking"', at="2026-11-22 03:08:10.500")).pilot == "Tasking"


def test_a_time_without_a_zone_is_that_of_the_access_point() -> None:
    assert LogClock(timezone(td(hours=-6))).read(submit(at="2026-11-21 21:08:10")) == 1795316890.0
    assert LogClock(timezone(td(hours=-6))).read(submit(at="2026-11-22 03:08:10Z")) == 1795316890.0


def test_a_time_without_a_zone_is_that_of_this_machine_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert LogClock().read(submit(at="2026-11-22 12:08:10")) == 1795316890.0
        assert LogClock(now=lambda: NEW_YEAR).read(submit(at="11/22 12:08:10")) == 1795316890.0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("12/31 23:59:59", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("01/01 00:00:10", datetime(2027, 1, 1, 0, 0, 10, tzinfo=UTC)),
        ("01/01 12:00:00", datetime(2027, 1, 1, 12, 0, tzinfo=UTC)),  # the access point's clock is ahead
        ("01/03 00:00:00", datetime(2026, 1, 3, tzinfo=UTC)),
        ("02/29 00:00:00", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_year_is_the_latest_one_that_is_not_to_come(stamp: str, expected: datetime) -> None:
    assert LogClock(UTC, now=lambda: NEW_YEAR).read(submit(at=stamp)) == expected.timestamp()


@pytest.mark.parametrize(
    "stamp", ["2026-13-22 03:08:10", "2026-11-22 25:08:10", "02/30 00:00:00", "yesterday at noon", ""]
)
def test_what_is_no_time_is_refused(stamp: str) -> None:
    with pytest.raises(ValueError):
        LogClock(UTC).read(submit(at=stamp))


@given(st.integers(946_684_800_000, 4_102_444_800_000), st.sampled_from(["", "Z", "+05:30", "-0800"]))
def test_a_time_that_was_written_is_read_back(milliseconds: int, zone: str) -> None:
    offset = {"": td(0), "Z": td(0), "+05:30": td(hours=5, minutes=30), "-0800": td(hours=-8)}[zone]
    moment = datetime.fromtimestamp(milliseconds // 1000, timezone(offset))
    stamp = f"{moment:%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03}{zone}"

    assert LogClock(UTC).read(submit(at=stamp)) == pytest.approx(milliseconds / 1000, abs=1e-6)
