"""Which service is found, and with which token?"""

from pathlib import Path

import pytest

from muster.cli.service import Service, Target, find_target, list_exports
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


def test_a_folder_that_is_typed_goes_before_the_variables_of_another_service(folder: Path, token_file: Path) -> None:
    elsewhere = {"MUSTER_URL": FAR, "MUSTER_DIR": "/nowhere", "MUSTER_CLIENT_OIDC_CLIENT_ID": "me"}

    for variables in ({"MUSTER_TOKEN": "variables-token"}, {"MUSTER_TOKEN_FILE": str(token_file)}, {}):
        assert find_target(Service(dir=folder), elsewhere | variables) == Target(HERE, "folders-token")
    assert find_target(Service(dir=folder, token_file=token_file), elsewhere) == Target(HERE, "files-token")
    assert find_target(Service(dir=folder, url=NAMED), elsewhere) == Target(NAMED, "folders-token")
    assert find_target(Service(dir=folder, url=FAR), {"MUSTER_TOKEN": "mine"}) == Target(FAR, "mine")
    (folder / "token").unlink()
    assert find_target(Service(dir=folder), {"MUSTER_TOKEN": "mine"}) == Target(HERE, "mine")


def test_what_is_exported_and_would_go_before_what_was_typed_is_unset(folder: Path, token_file: Path) -> None:
    exported = {"MUSTER_URL": FAR, "MUSTER_TOKEN": "one", "MUSTER_TOKEN_FILE": "two", "MUSTER_CLIENT_OIDC_URL": FAR}
    to_folder = f"export MUSTER_DIR={folder}"
    to_file = f"export MUSTER_TOKEN_FILE={token_file}"

    assert list_exports(Service(), exported) == []
    assert list_exports(Service(dir=folder), {"MUSTER_DIR": "/nowhere", "HOME": "/root"}) == [to_folder]
    assert list_exports(Service(dir=folder), exported) == [
        "unset MUSTER_URL MUSTER_TOKEN MUSTER_TOKEN_FILE MUSTER_CLIENT_OIDC_URL",
        to_folder,
    ]
    assert list_exports(Service(dir=folder, token_file=token_file), exported) == [
        "unset MUSTER_URL MUSTER_TOKEN",
        to_file,
        to_folder,
    ]
    assert list_exports(Service(url=FAR, dir=folder), exported) == [f"export MUSTER_URL={FAR}", to_folder]
    assert list_exports(Service(url=NAMED), exported) == [f"export MUSTER_URL={NAMED}"]


@pytest.mark.parametrize("name", ["MUSTER_URL", "MUSTER_TOKEN", "MUSTER_TOKEN_FILE", "MUSTER_DIR"])
def test_a_variable_that_is_set_to_nothing_is_told_where_it_is_asked(
    folder: Path, token_file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder.rename(folder.parent / ".muster")
    monkeypatch.chdir(folder.parent)

    with pytest.raises(InvalidError, match=f"^{name}: is empty: give it a value, or unset it"):
        find_target(Service(), {name: ""})
    typed = Service(dir=folder.parent / ".muster", token_file=token_file)
    assert find_target(typed, {name: ""}) == Target(HERE, "files-token")


def test_a_tokens_file_may_be_named_by_a_variable(folder: Path, token_file: Path) -> None:
    variables = {"MUSTER_DIR": str(folder), "MUSTER_TOKEN_FILE": str(token_file)}

    assert find_target(Service(), variables).token == "files-token"


def test_the_folders_token_goes_to_no_other_machine(folder: Path) -> None:
    assert find_target(Service(url=FAR, dir=folder), {}) == Target(FAR, None)


def test_without_any_address_the_remedy_is_named(tmp_path: Path) -> None:
    none = tmp_path / "none"

    with pytest.raises(UnavailableError, match=r"there is no .*/none/address.*`muster up`.*--url.*MUSTER_URL"):
        find_target(Service(), {"MUSTER_DIR": str(none)})
    with pytest.raises(UnavailableError, match=rf"there is no .*/none/address.*`muster up --dir {none}`.*--url"):
        find_target(Service(dir=none), {"MUSTER_URL": NAMED})


def test_a_token_file_that_is_missing_or_holds_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    with pytest.raises(NotFoundError, match="--token-file: there is no file"):
        find_target(Service(dir=folder, token_file=tmp_path / "none"), {})
    with pytest.raises(InvalidError, match="does not hold a token"):
        find_target(Service(dir=folder, token_file=tmp_path / "empty"), {})
    with pytest.raises(InvalidError, match="does not hold a token"):
        find_target(Service(), {"MUSTER_DIR": str(folder), "MUSTER_TOKEN": "two words"})
    with pytest.raises(InvalidError, match="cannot be read"):
        find_target(Service(dir=folder, token_file=tmp_path), {})


def test_a_bad_token_is_not_repeated(folder: Path) -> None:
    with pytest.raises(InvalidError) as refused:
        find_target(Service(), {"MUSTER_DIR": str(folder), "MUSTER_TOKEN": "s3cret s3cret"})

    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(Target(HERE, "s3cret"))
