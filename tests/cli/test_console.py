"""Does data stay what it is in a pipe, and is it shown on a terminal without steering it?"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.cli.console import clean, put_data

EVIL = '{"a":"\x9b31m\u202e\x7f tab\tß"}\n'


@contextlib.contextmanager
def _stdout_is(file: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with os.fdopen(file, "w", encoding="utf-8") as stdout, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        yield


def test_a_file_gets_the_bytes_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = EVIL.encode() + b"\xff\x00"

    with _stdout_is(os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT), monkeypatch):
        put_data(content)

    assert (tmp_path / "out").read_bytes() == content


def test_a_terminal_gets_control_characters_as_json_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, terminal = os.openpty()
    try:
        with _stdout_is(terminal, monkeypatch):
            put_data(EVIL.encode() + b"\xff\x1b")
            seen = os.read(screen, 1000).decode()
    finally:
        os.close(screen)

    assert seen == '{"a":"\\u009b31m\\u202e\\u007f tab\tß"}\r\n\\xff\\u001b'


def test_line_breaks_and_tabs_stay_and_scripts_of_all_kinds() -> None:
    assert clean("a\tb\nß 和 מספר\r\x1b\u2028") == "a\tb\nß 和 מספר\\x0d\\x1b\\u2028"
