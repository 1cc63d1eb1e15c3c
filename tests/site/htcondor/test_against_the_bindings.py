"""Does every event of a real log read as HTCondor's own reader reads it?"""

import time
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from harness.event_logs import SAMPLE, SAMPLE_PATH, ProcReport, event, look_at_procs, submit
from muster.site.adapters.htcondor.event_log.chirps import parse_value
from muster.site.adapters.htcondor.event_log.hold_reasons import render_status
from muster.site.adapters.htcondor.event_log.log_tally import LogTally
from muster.site.adapters.htcondor.event_log.split import TERMINATOR, split_block
from muster.site.adapters.htcondor.event_log.times import LogClock

htcondor2 = pytest.importorskip("htcondor2", reason="HTCondor's bindings are not installed")


def _theirs(path: Path) -> list[Any]:
    return list(htcondor2.JobEventLog(str(path)).events(stop_after=0))


@pytest.fixture
def in_chicago(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/Chicago")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_numbers_ids_and_times_are_theirs() -> None:
    theirs = _theirs(SAMPLE_PATH)
    block, clock = split_block(SAMPLE), LogClock()

    ours = [
        (int(code[:3]), *map(int, one[5 : one.find(b")")].split(b".")[:2]), int(clock.read(one)))
        for code, one in zip(block.codes, block.events, strict=True)
    ]

    assert ours == [(int(one["EventTypeNumber"]), one.cluster, one.proc, one.timestamp) for one in theirs]


@pytest.mark.usefixtures("in_chicago")
@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-22 03:08:10",
        "2026-07-22 03:08:10",
        "2026-11-22 03:08:10.092",
        "2026-11-22 03:08:10Z",
        "2026-07-22 03:08:10.092Z",
        "2026-11-22T03:08:10",
        "2026-03-08 01:59:59",
        "2026-03-08 03:00:01",
        "2026-11-01 00:59:59",
        "2026-11-01 02:00:01",
    ],
)
def test_a_time_of_any_form_is_theirs_in_another_zone(stamp: str, tmp_path: Path) -> None:
    log = submit(at=stamp)
    (tmp_path / "log").write_bytes(log)

    assert int(LogClock().read(log)) == _theirs(tmp_path / "log")[0].timestamp


@pytest.mark.parametrize(
    "value", ['"Done"', '"a \\"b\\" c"', '"one\\ntwo\\tthree"', '"\\\\n"', '"\\303\\251"', '""', '"it\\\'s"', '"\\\\"']
)
def test_a_quoted_value_is_unquoted_as_they_do(value: str) -> None:
    classad2 = pytest.importorskip("classad2", reason="HTCondor's bindings are not installed")

    assert parse_value(value.encode()) == classad2.unquote(value)


class Model:
    """Each proc from what their reader gives, the plain way."""

    def __init__(self) -> None:
        self.procs: dict[tuple[int, int], dict[str, Any]] = {}
        self.evicted: set[tuple[int, int]] = set()  # last, and nothing else since

    def take(self, one: Any) -> dict[str, Any] | None:
        number = int(one["EventTypeNumber"])
        if one.proc < 0 or number in {6, 28}:
            return None
        fresh = {"state": 1, "starts": 0, "evictions": 0} | dict.fromkeys(
            ("hold", "pilot", "error", "exit_code", "signal")
        )
        proc = self.procs.setdefault((one.cluster, one.proc), fresh)
        if number in {4, 7, 24} and proc["state"] != 5:
            proc["state"] = 1
        match number:
            case 1:
                proc.update(state=2, pilot=None, error=None, starts=proc["starts"] + 1)
            case 4:
                proc["evictions"] += 1
            case 5:
                proc.update(state=4, exit_code=one.get("ReturnValue"), signal=one.get("TerminatedBySignal"))
            case 8:
                name, _, value = one["Info"].partition(":")
                key = {"HTChirpEWMSPilotStatus": "pilot", "HTChirpEWMSPilotError": "error"}.get(name)
                if key:
                    proc[key] = parse_value(value.encode())
            case 9:
                proc["state"] = 3
                proc["evictions"] -= (one.cluster, one.proc) in self.evicted  # by its removal
            case 10 | 11:
                proc["state"] = 7 if number == 10 else 2
            case 12:
                proc.update(state=5, hold=(one["HoldReasonCode"], one["HoldReasonSubCode"]))
            case 13:
                proc["state"] = 1
        (self.evicted.add if number == 4 else self.evicted.discard)((one.cluster, one.proc))
        return proc


def _compared(one: ProcReport) -> dict[str, Any]:
    return {
        "status": one.status,
        "pilot": one.pilot,
        "error": one.error,
        "exit_code": one.exit_code,
        "signal": one.signal,
        "starts": one.n_starts,
        "evictions": one.n_evictions,
    }


def test_after_each_event_its_proc_is_what_their_events_make_of_it() -> None:
    ours, model = LogTally(LogClock(UTC)), Model()
    compared = 0

    for piece, one in zip(SAMPLE.split(TERMINATOR)[:-1], _theirs(SAMPLE_PATH), strict=True):
        ours.take_block(split_block(piece + TERMINATOR), 0)
        expected = model.take(one)
        if expected is not None:
            found = next(proc for proc in look_at_procs(ours.clusters[one.cluster]) if proc.proc == one.proc)
            status = render_status(expected["state"], expected["hold"])
            rest = {key: value for key, value in expected.items() if key not in {"state", "hold"}}
            assert _compared(found) == {"status": status, **rest}, piece
            compared += 1

    assert compared == 1326


def test_an_event_of_a_number_that_nobody_knows_stops_neither_reader(tmp_path: Path) -> None:
    log = SAMPLE + event(99, "Something new\n\tbelongs to it") + SAMPLE
    (tmp_path / "log").write_bytes(log)
    ours = split_block(log)

    assert len(_theirs(tmp_path / "log")) == 2 * 1858 + 1
    assert (len(ours.events), dict(ours.unknown), ours.damage) == (2 * 1858, {99: 1}, [])
