"""What does each event say, beyond its number? Its body, as far as it is counted.

Each function reads one kind: (tally, index of the proc, event, where its text begins, clock).
It raises ValueError where the event is not what its number says.

Source: `condor_event.cpp`, the `formatBody` of each event; htcondor-notes.md 7 and 8.
"""

import re
from collections.abc import Callable, Mapping

from muster.site.adapters.htcondor.event_log import chirps
from muster.site.adapters.htcondor.event_log.cluster_tally import PHASE_BITS, ClusterTally
from muster.site.adapters.htcondor.event_log.events import (
    CODES,
    COMPLETED,
    ENDED,
    PHRASES,
    REMOVED,
    RUNNING,
    TRANSFERS,
    Number,
    code_of,
)
from muster.site.adapters.htcondor.event_log.proc_entries import exit_of
from muster.site.adapters.htcondor.event_log.split import find_header
from muster.site.adapters.htcondor.event_log.times import LogClock

Take = Callable[[ClusterTally, int, bytes, int, LogClock], None]

_TASKFORCE_NOTE = re.compile(rb'\n\s*(?:MusterTaskforce|EWMSTaskforceUUID)\s*=\s*"?([\w.:-]+)(?=["\s]|$)')
_EXIT = re.compile(
    rb"\n\s*\((?:1\) Normal termination \(return value (-?\d{1,10})|0\) Abnormal termination \(signal (\d{1,4}))\)"
)
_HOLD = re.compile(rb"\n\s*Code (-?\d{1,9}) Subcode (-?\d{1,9})(?=\n|$)")
_SLOT = b"\n\tSlotName: "
_WELL = exit_of(0, None)
_EXECUTING, _ENDED_WELL = (
    PHRASES[Number.EXECUTE],
    PHRASES[Number.TERMINATED] + b"\n\t(1) Normal termination (return value 0)",
)
_HOST = re.compile(rb"<[^>]*?\balias=([^&>\s]+)|<([^?>\s]+)|(\S+)")
_SITE = re.compile(rb'\n\s*\w*Site\w* *= *"([^"\n]+)"')
_IMAGE_SIZE = b"Image size of job updated: "
_STATUS_BYTES = len(chirps.PREFIX) + len(b"Status:")
_STATUS, _ERROR = chirps.PREFIX + b"Status:", chirps.PREFIX + b"Error:"

# To get at a member of an enum takes as long as to read a whole event.
_SUBMIT = Number.SUBMIT
_EVICTED = Number.EVICTED
_TERMINATED = Number.TERMINATED
_SHADOW_EXCEPTION = Number.SHADOW_EXCEPTION
_GENERIC = Number.GENERIC
_ABORTED = Number.ABORTED
_SUSPENDED = Number.SUSPENDED
_UNSUSPENDED = Number.UNSUSPENDED
_HELD = Number.HELD
_RELEASED = Number.RELEASED
_REMOTE_ERROR = Number.REMOTE_ERROR
_DISCONNECTED = Number.DISCONNECTED
_RECONNECTED = Number.RECONNECTED
_RECONNECT_FAILED = Number.RECONNECT_FAILED
_CLUSTER_SUBMIT = Number.CLUSTER_SUBMIT
_CLUSTER_REMOVE = Number.CLUSTER_REMOVE
_FACTORY_PAUSED = Number.FACTORY_PAUSED
_FACTORY_RESUMED = Number.FACTORY_RESUMED
_FILE_TRANSFER = Number.FILE_TRANSFER
_DATAFLOW_SKIPPED = Number.DATAFLOW_SKIPPED


def _check(event: bytes, at: int, number: Number) -> None:
    if not event.startswith(PHRASES[number], at):
        raise ValueError(f"not the text of event {number:d}")


