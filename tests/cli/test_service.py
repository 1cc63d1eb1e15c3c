"""Which service is found, and with which token?"""

from pathlib import Path

import pytest

from muster.cli.service import Service, Target, find_target
from muster.domain.errors import InvalidError, NotFoundError, UnavailableError

HERE = "http://127.0.0.1:7001"
NAMED = "http://127.0.0.1:7002"
ARGUED = "http://127.0.0.1:7003"
FAR = "https://muster.example.org"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As `muster up` leaves it."""
    folder = tmp_path / "up"
    folder.mkdir()
    (folder / "address").write_text(HERE + "\n")
    (folder / "token").write_text("folders-token\n")
    return folder


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "mine"
    file.write_text("files-token\n")
    return file


def test_the_folder_of_muster_up_is_enough(folder: Path) -> None:
    assert find_target(Service(dir=folder), {}) == Target(HERE, "folders-token")
    assert find_target(Service(), {"MUSTER_DIR": str(folder)}) == Target(HERE, "folders-token")


def test_the_folder_is_looked_for_where_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.parent / ".muster")
    monkeypatch.chdir(folder.parent)

    assert find_target(Service(), {}) == Target(HERE, "folders-token")


def test_an_option_goes_before_a_variable_and_both_before_the_folder(folder: Path, token_file: Path) -> None:
    variables = {"MUSTER_URL": NAMED, "MUSTER_TOKEN": "variables-token", "MUSTER_DIR": str(folder)}

    assert find_target(Service(), variables) == Target(NAMED, "variables-token")
    assert find_target(Service(url=ARGUED), variables) == Target(ARGUED, "variables-token")
    assert find_target(Service(token_file=token_file), variables) == Target(NAMED, "files-token")


def test_a_tokens_file_may_be_named_by_a_variable(folder: Path, token_file: Path) -> None:
    variables = {"MUSTER_DIR": str(folder), "MUSTER_TOKEN_FILE": str(token_file)}

    assert find_target(Service(), variables).token == "files-token"


def test_the_folders_token_goes_to_no_other_machine(folder: Path) -> None:
    assert find_target(Service(url=FAR, dir=folder), {}) == Target(FAR, None)


def test_without_any_address_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"there is no .*/none/address.*`muster up`.*--url.*MUSTER_URL"):
        find_target(Service(dir=tmp_path / "none"), {})


def test_a_token_file_that_is_missing_or_holds_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    with pytest.raises(NotFoundError, match="--token-file: there is no file"):
        find_target(Service(dir=folder, token_file=tmp_path / "none"), {})
    with pytest.raises(InvalidError, match="does not hold a token"):
        find_target(Service(dir=folder, token_file=tmp_path / "empty"), {})
    with pytest.raises(InvalidError, match="does not hold a token"):
        find_target(Service(dir=folder), {"MUSTER_TOKEN": "two words"})
    with pytest.raises(InvalidError, match="cannot be read"):
        find_target(Service(dir=folder, token_file=tmp_path), {})


def test_a_bad_token_is_not_repeated(folder: Path) -> None:
    with pytest.raises(InvalidError) as refused:
        find_target(Service(dir=folder), {"MUSTER_TOKEN": "s3cret s3cret"})

    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(Target(HERE, "s3cret"))
