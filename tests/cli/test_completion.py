"""Does each shell complete commands with the script that `muster completion` writes? Real shells, with a real TAB."""

import os
import pty
import re
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from harness.stack import MUSTER, clean_environment
from muster.cli.completion import Shell, render_completion
from muster.cli.main import COMMANDS

SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")
STARTS = {"bash": ["bash", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}


class Typing:
    """A shell on a terminal, and somebody who types."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal

    def type(self, text: str, *, until: str, deadline_s: float = 60.0) -> None:
        """Type, and wait until the shell shows what fits the pattern."""
        os.write(self._terminal, text.encode())
        seen, ends_at = "", monotonic() + deadline_s
        while re.search(until, seen, re.DOTALL) is None:
            assert monotonic() < ends_at, f"after {text!r} there is no {until!r} in {seen!r}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                seen += os.read(self._terminal, 4096).decode(errors="replace")


@contextmanager
def open_shell(shell: Shell, folder: Path) -> Iterator[Typing]:
    require(shell)
    ours, theirs = pty.openpty()
    environment = {"PATH": f"{MUSTER.parent}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb", "PS1": "> "}
    process = subprocess.Popen(
        STARTS[shell], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Typing(ours)
    finally:
        process.kill()
        process.wait(timeout=30)
        os.close(ours)


def require(shell: Shell) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


def write(shell: Shell, file: Path) -> Path:
    done = subprocess.run(
        [str(MUSTER), "completion", shell],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    file.write_text(done.stdout)
    return file


@pytest.mark.system
@pytest.mark.parametrize(
    ("shell", "preparation"),
    [
        ("bash", "source ./_muster"),
        ("bash", "source <(muster completion bash)"),
        ("zsh", "autoload -Uz compinit; compinit -u -D; source ./_muster"),
        ("zsh", "autoload -Uz compinit; compinit -u -D; source <(muster completion zsh)"),
        ("zsh", "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D"),
    ],
)
def test_a_tab_completes_commands_options_and_values(shell: Shell, preparation: str, tmp_path: Path) -> None:
    write(shell, tmp_path / "_muster")
    with open_shell(shell, tmp_path) as person:
        person.type(f"{preparation}; echo rea''dy\n", until="ready.*> ")
        person.type("muster taskf\t", until="taskforce ")
        person.type("li\t", until="list ")
        person.type("--pha\t", until="--phase ")
        person.type("pre-l\t", until="pre-launch ")


@pytest.mark.system
def test_bash_goes_on_into_a_folder_and_takes_a_name_with_a_blank_whole(tmp_path: Path) -> None:
    write("bash", tmp_path / "_muster")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "my flow.yaml").touch()
    with open_shell("bash", tmp_path) as person:
        person.type("source ./_muster; echo rea''dy\n", until="ready.*> ")
        person.type("muster workflow submit fl\t", until="flows/")
        person.type("my\t", until=r"my\\ flow\.yaml ")
        person.type("\x01echo \n", until=r"muster workflow submit flows/my flow\.yaml\r")
        person.type("muster workflow list --token-file fl\t", until="flows/")
        person.type("my\t", until=r"flow\.yaml ")


def test_the_script_of_bash_completes_every_file_so() -> None:
    script = render_completion("bash")

    assert script.count("compgen -f") == script.count("compopt -o filenames") > 10


@pytest.mark.system
def test_fish_completes_commands_options_and_values(tmp_path: Path) -> None:
    require("fish")
    script = write("fish", tmp_path / "muster.fish")

    def complete(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {script}; complete -C {line!r}"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return [one.partition("\t")[0] for one in done.stdout.splitlines()]

    assert {name for name, _, _ in COMMANDS} <= set(complete("muster "))
    assert complete("muster taskforce li") == ["list"]
    assert complete("muster taskforce list --pha") == ["--phase"]
    assert complete("muster taskforce list --phase pre-l") == ["pre-launch"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command_and_no_place_of_this_machine(shell: Shell) -> None:
    script = render_completion(shell)

    assert [name for name, _, _ in COMMANDS if name not in script] == []
    assert str(Path.home()) not in script or Path.home() == Path("/")
    assert str(MUSTER.parent) not in script
    assert "_cyclopts_muster" not in script or shell != "zsh"


def test_the_script_of_zsh_may_be_sourced_and_be_in_the_fpath() -> None:
    script = render_completion("zsh")

    assert script.startswith("#compdef muster\n")
    assert "compdef _muster muster" in script
    assert "'1:its id, or latest.:()' \\\n" in script
    assert "'2:the queue'\\''s name in the workflow.:()' \\\n" in script
    assert re.search(r"'1: :->cmds' \\\n", script)


@pytest.mark.system
def test_a_shell_that_is_not_known_is_told_which_are() -> None:
    done = subprocess.run(
        [str(MUSTER), "completion", "tcsh"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    for shell in SHELLS:
        assert shell in done.stderr
