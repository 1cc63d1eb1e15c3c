"""What does each event say, beyond its number? Its body, as far as it is counted.

Each function reads one kind: (tally, index of the proc, event without the first digit of its number, where its text begins, clock).
It raises ValueError where the event is not what its number says.

Source: `condor_event.cpp`, the `formatBody` of each event; htcondor-notes.md 7 and 8.
"""

import re
from collections.abc import Callable, Mapping

from muster.site.adapters.htcondor.event_log import chirps
from muster.site.adapters.htcondor.event_log.cluster_tally import ClusterTally, exit_of
from muster.site.adapters.htcondor.event_log.events import ENDED, PHRASES, RUNNING, TRANSFERS, Number, code_of
from muster.site.adapters.htcondor.event_log.times import LogClock

Take = Callable[[ClusterTally, int, bytes, int, LogClock], None]

_TASKFORCE_NOTE = re.compile(rb'\n\s*(?:MusterTaskforce|EWMSTaskforceUUID)\s*=\s*"?([^\s"]+)')
_EXIT = re.compile(
    rb"\n\s*\((?:1\) Normal termination \(return value (-?\d{1,10})|0\) Abnormal termination \(signal (\d{1,4}))\)"
)
_HOLD = re.compile(rb"\n\s*Code (-?\d{1,9}) Subcode (-?\d{1,9})(?=\n|$)")
_SLOT = re.compile(rb'\n\s*SlotName: *"?([^"\s]+)')
_HOST = re.compile(rb"<[^>]*?\balias=([^&>\s]+)|<([^?>\s]+)|(\S+)")
_SITE = re.compile(rb'\n\s*\w*(?:Site|ResourceName)\w* *= *"([^"\n]+)"')
_COMPLETION = re.compile(rb"items?\.\s+(\w+)")
_STATUS, _ERROR = chirps.PREFIX + b"Status:", chirps.PREFIX + b"Error:"


def _check(event: bytes, at: int, number: Number) -> None:
    if not event.startswith(PHRASES[number], at):
        raise ValueError(f"not the text of event {number:d}")


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def name_taskforce(tally: ClusterTally, event: bytes) -> None:
    """Take the taskforce's uuid from an event's notes or attributes, if it is there."""
    match = _TASKFORCE_NOTE.search(event)
    if match:
        tally.taskforce = _text(match[1])


def take_submit(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.SUBMIT)
    if tally.taskforce is None:
        name_taskforce(tally, event)
    tally.move(index, Number.SUBMIT)


def take_execute(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, Number.EXECUTE)
    started = max(0, int(clock.read(event))) % 2**32
    state = tally.states[index]
    if state in ENDED or (state == RUNNING and tally.started[index] == started):  # the same one again
        return
    tally.start(index, started, read_place(event, at + len(PHRASES[Number.EXECUTE])))


def read_place(event: bytes, at: int) -> str:
    """Machine and site of an EXECUTE, a line each; `at`: where its host stands."""
    slot = _SLOT.search(event, at)
    if slot:
        machine = slot[1].rpartition(b"@")[2]
    else:
        host = _HOST.match(event, at)
        machine = host[1] or host[2] or host[3] if host else b""
    site = _SITE.search(event, at) if b"Site" in event or b"ResourceName" in event else None
    return f"{_text(machine)}\n{_text(site[1] if site else machine)}"


def take_evicted(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.EVICTED)
    tally.evict(index, Number.EVICTED, "evictions")


def take_shadow_exception(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.SHADOW_EXCEPTION)
    tally.evict(index, Number.SHADOW_EXCEPTION, "shadow exceptions")


def take_reconnect_failed(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.RECONNECT_FAILED)
    tally.reconnect(index)
    tally.evict(index, Number.RECONNECT_FAILED, "reconnect failures")


def take_terminated(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, Number.TERMINATED)
    match = _EXIT.search(event, at)
    code, signal = (match[1], match[2]) if match else (None, None)
    how = exit_of(int(code) if code else None, int(signal) if signal else None)
    tally.end(index, Number.TERMINATED, ended_at=clock.read(event), how=how)


def take_skipped(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, Number.DATAFLOW_SKIPPED)
    tally.end(index, Number.DATAFLOW_SKIPPED, ended_at=clock.read(event), how=exit_of(None, None))


def take_aborted(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, Number.ABORTED)
    tally.end(index, Number.ABORTED, ended_at=clock.read(event), how=exit_of(None, None))


def take_suspended(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.SUSPENDED)
    tally.numbers["suspensions"] += tally.move(index, Number.SUSPENDED)


def take_unsuspended(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.UNSUSPENDED)
    tally.move(index, Number.UNSUSPENDED)


