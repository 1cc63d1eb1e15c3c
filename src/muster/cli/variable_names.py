"""Which of the `MUSTER_…` variables that are set does nobody read? Mistyped ones, mostly: the nearest name is suggested.

Asked where a part starts. The worker does not ask: it lives among variables that others set, at places that nobody can mend.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from muster.domain.errors import Finding
from muster.settings.parts import PARTS
from muster.settings.variables import SETTINGS_FILE, Variable, Variables, list_names
from muster.worker import settings as worker

PREFIX = "MUSTER_"


@dataclass(frozen=True)
class CommandVariable:
    """A variable that commands look for in the environment alone."""

    name: str
    sentence: str
    default: str = ""

    @property
    def setting(self) -> str:
        """As settings are named."""
        return self.name.removeprefix(PREFIX).lower()


COMMAND_VARIABLES = (
    CommandVariable(
        "MUSTER_URL",
        "Address of the service, where neither `--url` nor `--dir` names one. Without it: that of the `muster up` of the folder.",
    ),
    CommandVariable("MUSTER_TOKEN", "Your token, where neither `--token-file` nor the folder of `--dir` has one."),
    CommandVariable(
        "MUSTER_TOKEN_FILE",
        "File that holds your token, where neither `--token-file`, the folder of `--dir` nor MUSTER_TOKEN has one. Without it: a "
        "provider's token by the settings below, or that of the `muster up` of the folder. `muster serve` has a setting of this name.",
    ),
    CommandVariable("MUSTER_DIR", "Folder of `muster up`, where `--dir` names none.", ".muster"),
    CommandVariable(
        SETTINGS_FILE, "File with settings, of `muster serve` and `muster site` as well; its lines are `NAME=value`."
    ),
)
OF_COMMANDS = frozenset(one.name for one in COMMAND_VARIABLES)
OF_TASKS = frozenset(
    {*worker.VARIABLES, *worker.RESERVED, "MUSTER_EVENT_KIND", "MUSTER_EVENT_QUEUE", "MUSTER_RESULT_BYTES_MAX"}
)
"""What a worker and its tasks have: a part may be started by one of them."""
FAMILIES = ("MUSTER_TASK_", "MUSTER_TEST_", "MUSTER_BENCH_")
"""Variables of tasks, tests and benchmarks are theirs to name."""

_OF_KUBERNETES = re.compile(r"MUSTER_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP|SCTP)\w*)")
KUBERNETES = "Kubernetes sets it for a Service called `muster`: say `enableServiceLinks: false` in the pod's spec"


def list_unread(variables: Variables) -> Iterator[Finding]:
    """Every variable of ours that is set and that nobody reads."""
    of_settings = list_setting_names()
    known = of_settings | OF_COMMANDS | OF_TASKS
    for one in variables:
        if not one.name.startswith(PREFIX) or one.name in of_settings or one.name.startswith(FAMILIES):
            continue
        if one.file is not None and one.name in known:
            yield Finding(str(one), "is no setting, so the settings file cannot set it: set it in the environment")
        elif one.name not in known:
            yield Finding(str(one), _explain(one, known))


def list_setting_names() -> set[str]:
    """The names of ours that set something of a part."""
    return {
        name
        for settings in PARTS.values()
        for field in settings.model_fields
        for name in list_names(settings, field)
        if name.startswith(PREFIX)
    }


def _explain(variable: Variable, known: set[str]) -> str:
    if _OF_KUBERNETES.fullmatch(variable.name):
        return KUBERNETES
    # What all names begin with makes none of them more alike.
    near = get_close_matches(
        variable.name.removeprefix(PREFIX),
        [one.removeprefix(PREFIX) for one in known if not one.startswith(FAMILIES)],
        n=1,
    )
    if not near:
        return "is no variable that Muster knows (`muster settings` lists them): take it away"
    return f"is no variable that Muster knows; did you mean {PREFIX}{near[0]}?"
