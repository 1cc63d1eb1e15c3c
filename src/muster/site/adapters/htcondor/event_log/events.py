"""Which events are there, how does each begin, and which state does a proc take by which?

One table says it all, because the order of events is not guaranteed and any event may come twice: EXECUTE may be missing before
TERMINATED, a hold may be written before the eviction that belongs to it. What the table does not name leaves the state as it is.

Source: HTCondor manual, "Job Event Log Codes"; HTCondor's writers, `condor_event.cpp`; htcondor-notes.md 7.
"""

from collections.abc import Mapping
from enum import IntEnum


class Number(IntEnum):
    """The events that mean something here, and those that are met all the time."""

    SUBMIT = 0
    EXECUTE = 1
    EXECUTABLE_ERROR = 2
    CHECKPOINTED = 3
    EVICTED = 4
    TERMINATED = 5
    IMAGE_SIZE = 6
    SHADOW_EXCEPTION = 7
    GENERIC = 8
    ABORTED = 9
    SUSPENDED = 10
    UNSUSPENDED = 11
    HELD = 12
    RELEASED = 13
    REMOTE_ERROR = 21
    DISCONNECTED = 22
    RECONNECTED = 23
    RECONNECT_FAILED = 24
    AD_INFORMATION = 28
    ATTRIBUTE_UPDATE = 33
    CLUSTER_SUBMIT = 35
    CLUSTER_REMOVE = 36
    FACTORY_PAUSED = 37
    FACTORY_RESUMED = 38
    FILE_TRANSFER = 40
    DATAFLOW_SKIPPED = 46


# The states are HTCondor's `JobStatus`, which has no number for a proc that was not heard of.
UNSEEN, IDLE, RUNNING, REMOVED, COMPLETED, HELD, SUSPENDED = 0, 1, 2, 3, 4, 5, 7
WORDS: Mapping[int, str] = {
    IDLE: "IDLE",
    RUNNING: "RUNNING",
    REMOVED: "REMOVED",
    COMPLETED: "COMPLETED",
    HELD: "HELD",
    SUSPENDED: "SUSPENDED",
}
ENDED = frozenset({REMOVED, COMPLETED})
ON_A_MACHINE = frozenset({RUNNING, SUSPENDED})

_LEFT = (UNSEEN, IDLE, RUNNING, HELD, SUSPENDED)
_OFF_ITS_MACHINE = {UNSEEN: IDLE, RUNNING: IDLE, SUSPENDED: IDLE}

NEXT: Mapping[Number, Mapping[int, int]] = {
    # A second SUBMIT, or one that comes late, says nothing new.
    Number.SUBMIT: {UNSEEN: IDLE},
    # After a hold: the release is what is missing, for a held proc starts nowhere.
    Number.EXECUTE: dict.fromkeys(_LEFT, RUNNING),
    # A held proc stays held: schedd and shadow both write, and the hold may come before the eviction that it causes.
    Number.EVICTED: _OFF_ITS_MACHINE,
    Number.SHADOW_EXCEPTION: _OFF_ITS_MACHINE,
    Number.RECONNECT_FAILED: _OFF_ITS_MACHINE,
    # The first end counts. What follows is tidying up: whoever has ended neither runs nor ends again.
    Number.TERMINATED: dict.fromkeys(_LEFT, COMPLETED),
    Number.DATAFLOW_SKIPPED: dict.fromkeys(_LEFT, COMPLETED),
    Number.ABORTED: dict.fromkeys(_LEFT, REMOVED),
    # Of these only a machine can tell: where the proc seemed idle, its EXECUTE is missing.
    Number.SUSPENDED: {UNSEEN: SUSPENDED, IDLE: SUSPENDED, RUNNING: SUSPENDED},
    Number.UNSUSPENDED: {UNSEEN: RUNNING, IDLE: RUNNING, SUSPENDED: RUNNING},
    Number.DISCONNECTED: {UNSEEN: RUNNING, IDLE: RUNNING},
    Number.RECONNECTED: {UNSEEN: RUNNING, IDLE: RUNNING},
    Number.HELD: dict.fromkeys(_LEFT, HELD),
    # A release that comes twice finds the proc idle, or running again already.
    Number.RELEASED: {UNSEEN: IDLE, HELD: IDLE},
    # By these a proc is heard of whose earlier events are in another file. A chirp of a proc that waits is a late one.
    Number.GENERIC: {UNSEEN: RUNNING},
    Number.FILE_TRANSFER: {UNSEEN: IDLE},
    Number.REMOTE_ERROR: {UNSEEN: IDLE},
}

PHRASES: Mapping[Number, bytes] = {
    Number.SUBMIT: b"Job submitted from host: ",
    Number.EXECUTE: b"Job executing on host: ",
    Number.EVICTED: b"Job was evicted.",
    Number.TERMINATED: b"Job terminated.",
    Number.SHADOW_EXCEPTION: b"Shadow exception!",
    Number.ABORTED: b"Job was aborted",
    Number.SUSPENDED: b"Job was suspended.",
    Number.UNSUSPENDED: b"Job was unsuspended.",
    Number.HELD: b"Job was held.",
    Number.RELEASED: b"Job was released.",
    Number.DISCONNECTED: b"Job disconnected",
    Number.RECONNECTED: b"Job reconnected",
    Number.RECONNECT_FAILED: b"Job reconnection failed",
    Number.CLUSTER_SUBMIT: b"Cluster submitted from host: ",
    Number.CLUSTER_REMOVE: b"Cluster removed",
    Number.FACTORY_PAUSED: b"Job Materialization Paused",
    Number.FACTORY_RESUMED: b"Job Materialization Resumed",
    Number.DATAFLOW_SKIPPED: b"Dataflow job was skipped.",
}
"""How the text behind the time begins. An event whose number was damaged does not pass for another one."""

TRANSFERS: Mapping[bytes, int] = {
    b"Entered queue to transfer in": 1,
    b"Started transferring input f": 2,
    b"Finished transferring input ": 0,
    b"Entered queue to transfer ou": 4,
    b"Started transferring output ": 5,
    b"Finished transferring output": 0,
}
"""The text of a file transfer, cut to 28 bytes, to its phase: queued and started for input, then for output; 0: no files are moved."""
PHASES = ("", "input queued", "input started", "", "output queued", "output started", "")
"""Of those without a name there is none any more; checkpoints of before may count procs there."""


def code_of(number: int) -> bytes:
    """How an event begins: `b"005 ("` for TERMINATED."""
    return b"%03d (" % number


NUMBER_MAX = 47
CODES = frozenset(code_of(number) for number in range(NUMBER_MAX + 1))
"""Of every event that a job may have; those that are not in `Number` are counted and passed over."""
