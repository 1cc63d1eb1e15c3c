"""Does the agent say where its token is from, and who else can read it?"""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from muster.domain.errors import InvalidError, NotFoundError
from muster.settings.parts import SiteSettings
from muster.site.sign_in import find_token


def make_settings(token_file: Path) -> SiteSettings:
    return SiteSettings.model_validate({"token_file": token_file})


@pytest.mark.parametrize(
    ("mode", "told"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o644, True)]
)
def test_a_token_that_others_can_read_is_taken_and_told(
    tmp_path: Path, logged: list[MutableMapping[str, Any]], mode: int, *, told: bool
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(mode)

    assert find_token(make_settings(file)) == ("s3cret", f"MUSTER_SITE_TOKEN_FILE {file}")

    warning = {
        "log_level": "warning",
        "event": "others can read the agent's token",
        "file": str(file),
        "mode": f"{mode:04o}",
        "remedy": f"chmod 600 {file}",
    }
    assert logged == ([warning] if told else [])


def test_a_token_file_that_cannot_be_used_is_told_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    with pytest.raises(NotFoundError, match="none is missing: name another with MUSTER_SITE_TOKEN_FILE"):
        find_token(make_settings(tmp_path / "none"))
    for name, reason in ((".", "Is a directory"), ("binary", "is not text")):
        with pytest.raises(InvalidError, match=f"cannot be read: {reason}") as refused:
            find_token(make_settings(tmp_path / name))
        assert [one.field for one in refused.value.findings] == ["token_file"]


@pytest.mark.parametrize("text", ["", "\n", "two words", "one\ntwo", "schlüssel"])
def test_a_file_without_a_token_is_refused_and_never_sent(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(0o600)

    with pytest.raises(InvalidError, match="token does not hold a token: one line of printable ASCII") as refused:
        find_token(make_settings(file))

    assert [one.field for one in refused.value.findings] == ["token_file"]
