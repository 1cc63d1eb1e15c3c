"""Where in what we keep do the fields of the older version's objects come from? It must agree with `views_v0`."""

from collections.abc import Mapping
from typing import Final

from muster.server.doors.ewms.sources import DIRECTIVE_SOURCES, TASKFORCE_SOURCES, WORKFLOW_SOURCES
from muster.server.ports.finder import Computed, Constant, Source

WORKFLOW_SOURCES_V0: Final[Mapping[str, Source]] = {
    **WORKFLOW_SOURCES,
    "mq_activated_ts": Computed(),
    "_mq_activation_retry_at_ts": Constant(None),
}
_NEWER = frozenset({"task_env", "init_image", "init_args", "init_env"})
DIRECTIVE_SOURCES_V0: Final[Mapping[str, Source]] = {
    name: source for name, source in DIRECTIVE_SOURCES.items() if name not in _NEWER
}
TASKFORCE_SOURCES_V0: Final[Mapping[str, Source]] = {
    **{name: source for name, source in TASKFORCE_SOURCES.items() if name != "priority"},
    **dict.fromkeys(("collector", "worker_config", "pilot_config", "phase_change_log"), Computed()),
}
