"""Can sign-in be off? Only by its own switch, on this machine alone, and not in silence."""

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from muster.domain.errors import InvalidError
from muster.server.app import serve
from muster.server.listener import bind
from muster.settings.parts import ServerSettings
from muster.settings.sign_in import SignIn

pytestmark = pytest.mark.anyio


def settings(folder: Path, **changes: Any) -> ServerSettings:
    file = folder / "token"
    return ServerSettings(database_url=f"sqlite:///{folder / 'muster.db'}", token_file=file, **changes)


async def test_with_the_switch_nobody_needs_a_token_and_every_start_warns(tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    with capture_logs() as lines, anyio.fail_after(30):
        async with anyio.create_task_group() as group:

            async def use(url: str) -> None:
                async with httpx.AsyncClient(base_url=url) as http:
                    answers.append(await http.get("/muster/v1/whoami"))
                    answers.append(await http.get("/v1/", headers={"authorization": "Bearer what-ever"}))
                group.cancel_scope.cancel()

            def begin(url: str) -> None:
                group.start_soon(use, url)

            await serve(settings(tmp_path, sign_in=SignIn.OFF), on_ready=begin, handle_signals=False)

    assert answers[0].json()["name"] == "anybody"
    assert [one.status_code for one in answers] == [200, 200]
    assert [one["log_level"] for one in lines if "sign-in is off" in one["event"]] == ["warning"]
    assert not (tmp_path / "token").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "muster.example.org", "localhost.example.org"])
def test_with_the_switch_no_other_machine_is_listened_to(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValidationError, match=f"would listen on {host}: without sign-in only this machine"):
        settings(tmp_path, sign_in=SignIn.OFF, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_with_the_switch_this_machine_may_be_listened_to(tmp_path: Path, host: str) -> None:
    assert settings(tmp_path, sign_in=SignIn.OFF, host=host).way_in is SignIn.OFF


async def test_a_name_of_this_machine_that_leads_elsewhere_is_not_listened_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.server.app.bind", lambda _, port: bind("0.0.0.0", port))

    with pytest.raises(InvalidError, match=r"sign_in: .* would listen on 0\.0\.0\.0"):
        await serve(settings(tmp_path, sign_in=SignIn.OFF, host="localhost"), handle_signals=False)


def test_a_variable_of_ci_alone_turns_nothing_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    assert settings(tmp_path).way_in is SignIn.LOCAL
    assert settings(tmp_path, oidc_url="https://idp.example.org").way_in is SignIn.OIDC
