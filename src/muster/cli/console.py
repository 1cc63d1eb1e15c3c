"""Where does output go, and how is it made safe? Data to stdout, talk to stderr; text of others never reaches the terminal raw."""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from muster.domain.control_characters import CONTROL, SURROGATE

_BYTES = frozenset(chr(0xDC00 + byte) for byte in range(0x80, 0x100))
"""What stands for bytes that are no UTF-8 in variables, arguments and names of files (PEP 383)."""
PIPE_WIDTH = 2000
"""Columns of a table that nobody looks at: nothing is cut or folded."""


def say(text: str) -> None:
    """Tell the person; programs that read stdout do not see it. What a full disk does not take is not told."""
    try:
        print(clean(text), file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        return


def put(text: str) -> None:
    """Write a line for people."""
    print(clean(text), flush=True)


def put_data(content: bytes) -> None:
    """Write data as it is; on a terminal control characters are shown, as JSON would escape them."""
    if sys.stdout.isatty():
        content = _escape(content.decode(errors="backslashreplace"), kept="\n\t").encode()
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def give_up_output() -> None:
    """Let go of what stdout does not take: some releases of Python keep it, and complain once more at their end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def put_json(value: object, *, in_one_line: bool = False) -> None:
    """Write a shape as JSON; what of its texts could steer a terminal is escaped, and reads the same."""
    encoded = _encode(value)
    text = (encoded if in_one_line else msgspec.json.format(encoded, indent=2)).decode()
    print(_escape(text, kept="\n"), flush=True)  # which stands between values; inside of texts it is escaped already


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under their columns; numbers to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    listed = [list(row) for row in rows]
    for index, column in enumerate(columns):
        is_number = bool(listed) and all(isinstance(row[index], int | float) for row in listed)
        table.add_column(Text(column), justify="right" if is_number else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(render_cell(cell)) for cell in row))
    console = make_console()
    with console.capture() as capture:
        console.print(table)
    # Its cells are clean; what is left is the console's own.
    print("\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n")), flush=True)


def put_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Write names and values, one a line, aligned."""
    listed = [(name, render_cell(value)) for name, value in fields]
    width = max((len(name) for name, _ in listed), default=0)
    for name, text in listed:
        put(f"{name.ljust(width)}  {text}")


def put_block(title: str, text: str) -> None:
    """Write a longer text under its title, indented; nothing for an empty one."""
    if text.strip():
        put(f"\n{title}")
        for line in clean(text).rstrip().splitlines():
            put(f"  {line}")


def make_console() -> Console:
    """A console on stdout: as wide as the terminal, or without limit where there is none."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def render_cell(value: object) -> str:
    """A value as people read it."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value)
        case float():
            return f"{value:.1f}"
        case list() | tuple():
            return ", ".join(clean(str(one)) for one in value) or "-"
        case _:
            return clean(str(value))


def render_count(number: int, noun: str) -> str:
    """A number of things: `1 worker`, `2 workers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def render_time(at: float | None) -> str:
    """A moment in the person's own time zone; `-` for none."""
    return "-" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def render_duration(duration_s: float) -> str:
    """Seconds as people say them."""
    if duration_s < 60:
        return f"{duration_s:.0f} s" if duration_s >= 9.95 else f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def clean(text: str) -> str:
    """With control characters shown, which could move the cursor, rename the window or turn the text round; line breaks and tabs stay.

    So are bytes that are no UTF-8, as a variable or a file's name may have.
    """
    if text.isprintable():
        return text
    text = _show_bytes(text)
    return CONTROL.sub(lambda match: match[0] if match[0] in "\n\t" else _show(match[0]), text)


def _show_bytes(text: str) -> str:
    """What Python makes of bytes that are no UTF-8 is half of a surrogate pair, and nothing takes it."""
    return SURROGATE.sub(lambda match: _show(chr(ord(match[0]) - 0xDC00) if match[0] in _BYTES else match[0]), text)


def _encode(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_show_bytes_within(msgspec.to_builtins(value)))


def _show_bytes_within(value: object) -> object:
    match value:
        case str():
            return _show_bytes(value)
        case list():
            return [_show_bytes_within(one) for one in value]
        case dict():
            return {_show_bytes_within(name): _show_bytes_within(one) for name, one in value.items()}
        case _:
            return value


def _show(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _escape(text: str, *, kept: str) -> str:
    """Control characters as JSON writes them in a text."""
    return CONTROL.sub(lambda match: match[0] if match[0] in kept else f"\\u{ord(match[0]):04x}", text)