def _check_header(event: bytes, at: int) -> None:
    header = find_header(event)
    if header is None or header.end() != at:
        raise ValueError("not a text behind a time")


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def name_taskforce(tally: ClusterTally, event: bytes) -> None:
    """Take the taskforce's uuid from an event's notes or attributes, if it is there."""
    match = _TASKFORCE_NOTE.search(event)
    if match:
        tally.taskforce = _text(match[1])


def take_submit(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _SUBMIT)
    if tally.taskforce is None:
        name_taskforce(tally, event)
    tally.move(index, _SUBMIT)


def take_execute(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    if not event.startswith(_EXECUTING, at):
        raise ValueError("not the text of a start")
    started = int(clock.read(event, at)) & 0xFFFFFFFF
    state = tally.states[index]
    if state in ENDED or (state == RUNNING and tally.started[index] == started):  # the same one again
        return
    tally.start(index, started, read_place(event, at + len(_EXECUTING)))


def read_place(event: bytes, at: int) -> bytes:
    """Machine and site of an EXECUTE, a line each; `at`: where its host stands."""
    slot_at = event.find(_SLOT, at)
    if slot_at >= 0:
        at = slot_at + len(_SLOT)
        slot_end = event.find(b"\n", at)
        slot = event[at : slot_end if slot_end >= 0 else None]
        machine = slot[slot.rfind(b"@") + 1 :].strip(b'" ')
    else:
        host = _HOST.match(event, at)
        machine = host[1] or host[2] or host[3] if host else b""
    if event.find(b"Site", at) >= 0:
        site = _SITE.search(event, at)
        return machine + b"\n" + site[1] if site else machine
    return machine


def take_evicted(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, _EVICTED)
    evicted_at = int(clock.read(event, at))
    tally.evict(index, _EVICTED, "evictions")
    tally.note_eviction(index, evicted_at)


def take_shadow_exception(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _SHADOW_EXCEPTION)
    tally.evict(index, _SHADOW_EXCEPTION, "shadow exceptions")


def take_reconnect_failed(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _RECONNECT_FAILED)
    tally.reconnect(index)
    tally.evict(index, _RECONNECT_FAILED, "reconnect failures")


def take_terminated(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    how = _WELL
    if not event.startswith(_ENDED_WELL, at):
        _check(event, at, _TERMINATED)
        match = _EXIT.search(event, at)
        code, signal = (match[1], match[2]) if match else (None, None)
        how = exit_of(int(code) if code else None, int(signal) if signal else None)
    tally.end(index, _TERMINATED, ended_at=clock.read(event, at), how=how)


def take_skipped(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, _DATAFLOW_SKIPPED)
    tally.end(index, _DATAFLOW_SKIPPED, ended_at=clock.read(event, at), how=exit_of(None, None))


def take_aborted(tally: ClusterTally, index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, _ABORTED)
    ended_at = clock.read(event, at)
    tally.excuse_eviction(index, ended_at)
    tally.end(index, _ABORTED, ended_at=ended_at, how=exit_of(None, None))


def take_suspended(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _SUSPENDED)
    tally.numbers["suspensions"] += tally.move(index, _SUSPENDED)


def take_unsuspended(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _UNSUSPENDED)
    tally.move(index, _UNSUSPENDED)


def take_held(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _HELD)
    codes = _HOLD.findall(event, at)  # the last line that looks so: the reason, before it, may be anything
    reason = (int(codes[-1][0]), int(codes[-1][1])) if codes else (0, 0)
    if tally.hold(index, reason):
        tally.excuse_start(index)


def take_released(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _RELEASED)
    tally.move(index, _RELEASED)


def take_remote_error(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check_header(event, at)  # its text is of many kinds
    tally.move(index, _REMOTE_ERROR)
    if tally.states[index] not in ENDED:
        tally.fail_start(index)


def take_disconnected(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _DISCONNECTED)
    tally.move(index, _DISCONNECTED)
    if tally.states[index] not in ENDED:
        tally.disconnect(index)


def take_reconnected(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _RECONNECTED)
    tally.move(index, _RECONNECTED)
    tally.reconnect(index)


def take_transfer(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    phase = TRANSFERS.get(event[at : at + 28])
    if phase is None:
        raise ValueError("not the text of a file transfer")
    state = tally.states[index]
    if not state:
        tally.move(index, _FILE_TRANSFER)
    if state != REMOVED and state != COMPLETED:  # noqa: PLR1714 - twice as fast as to look into a set
        flags = tally.flags[index]
        tally.phases[flags & PHASE_BITS] -= 1
        tally.phases[phase] += 1
        tally.flags[index] = flags & ~PHASE_BITS | phase


def take_status(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    if not event.startswith(_STATUS, at):
        raise ValueError("not a chirp")
    state = tally.states[index]
    if not state:
        tally.move(index, _GENERIC)
        state = RUNNING
    value = event[at + _STATUS_BYTES :]
    slot = tally.word_slots.get(value)
    if slot is None:
        tally.say(index, value, chirps.parse_value(value.partition(b"\n")[0]))
        return
    old = tally.words[index]
    if slot != old and state != REMOVED and state != COMPLETED:  # noqa: PLR1714 - twice as fast as to look into a set
        counts = tally.counts  # as `set_word` does it: of eight events one comes here
        counts[state << 16 | old] -= 1
        key = state << 16 | slot
        counts[key] = counts.get(key, 0) + 1
        tally.words[index] = slot


def take_error(tally: ClusterTally, index: int, event: bytes, at: int, _: LogClock) -> None:
    if not event.startswith(_ERROR, at):
        raise ValueError("not a chirp")
    if not tally.states[index]:
        tally.move(index, _GENERIC)
    tally.fail(index, chirps.parse_value(event[at + len(_ERROR) :].partition(b"\n")[0]))


def pass_over(_tally: ClusterTally, _index: int, event: bytes, at: int, _: LogClock) -> None:
    """An event that shows no more than that its proc lives, if it is one."""
    if not event.startswith(_IMAGE_SIZE, at):
        _check_header(event, at)


def reject(tally: ClusterTally, _index: int, _event: bytes, _at: int, _: LogClock) -> None:
    raise ValueError(f"an event of cluster {tally.cluster} names a proc")


def take_cluster_submit(tally: ClusterTally, _index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _CLUSTER_SUBMIT)
    tally.is_factory = True
    if tally.taskforce is None:
        name_taskforce(tally, event)


def take_cluster_remove(tally: ClusterTally, _index: int, event: bytes, at: int, clock: LogClock) -> None:
    _check(event, at, _CLUSTER_REMOVE)
    tally.is_factory = True
    tally.removed_at = clock.read(event, at)


def take_factory_paused(tally: ClusterTally, _index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _FACTORY_PAUSED)
    tally.is_factory = True
    tally.paused = _text(event[at:].partition(b"\n")[2].strip())


def take_factory_resumed(tally: ClusterTally, _index: int, event: bytes, at: int, _: LogClock) -> None:
    _check(event, at, _FACTORY_RESUMED)
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
OF_PROCS: Mapping[bytes, Take] = (
    dict.fromkeys(CODES - {code_of(Number.AD_INFORMATION)}, pass_over)
    | dict.fromkeys(OF_CLUSTERS, reject)
    | {
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
)
OF_CHIRPS: Mapping[bytes, Take | None] = {
    b"EWMSPilotStatus": take_status,
    b"EWMSPilotError:": take_error,
    b"EWMSPilotErrorT": None,
    b"EWMSPilotLastUp": None,
    b"EWMSPilotStarte": None,
    b"EWMSPilotTasksT": None,
    b"EWMSPilotTasksF": None,
    b"EWMSPilotTasksS": None,
}
"""By 15 bytes of the text, from `CHIRP_AT` on; None: nothing that is counted."""
CHIRP_AT, CHIRP_END = 7, 22
