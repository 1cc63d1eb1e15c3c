"""Is a setting of sign-in that cannot be meant refused at the start, in a sentence that says what to do?"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from muster.cli.settings_faults import read_settings
from muster.domain.caller import Role
from muster.domain.errors import InvalidError
from muster.domain.role_rules import UPSTREAM_RULES
from muster.settings.parts import ClientSettings, ServerSettings, SiteSettings
from muster.settings.sign_in import IssuerSettings, SignIn

URL = "https://idp.example.org/realms/IceCube"


def server(monkeypatch: pytest.MonkeyPatch, **variables: Any) -> ServerSettings:
    for name, value in variables.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"MUSTER_{name.upper()}", text)
    return read_settings(ServerSettings)


def test_without_a_provider_there_is_the_local_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (server(monkeypatch).way_in, server(monkeypatch).all_issuers()) == (SignIn.LOCAL, ())


def test_one_provider_is_named_by_two_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = server(monkeypatch, oidc_url=URL + "/", oidc_audience="muster", oidc_operator_group="/ops")

    [issuer] = chosen.all_issuers()
    assert (chosen.way_in, issuer.url, issuer.list_audiences()) == (SignIn.OIDC, URL, frozenset({"muster"}))
    assert issuer.list_rules()[:-1] == UPSTREAM_RULES
    assert (issuer.list_rules()[-1].role, issuer.list_rules()[-1].equals) == (Role.OPERATOR, "/ops")


def test_by_default_nobody_is_an_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    [issuer] = server(monkeypatch, oidc_url=URL).all_issuers()

    assert Role.OPERATOR not in {rule.role for rule in issuer.list_rules()}
    assert issuer.list_audiences() == frozenset()


def test_several_providers_have_rules_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    issuers = [
        {"url": URL},
        {
            "url": "http://127.0.0.1:9000",
            "label": "lab",
            "audience": ["a", "b"],
            "name_claim": "preferred_username",
            "roles": [
                {"role": "user", "claim": "realm_access.roles", "equals": "compute"},
                {"role": "operator", "claim": ["resource_access", "my.client", "roles"], "matches": "admin-.*"},
            ],
        },
    ]
    first, second = server(monkeypatch, oidc_issuers=issuers).all_issuers()

    assert first.list_rules() == UPSTREAM_RULES
    assert [(one.role, one.path) for one in second.list_rules()] == [
        (Role.USER, ("realm_access", "roles")),
        (Role.OPERATOR, ("resource_access", "my.client", "roles")),
    ]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no provider": (
        {"sign_in": "oidc"},
        "MUSTER_SIGN_IN is oidc and no provider is named: name it with MUSTER_OIDC_URL",
    ),
    "a provider and the local token": (
        {"sign_in": "local", "oidc_url": URL},
        "MUSTER_OIDC_URL is set, but MUSTER_SIGN_IN is local: say MUSTER_SIGN_IN=oidc, or take MUSTER_OIDC_URL away",
    ),
    "a provider and nothing": (
        {"sign_in": "off", "oidc_issuers": [{"url": URL}]},
        "MUSTER_OIDC_ISSUERS is set, but MUSTER_SIGN_IN is off",
    ),
    "an audience of nobody": (
        {"oidc_audience": "muster"},
        "MUSTER_OIDC_AUDIENCE is set and no provider is named: name it with MUSTER_OIDC_URL",
    ),
    "one beside several": (
        {"oidc_url": "https://other.example.org", "oidc_issuers": [{"url": URL, "label": "lab"}]},
        "MUSTER_OIDC_URL stands beside MUSTER_OIDC_ISSUERS: put what it says into that list, and take it away",
    ),
    "one provider twice": (
        {"oidc_issuers": [{"url": URL}, {"url": URL + "/", "label": "lab"}]},
        f"MUSTER_OIDC_ISSUERS has the url '{URL}' twice",
    ),
    "two without a label": (
        {"oidc_issuers": [{"url": URL}, {"url": "https://other.example.org"}]},
        "MUSTER_OIDC_ISSUERS has the label '' twice: give each issuer its own",
    ),
    "another word": ({"sign_in": "maybe"}, "MUSTER_SIGN_IN: Input should be 'local', 'oidc' or 'off' (it is 'maybe')"),
    "plain http": ({"oidc_url": "http://idp.example.org"}, "MUSTER_OIDC_URL: is plain http to another machine"),
    "no address": ({"oidc_url": "idp.example.org"}, "MUSTER_OIDC_URL: must look like https://"),
    "a password in the address": ({"oidc_url": "https://me:s3cret@idp.example.org"}, "MUSTER_OIDC_URL: must look like"),
    "a label of other letters": (
        {"oidc_issuers": [{"url": URL, "label": "a:b"}]},
        "MUSTER_OIDC_ISSUERS.0.label: String should match pattern",
    ),
    "a field that there is not": (
        {"oidc_issuers": [{"url": URL, "audiences": "x"}]},
        "MUSTER_OIDC_ISSUERS.0.audiences: is not known here: take it away, or mend its name",
    ),
    "an audience without a name": (
        {"oidc_issuers": [{"url": URL, "audience": [""]}]},
        "MUSTER_OIDC_ISSUERS.0.audience.",
    ),
    "a rule of no kind": (
        {"oidc_issuers": [{"url": URL, "roles": [{"role": "user", "claim": "groups"}]}]},
        "MUSTER_OIDC_ISSUERS.0.roles.0: a rule has either `equals` or `matches`",
    ),
    "a role that there is not": (
        {"oidc_issuers": [{"url": URL, "roles": [{"role": "boss", "claim": "groups", "equals": "x"}]}]},
        "MUSTER_OIDC_ISSUERS.0.roles.0.role: Input should be 'user', 'system-tms', 'system-wms' or 'operator'",
    ),
    "a dangerous pattern": (
        {"oidc_issuers": [{"url": URL, "roles": [{"role": "user", "claim": "groups", "matches": "(a+)+"}]}]},
        "MUSTER_OIDC_ISSUERS.0.roles.0.matches: repeats a group, which can take time without end (it is '(a+)+')",
    ),
    "an empty path": (
        {"oidc_issuers": [{"url": URL, "name_claim": "a..b"}]},
        "MUSTER_OIDC_ISSUERS.0.name_claim: the path 'a..b' has an empty name",
    ),
}


@pytest.mark.parametrize(("variables", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused_by_name_value_and_remedy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        server(monkeypatch, **variables)

    assert sentence in str(refused.value)
    assert "s3cret" not in str(refused.value)


CREDENTIALS = {"OIDC_CLIENT_ID": "site-1", "OIDC_CLIENT_SECRET_FILE": "secret", "OIDC_URL": URL}


@pytest.mark.parametrize("prefix", ["MUSTER_SITE_", "MUSTER_CLIENT_"])
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"OIDC_CLIENT_ID": ""},
            "{0}OIDC_CLIENT_SECRET_FILE is set and no client is named: name it with {0}OIDC_CLIENT_ID",
        ),
        (
            {"OIDC_CLIENT_SECRET_FILE": None},
            "{0}OIDC_CLIENT_ID is set and no secret: name its file with {0}OIDC_CLIENT_SECRET",
        ),
        ({"OIDC_URL": None}, "{0}OIDC_CLIENT_ID is set: name the provider by either {0}OIDC_URL or {0}OIDC_TOKEN_URL"),
        ({"OIDC_TOKEN_URL": URL}, "name the provider by either {0}OIDC_URL or {0}OIDC_TOKEN_URL"),
        ({"OIDC_URL": "http://idp.example.org"}, "{0}OIDC_URL: is plain http to another machine"),
        ({"OIDC_REQUEST": "scope"}, "{0}OIDC_REQUEST: "),
    ],
)
def test_credentials_are_whole(
    monkeypatch: pytest.MonkeyPatch, prefix: str, changes: dict[str, str | None], sentence: str
) -> None:
    settings: type[SiteSettings | ClientSettings] = SiteSettings if prefix == "MUSTER_SITE_" else ClientSettings
    for name, value in (CREDENTIALS | changes).items():
        if value is not None:
            monkeypatch.setenv(prefix + name, value)

    with pytest.raises(InvalidError) as refused:
        read_settings(settings)
    assert sentence.format(prefix) in str(refused.value)


def test_the_example_of_the_page_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "sign-in.md").read_text()
    [example] = re.findall(r"```json\n(\[.*?\])\n```", page, re.DOTALL)

    issuers = server(monkeypatch, oidc_issuers=example).all_issuers()

    assert [(one.label, len(one.list_rules())) for one in issuers] == [("", 5), ("lab", 3)]


def test_every_field_of_an_issuer_stands_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "sign-in.md").read_text()

    assert [one for one in IssuerSettings.model_fields if f'"{one}"' not in page] == []
