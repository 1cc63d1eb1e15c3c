"""Is the token's file made once, for its owner alone, and is nobody else let in?"""

import getpass
import stat
from pathlib import Path

import pytest

from muster.domain.caller import Role
from muster.domain.errors import UnauthenticatedError
from muster.server.adapters.local_token.identity import LocalToken, TokenFileError, read_or_make_token

pytestmark = pytest.mark.anyio


def test_the_first_start_makes_a_token_that_later_ones_read(tmp_path: Path) -> None:
    path = tmp_path / "state" / "token"
    token = read_or_make_token(path)
    assert len(token) >= 43
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]
    assert read_or_make_token(path) == token


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    read_or_make_token(path)
    path.chmod(0o644)
    with pytest.raises(TokenFileError, match="chmod 600"):
        read_or_make_token(path)


@pytest.mark.parametrize("text", ["", "short", "two words of a kind", "tökens are ascii only"])
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(TokenFileError, match="holds no token"):
        read_or_make_token(path)


async def test_the_token_opens_and_no_other_text_does() -> None:
    identity = LocalToken("a" * 43)
    caller = await identity.identify("a" * 43)
    assert (caller.name, caller.roles) == (getpass.getuser(), frozenset(Role))
    for wrong in ("", "a" * 42, "a" * 44, "ä" * 43, "\udcff"):
        with pytest.raises(UnauthenticatedError):
            await identity.identify(wrong)
