"""Which events does one output make, where a task's output is lines? Each line one; of a result that is a list, each item.

Nothing is rendered anew: what travels is the very text that the task wrote, 1.10 and doubled keys included.
"""

from __future__ import annotations

import json
import re
from typing import Iterator, List

from muster.worker.results import ResultError, name_outfile, read_output, render_bytes, render_json, render_text

RESULTS_MAX = 1000
"""Results of one attempt."""
OUTPUT_BYTES_MAX = 16 << 20
"""An output file."""
RENDERED_BYTES_MAX = 24 << 20
"""Its results as they travel: characters that are no ASCII, and bytes, become longer."""

_SPACE = re.compile(r"[ \t\n\r]*")


def split_lines(data: bytes, extension: str, name: str) -> List[bytes]:
    """Results from an output file: its lines, those that are empty left out.

    Args:
        extension: `json`: each line is a JSON value; else text, or bytes where it is not UTF-8.
        name: what the file is called in errors.

    Raises ResultError.
    """
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    _check_count(len(lines), name)
    return _check_size([_render_line(line, extension, f"line {number} of the {name}") for number, line in lines], name)


def read_lines(path: str, extension: str) -> List[bytes]:
    """What a task left as its output, each line one result. What `muster.task` left counts as a list; bytes of it are one result.

    Raises ResultError.
    """
    name = name_outfile(extension)
    data, word = read_output(path, name, bytes_max=OUTPUT_BYTES_MAX)
    if data is None:
        return []
    if word == b"json":
        return split_list(data, "the task's result")
    return [render_bytes(data, name)] if word == b"bytes" else split_lines(data, extension, name)


def split_list(raw: bytes, name: str) -> List[bytes]:
    """Results from a JSON list, as a task's helper gives it: its items. Raises ResultError."""
    render_json(raw, name, bytes_max=OUTPUT_BYTES_MAX)
    text = raw.decode("utf-8-sig")
    items = list(_find_items(text, name))
    _check_count(len(items), name)
    return _check_size(
        [render_json(item.encode(), f"item {number} of {name}") for number, item in enumerate(items, start=1)], name
    )


def _render_line(line: bytes, extension: str, name: str) -> bytes:
    line = line.rstrip(b"\r")
    if extension.lower() == "json":
        return render_json(line, name)
    try:
        return render_text(line.decode(), name)
    except UnicodeDecodeError:
        return render_bytes(line, name)


def _find_items(text: str, name: str) -> Iterator[str]:
    """The texts of a list's items. The text is known to be JSON."""
    place = _skip(text, 0)
    if text[place] != "[":
        raise ResultError(
            f"{name} is no list: this task's output is lines (MUSTER_TASK_OUTPUT), so each item of a list is one event"
        )
    place = _skip(text, place + 1)
    while text[place] != "]":
        _, end = _DECODER.raw_decode(text, place)
        yield text[place:end]
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found is not None else place


def _check_count(count: int, name: str) -> None:
    if count > RESULTS_MAX:
        raise ResultError(f"{name} makes {count} events; one attempt may make {RESULTS_MAX}")


def _check_size(results: List[bytes], name: str) -> List[bytes]:
    size_bytes = sum(map(len, results))
    if size_bytes > RENDERED_BYTES_MAX:
        raise ResultError(
            f"{name} makes results of {size_bytes} bytes as they travel; those of one attempt may have {RENDERED_BYTES_MAX}"
        )
    return results


_DECODER = json.JSONDecoder()