def take_held(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.HELD)
    codes = _HOLD.findall(event, at)  # the last line that looks so: the reason, before it, may be anything
    reason = (int(codes[-1][0]), int(codes[-1][1])) if codes else (0, 0)
    if tally.hold(index, reason):
        tally.hold_numbers[reason] += 1
        tally.excuse_start(index)


def take_released(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.RELEASED)
    tally.move(index, Number.RELEASED)


def take_remote_error(tally: ClusterTally, index: int, _event: bytes, _at: int, _: LogClock) -> None:
    tally.move(index, Number.REMOTE_ERROR)
    if tally.states[index] not in ENDED:
        tally.fail_start(index)


def take_disconnected(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.DISCONNECTED)
    tally.move(index, Number.DISCONNECTED)
    if tally.states[index] not in ENDED:
        tally.disconnect(index)


def take_reconnected(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.RECONNECTED)
    tally.move(index, Number.RECONNECTED)
    tally.reconnect(index)


def take_transfer(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    phase = TRANSFERS.get(event[at : at + 28])
    if phase is None:
        raise ValueError("not the text of a file transfer")
    if not tally.states[index]:
        tally.move(index, Number.FILE_TRANSFER)
    if tally.states[index] not in ENDED:
        tally.transfer(index, phase)


def take_status(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    if not event.startswith(_STATUS, at):
        raise ValueError("not a chirp")
    if not tally.states[index]:
        tally.move(index, Number.GENERIC)
    value = event[at + len(_STATUS) :]
    slot = tally.word_slots.get(value)
    if slot is None:
        tally.say(index, value, chirps.parse_value(value.partition(b"\n")[0]))
    else:
        tally.set_word(index, slot)


def take_error(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    if not event.startswith(_ERROR, at):
        raise ValueError("not a chirp")
    if not tally.states[index]:
        tally.move(index, Number.GENERIC)
    tally.fail(index, chirps.parse_value(event[at + len(_ERROR) :].partition(b"\n")[0]))


def reject(tally: ClusterTally, _index: int, _event: bytes, _at: int, _: LogClock) -> None:
    raise ValueError(f"an event of cluster {tally.cluster} names a proc")


def take_cluster_submit(tally: ClusterTally, _index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.CLUSTER_SUBMIT)
    tally.is_factory = True
    if tally.taskforce is None:
        name_taskforce(tally, event)


def take_cluster_remove(tally: ClusterTally, _index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, Number.CLUSTER_REMOVE)
    match = _COMPLETION.search(event, at)
    tally.is_factory = True
    tally.removed_at = clock.read(event)
    tally.completion = _text(match[1]) if match else None


def take_factory_paused(tally: ClusterTally, _index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.FACTORY_PAUSED)
    tally.is_factory = True
    tally.paused = _text(event[at:].partition(b"\n")[2].strip())


def take_factory_resumed(tally: ClusterTally, _index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, Number.FACTORY_RESUMED)
    tally.is_factory = True
    tally.paused = None


OF_CLUSTERS: Mapping[bytes, Take] = {
    code_of(number): take
    for number, take in (
        (Number.CLUSTER_SUBMIT, take_cluster_submit),
        (Number.CLUSTER_REMOVE, take_cluster_remove),
        (Number.FACTORY_PAUSED, take_factory_paused),
        (Number.FACTORY_RESUMED, take_factory_resumed),
    )
}
OF_PROCS: Mapping[bytes, Take] = dict.fromkeys(OF_CLUSTERS, reject) | {
    code_of(number): take
    for number, take in (
        (Number.SUBMIT, take_submit),
        (Number.EXECUTE, take_execute),
        (Number.EVICTED, take_evicted),
        (Number.TERMINATED, take_terminated),
        (Number.SHADOW_EXCEPTION, take_shadow_exception),
        (Number.ABORTED, take_aborted),
        (Number.SUSPENDED, take_suspended),
        (Number.UNSUSPENDED, take_unsuspended),
        (Number.HELD, take_held),
        (Number.RELEASED, take_released),
        (Number.REMOTE_ERROR, take_remote_error),
        (Number.DISCONNECTED, take_disconnected),
        (Number.RECONNECTED, take_reconnected),
        (Number.RECONNECT_FAILED, take_reconnect_failed),
        (Number.FILE_TRANSFER, take_transfer),
        (Number.DATAFLOW_SKIPPED, take_skipped),
    )
}
OF_CHIRPS: Mapping[bytes, Take] = {b"Status": take_status, b"Error:": take_error}
"""By the six bytes behind `chirps.PREFIX`. Other chirps say nothing that is counted."""
