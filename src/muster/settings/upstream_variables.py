"""Which variables of the services that we replace are read, and as which setting? A row for each; one without effect says why.

Source: wms.md section 16, mqs.md section 9. To take another one in: a row. `muster.settings.variables` reads the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Alias:
    """A variable that means the same as a setting of the service.

    Args:
        setting: the field's name.
        read: their text as ours; one that cannot be read is left as it is, for the setting to refuse.
    """

    setting: str
    read: Callable[[str], str] = str.strip


@dataclass(frozen=True)
class Ignored:
    """A variable that has no effect here.

    Args:
        why: half a sentence.
        matters: would this value have had an effect there? Only then it is told.
    """

    why: str
    matters: Callable[[str], bool] = bool


def read_level(text: str) -> str:
    """A level of Python's logging, in any case, as one of our four."""
    level = text.strip().lower()
    return {"warn": "warning", "critical": "error", "fatal": "error"}.get(level, level)


def is_true(text: str) -> bool:
    """Yes, in the words that those services take for it."""
    return text.strip().lower() in {"y", "yes", "t", "true", "on", "1"}


_STATE = Ignored("state and queues are kept in the database that MUSTER_DATABASE_URL names, not in MongoDB")
_ONE_SERVICE = Ignored("workflows and queues are one service here, which calls no other one")
_BY_ITSELF = Ignored("this step is woken by what it waits for, at once, so there is no delay to set")
_LIBRARIES = Ignored("libraries are logged only where something is wrong, whatever MUSTER_LOG_LEVEL is")
_NEVER_USED = Ignored("it has no effect there either")

UPSTREAM_VARIABLES: Mapping[str, Alias | Ignored] = {
    "REST_HOST": Alias("host"),
    "REST_PORT": Alias("port"),
    "LOG_LEVEL": Alias("log_level", read_level),
    "TMS_ACTION_RETRIES": Alias("submit_failures_max"),
    "USER_QUERY_MAX_BYTES": Alias("query_bytes_max"),
    "CVMFS_PILOT_SINGULARITY_IMAGES_DIR": Alias("pilot_images_dir"),
    "AUTH_OPENID_URL": Alias("oidc_url"),
    "AUTH_AUDIENCE": Alias("oidc_audience"),
    "HERE_URL": Alias("public_url"),
    "BROKER_URL": Alias("broker_url"),
    "BROKER_TYPE": Alias("broker_type"),
    "BROKER_QUEUE_USERNAME": Alias("broker_user"),
    "BROKER_QUEUE_AUTH_PUBLIC_KEY_FILE": Alias("broker_public_key_file"),
    "BROKER_QUEUE_AUTH_PRIVATE_KEY_FILE": Alias("broker_private_key_file"),
    "BROKER_QUEUE_AUTH_TOKEN_EXP": Alias("broker_token_ttl_s"),
    "BROKER_RESOURCE_SERVER_ID": Alias("broker_resource_server_id"),
    "BROKER_RESOURCE_SERVER_TYPE": Alias("broker_resource_server_type"),
    "MONGODB_HOST": _STATE,
    "MONGODB_PORT": _STATE,
    "MONGODB_AUTH_USER": _STATE,
    "MONGODB_AUTH_PASS": _STATE,
    "MQS_ADDRESS": _ONE_SERVICE,
    "MQS_TOKEN_URL": _ONE_SERVICE,
    "MQS_CLIENT_ID": _ONE_SERVICE,
    "MQS_CLIENT_SECRET": _ONE_SERVICE,
    "WORKFLOW_MQ_ACTIVATOR_DELAY": _BY_ITSELF,
    "TASKFORCE_LAUNCH_CONTROL_DELAY": _BY_ITSELF,
    "WORKFLOW_MQ_ACTIVATOR_MQS_RETRY_WAIT": _BY_ITSELF,
    "SKIP_BACKLOG_MIN_PRIORITY": _NEVER_USED,
    "BACKLOG_RUNNER_SHORT_DELAY": _NEVER_USED,
    "BACKLOG_RUNNER_DELAY": _NEVER_USED,
    "LOG_LEVEL_THIRD_PARTY": _LIBRARIES,
    "LOG_LEVEL_REST_TOOLS": _LIBRARIES,
    "CI": Ignored("it switches nothing here; above all, it does not switch sign-in off", is_true),
}
"""By name. Their names are taken as they stand, in capitals; an empty text is as good as none."""
