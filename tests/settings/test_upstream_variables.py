"""Does a deployment of the services that we replace keep what it has set? Every variable of theirs is read, or has a reason."""

import pytest

from muster.settings.parts import PARTS, ServerSettings
from muster.settings.upstream_variables import UPSTREAM_VARIABLES, Alias, Ignored, is_true
from muster.settings.variables import Variable, Variables, list_without_effect

WMS = """MONGODB_HOST MONGODB_PORT MONGODB_AUTH_USER MONGODB_AUTH_PASS REST_HOST REST_PORT MQS_ADDRESS MQS_TOKEN_URL MQS_CLIENT_ID
    MQS_CLIENT_SECRET AUTH_AUDIENCE AUTH_OPENID_URL CI LOG_LEVEL LOG_LEVEL_THIRD_PARTY LOG_LEVEL_REST_TOOLS USER_QUERY_MAX_BYTES
    WORKFLOW_MQ_ACTIVATOR_DELAY WORKFLOW_MQ_ACTIVATOR_MQS_RETRY_WAIT TASKFORCE_LAUNCH_CONTROL_DELAY TMS_ACTION_RETRIES
    CVMFS_PILOT_SINGULARITY_IMAGES_DIR"""
"""wms.md section 16"""
MQS = """HERE_URL MONGODB_HOST MONGODB_PORT MONGODB_AUTH_USER MONGODB_AUTH_PASS REST_HOST REST_PORT BROKER_URL BROKER_TYPE
    BROKER_QUEUE_AUTH_PUBLIC_KEY_FILE BROKER_QUEUE_AUTH_PRIVATE_KEY_FILE BROKER_QUEUE_USERNAME BROKER_QUEUE_AUTH_TOKEN_EXP
    BROKER_RESOURCE_SERVER_ID BROKER_RESOURCE_SERVER_TYPE AUTH_AUDIENCE AUTH_OPENID_URL CI LOG_LEVEL LOG_LEVEL_THIRD_PARTY
    LOG_LEVEL_REST_TOOLS SKIP_BACKLOG_MIN_PRIORITY BACKLOG_RUNNER_SHORT_DELAY BACKLOG_RUNNER_DELAY"""
"""mqs.md section 9"""
THEIRS = {*WMS.split(), *MQS.split()}


def test_every_variable_of_theirs_has_a_row() -> None:
    assert set(UPSTREAM_VARIABLES) == THEIRS


def test_every_row_leads_to_a_setting_or_has_a_reason() -> None:
    for name, row in UPSTREAM_VARIABLES.items():
        if isinstance(row, Alias):
            assert row.setting in ServerSettings.model_fields, name
        else:
            assert len(row.why) > 20, name
    aliases = [row.setting for row in UPSTREAM_VARIABLES.values() if isinstance(row, Alias)]
    assert len(aliases) == len(set(aliases))


@pytest.mark.parametrize(
    ("name", "text", "setting", "value"),
    [
        ("REST_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("REST_PORT", "8080", "port", 8080),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("LOG_LEVEL", "Warn", "log_level", "warning"),
        ("LOG_LEVEL", "CRITICAL", "log_level", "error"),
        ("MUSTER_LOG_LEVEL", "INFO", "log_level", "info"),
        ("TMS_ACTION_RETRIES", "2", "submit_failures_max", 2),
        (
            "AUTH_OPENID_URL",
            "https://keycloak.example.org/realms/x",
            "oidc_url",
            "https://keycloak.example.org/realms/x",
        ),
        ("HERE_URL", "https://mqs.example.org", "public_url", "https://mqs.example.org"),
        ("BROKER_QUEUE_USERNAME", "pilot", "broker_user", "pilot"),
        ("BROKER_QUEUE_AUTH_TOKEN_EXP", "3600", "broker_token_ttl_s", 3600.0),
        ("USER_QUERY_MAX_BYTES", "1000", "query_bytes_max", 1000),
    ],
)
def test_what_means_the_same_is_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, setting: str, value: object
) -> None:
    monkeypatch.setenv(name, text)

    assert getattr(ServerSettings(), setting) == value


def test_ours_are_as_theirs_where_nothing_is_said() -> None:
    """`TMS_ACTION_RETRIES` 2 is three tries in all, as `submit_failures_max` 2 is: two failures, and one more."""
    defaults = {name: field.default for name, field in ServerSettings.model_fields.items()}
    assert (defaults["submit_failures_max"], defaults["query_bytes_max"]) == (2, 10_485_760)


@pytest.mark.parametrize(
    ("text", "is_told"), [("true", True), ("1", True), ("Yes", True), ("false", False), ("", False)]
)
def test_a_switch_that_is_off_is_no_news(text: str, *, is_told: bool) -> None:
    there = Variables({"CI": Variable("CI", text)})

    assert is_true(text) is is_told
    assert bool(list_without_effect(ServerSettings, there)) is is_told


def test_nothing_of_theirs_is_told_where_nothing_is_set_or_nothing_of_theirs_is_read() -> None:
    everything = Variables({name: Variable(name, "1") for name in THEIRS})

    assert list_without_effect(ServerSettings, Variables({})) == {}
    assert list_without_effect(PARTS["site"], everything) == {}
    told = {one.name for ones in list_without_effect(ServerSettings, everything).values() for one in ones}
    assert told == {name for name, row in UPSTREAM_VARIABLES.items() if isinstance(row, Ignored)}


def test_the_images_folder_is_taken_too(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("CVMFS_PILOT_SINGULARITY_IMAGES_DIR", str(tmp_path))

    assert ServerSettings().pilot_images_dir == tmp_path
