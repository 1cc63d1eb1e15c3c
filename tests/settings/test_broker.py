"""Are the broker's settings read under our names and upstream's, and refused with what would do?"""

from pathlib import Path
from typing import Any

import pytest

from muster.cli.settings_faults import named_as_variables, read_settings
from muster.domain.errors import InvalidError
from muster.domain.queue_token import Broker
from muster.settings.parts import ServerSettings

UPSTREAMS = {
    "HERE_URL": "https://mqs.example.org/sub",
    "BROKER_URL": "broker.example.org",
    "BROKER_TYPE": "rabbitmq",
    "BROKER_QUEUE_AUTH_PUBLIC_KEY_FILE": "/secrets/public.pem",
    "BROKER_QUEUE_AUTH_PRIVATE_KEY_FILE": "/secrets/private.pem",
    "BROKER_QUEUE_USERNAME": "somebody",
    "BROKER_QUEUE_AUTH_TOKEN_EXP": "1200",
    "BROKER_RESOURCE_SERVER_ID": "my-server",
    "BROKER_RESOURCE_SERVER_TYPE": "my-type",
}
OURS = {
    "HERE_URL": "MUSTER_PUBLIC_URL",
    "BROKER_URL": "MUSTER_BROKER_URL",
    "BROKER_TYPE": "MUSTER_BROKER_TYPE",
    "BROKER_QUEUE_AUTH_PUBLIC_KEY_FILE": "MUSTER_BROKER_PUBLIC_KEY_FILE",
    "BROKER_QUEUE_AUTH_PRIVATE_KEY_FILE": "MUSTER_BROKER_PRIVATE_KEY_FILE",
    "BROKER_QUEUE_USERNAME": "MUSTER_BROKER_USER",
    "BROKER_QUEUE_AUTH_TOKEN_EXP": "MUSTER_BROKER_TOKEN_TTL_S",
    "BROKER_RESOURCE_SERVER_ID": "MUSTER_BROKER_RESOURCE_SERVER_ID",
    "BROKER_RESOURCE_SERVER_TYPE": "MUSTER_BROKER_RESOURCE_SERVER_TYPE",
}
EXPECTED = Broker(
    kind="rabbitmq",
    address="broker.example.org",
    user="somebody",
    resource_server_id="my-server",
    resource_server_type="my-type",
    issuer="https://mqs.example.org/sub/mqbroker-issuer",
    ttl_s=1200.0,
    renew_share=0.5,
)


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> ServerSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read_settings(ServerSettings)


def test_a_deployment_of_upstreams_service_moves_over_with_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, **UPSTREAMS)
    assert settings.read_broker() == EXPECTED
    assert settings.key_files == (Path("/secrets/public.pem"), Path("/secrets/private.pem"))


def test_our_names_mean_the_same_and_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {OURS[name]: value for name, value in UPSTREAMS.items()}
    others = dict.fromkeys(UPSTREAMS, "https://somewhere.example.org") | {"BROKER_QUEUE_AUTH_TOKEN_EXP": "7"}
    settings = read(monkeypatch, **others, **ours)
    assert settings.read_broker() == EXPECTED


def test_without_a_broker_nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch).read_broker() is None
    assert read(monkeypatch, BROKER_URL="").read_broker() is None
    assert read(monkeypatch).key_files is None


def test_a_broker_alone_is_refused_with_everything_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = _faults(read(monkeypatch, BROKER_URL="broker.example.org"))
    assert set(faults) == {"MUSTER_BROKER_PUBLIC_KEY_FILE", "MUSTER_BROKER_PRIVATE_KEY_FILE", "MUSTER_PUBLIC_URL"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BROKER_URL", "amqps://broker.example.org"),
        ("BROKER_URL", "user@broker.example.org"),
        ("BROKER_URL", "broker example"),
        ("BROKER_QUEUE_USERNAME", "a@b"),
        ("MUSTER_BROKER_USER", "a b"),
        ("HERE_URL", "mqs.example.org"),
        ("HERE_URL", "https://"),
        ("HERE_URL", "https://[::1"),
        ("HERE_URL", "https://mqs.example.org/?x=1"),
    ],
)
def test_what_cannot_be_meant_is_told_under_the_name_that_was_used(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    faults = _faults(read(monkeypatch, **UPSTREAMS | {name: value}))
    assert set(faults) == {name}
    assert repr(value) in faults[name]
    assert "write" in faults[name]


@pytest.mark.parametrize(
    "address", ["broker.example.org:5671", "broker.example.org:5671/my-vhost", "127.0.0.9", "[::1]:5672"]
)
def test_an_address_may_have_port_and_vhost(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    broker = read(monkeypatch, **UPSTREAMS | {"BROKER_URL": address}).read_broker()
    assert broker is not None
    assert broker.login_address == f"somebody@{address}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BROKER_QUEUE_AUTH_TOKEN_EXP", "-1"),
        ("BROKER_QUEUE_AUTH_TOKEN_EXP", "inf"),
        ("BROKER_QUEUE_AUTH_TOKEN_EXP", "a day"),
        ("MUSTER_BROKER_TOKEN_TTL_S", "-1"),
        ("MUSTER_BROKER_TOKEN_RENEW_SHARE", "1.5"),
    ],
)
def test_numbers_that_are_none_are_told_under_the_name_that_was_used(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        read(monkeypatch, **{name: value})
    [finding] = refused.value.findings
    assert finding.field == name
    assert repr(value) in finding.reason


@pytest.mark.parametrize(("given", "ttl_s"), [("0", 366 * 86_400.0), ("99999999", 366 * 86_400.0), ("60", 60.0)])
def test_a_life_of_nothing_means_the_longest(monkeypatch: pytest.MonkeyPatch, given: str, ttl_s: float) -> None:
    broker = read(monkeypatch, **UPSTREAMS | {"BROKER_QUEUE_AUTH_TOKEN_EXP": given}).read_broker()
    assert broker is not None
    assert broker.ttl_s == ttl_s


def _faults(settings: ServerSettings) -> dict[str, Any]:
    with pytest.raises(InvalidError) as refused, named_as_variables(ServerSettings):
        settings.read_broker()
    return {one.field: one.reason for one in refused.value.findings}
