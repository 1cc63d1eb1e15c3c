"""What are things called? Identifiers of workflows, tasks, taskforces, queues and events.

Source: wms.md section 6 for the first four. Ids of events are ours: 63-bit integers that grow with time.
"""

import re
from dataclasses import dataclass, field

_PART = r"[0-9a-f]{8,}-[0-9a-f]{8}"
WORKFLOW_ID = re.compile(rf"WF-{_PART}")
TASK_ID = re.compile(rf"TK-{_PART}-[0-9a-f]{{8}}")
TASKFORCE_UUID = re.compile(rf"TF-{_PART}-[0-9a-f]{{8}}-[0-9a-f]{{8}}")
WORKER_ORDER_ID = re.compile(r"WO-[0-9a-f]{16}")
EVENT_ID = re.compile(r"EV-([0-9a-f]{16})")

EPOCH_MS = 1_577_836_800_000
"""2020-01-01T00:00:00Z, where event ids begin to count."""
NODE_BITS = 10
SERIAL_BITS = 12


def make_workflow_id(*, now_s: float, random: str) -> str:
    """Name a workflow. `random` is 8 lower-case hex digits."""
    return f"WF-{int(now_s):x}-{random}"


def make_task_id(workflow_id: str, *, random: str) -> str:
    """Name a task directive of a workflow: the parent's id is a part of it."""
    return f"TK-{workflow_id.removeprefix('WF-')}-{random}"


def make_taskforce_uuid(task_id: str, *, random: str) -> str:
    """Name a taskforce of a task: the parent's id is a part of it."""
    return f"TF-{task_id.removeprefix('TK-')}-{random}"


def make_queue_id(*, random: str) -> str:
    """Name a queue: `a` and 20 hex digits, as upstream's queue service does. `random` is those digits."""
    return f"a{random}"


def make_worker_order_id(*, random: str) -> str:
    """Name an order for single workers. `random` is 16 lower-case hex digits."""
    return f"WO-{random}"


def render_event_id(event: int) -> str:
    """Write an event id as people and programs see it, e.g. `EV-00c3a1b2c4d5e6f7`."""
    return f"EV-{event:016x}"


def parse_event_id(text: str) -> int | None:
    """Read an event id; None when the text is not one."""
    match = EVENT_ID.fullmatch(text)
    value = int(match[1], 16) if match else -1
    return value if 0 <= value < 1 << 63 else None


@dataclass
class EventIds:
    """A source of event ids that never repeats and never goes back, also when the clock does.

    An id is `milliseconds since EPOCH_MS | node (10 bits) | serial (12 bits)`. A millisecond that runs out of serials
    borrows the next one. Two sources with different nodes never make the same id; a source that replaces another with
    the same node is given that one's last id as `last`.
    """

    node: int = 0
    last: int = 0
    _tick: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.node < 1 << NODE_BITS:
            raise ValueError(f"node {self.node} is not in 0..{(1 << NODE_BITS) - 1}")
        # One counter that holds milliseconds and serial together: borrowing is then plain carrying.
        self._tick = ((self.last >> (NODE_BITS + SERIAL_BITS)) + 1) << SERIAL_BITS if self.last else 0

    def take(self, count: int, *, now_s: float) -> list[int]:
        """Give `count` new ids, ascending, all above every id given before."""
        first = max(self._tick, (int(now_s * 1000) - EPOCH_MS) << SERIAL_BITS)
        self._tick = first + count
        mask = (1 << SERIAL_BITS) - 1
        ids = [
            ((tick >> SERIAL_BITS) << (NODE_BITS + SERIAL_BITS)) | (self.node << SERIAL_BITS) | (tick & mask)
            for tick in range(first, first + count)
        ]
        if ids:
            self.last = ids[-1]
        return ids


def first_id_at(seconds: float) -> int:
    """The lowest event id of that time (seconds since the epoch): an event published earlier has a lower one, unless a clock was wrong."""
    return max(0, int(seconds * 1000) - EPOCH_MS) << (NODE_BITS + SERIAL_BITS)
