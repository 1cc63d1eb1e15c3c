"""Does a measurement name the commit that was measured?"""

import subprocess
from pathlib import Path

import pytest
from benchmarks.record import describe_commit

FILES = ("benchmarks/depth.py", "benchmarks/results/depth.json", "docs/benchmarks.md", "src/muster/task.py")


def _git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", *names, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "--no-gpg-sign", "--message", "All")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "is_dirty"),
    [
        ((), False),
        (("benchmarks/results/depth.json", "docs/benchmarks.md"), False),
        (("src/muster/task.py",), True),
        (("benchmarks/depth.py", "docs/benchmarks.md"), True),
    ],
)
def test_only_changes_of_what_is_measured_make_it_dirty(
    repository: Path, changed: tuple[str, ...], *, is_dirty: bool
) -> None:
    for name in changed:
        (repository / name).write_text("changed\n")

    said = describe_commit(repository / "benchmarks")

    assert said == _git(repository, "rev-parse", "--short", "HEAD") + ("-dirty" if is_dirty else "")


def test_a_change_that_is_staged_counts_too(repository: Path) -> None:
    (repository / "src/muster/task.py").write_text("changed\n")
    _git(repository, "add", ".")

    assert describe_commit(repository / "benchmarks").endswith("-dirty")


def test_outside_of_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert describe_commit(tmp_path) == ""
