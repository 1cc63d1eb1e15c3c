"""Is what cannot travel refused where it arose, and what can passed on unchanged?"""

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain import queue
from muster.worker.results import BODY_BYTES_MAX, ResultError, read_outfile, render_bytes, render_json, render_text

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"])), inner),
)


@given(JSON, st.booleans())
def test_json_travels_unchanged(value: object, ascii_only: bool) -> None:  # noqa: FBT001
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert json.loads(render_json(raw, "x")) == {"kind": "json", "body": value}
    assert raw in render_json(raw, "x")


@given(st.text())
def test_text_becomes_one_string(text: str) -> None:
    assert json.loads(render_text(text, "x"))["body"] == text


@given(st.binary())
def test_bytes_travel_as_base64(data: bytes) -> None:
    message = json.loads(render_bytes(data, "x"))
    assert (message["kind"], base64.b64decode(message["body"])) == ("bytes", data)


def test_worker_and_service_have_one_limit() -> None:
    assert BODY_BYTES_MAX == queue.BODY_BYTES_MAX


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "line 1 column 1"),
        (b'{"a": 1,\n  b}', "line 2 column 3"),
        (b"1 2", "Extra data"),
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b'"\xff"', "utf-8"),
        (b'["\\ud83d"]', "half of a surrogate pair"),
        (b"[" * 257 + b"]" * 257, "nested deeper than 256"),
        (b"[" * 200_000, "promised JSON"),
        (b"1" * 4001, "number of more than 4000 digits"),
        (b'"' + b"x" * BODY_BYTES_MAX + b'"', "1048578 bytes; a result may have 1048576"),
    ],
)
def test_what_the_service_would_refuse_is_refused_here(raw: bytes, reason: str) -> None:
    with pytest.raises(ResultError, match=reason):
        render_json(raw, "output")


@pytest.mark.parametrize(
    "raw",
    [
        b'"\\ud83d\\ude00"',
        b'"\\\\ud83d"',
        b"[" * 256 + b"]" * 256,
        b'"' + b"[" * 300 + b'"',
        b"1" * 4000,
        b'"' + b"9" * 5000 + b'"',
        b'"' + b"x" * (BODY_BYTES_MAX - 2) + b'"',
        b"\xef\xbb\xbf[1]",
    ],
)
def test_what_it_takes_passes(raw: bytes) -> None:
    assert json.loads(render_json(raw, "x"))["kind"] == "json"


def test_an_output_file_is_read_by_its_word_then_by_its_extension(tmp_path: Path) -> None:
    path = tmp_path / "outfile"
    assert read_outfile(str(path), "json") is None
    path.write_bytes(b"[1]")
    assert read_outfile(str(path), "JSON") == b'{"kind":"json","body":[1]}'
    assert read_outfile(str(path), "out") == b'{"kind":"json","body":"[1]"}'
    (tmp_path / "outfile.kind").write_text("json")
    assert read_outfile(str(path), "out") == b'{"kind":"json","body":[1]}'
    (tmp_path / "outfile.kind").write_text("bytes")
    assert read_outfile(str(path), "json") == render_bytes(b"[1]", "x")
    (tmp_path / "outfile.kind").unlink()
    path.write_bytes(b"\xff\x00")
    assert read_outfile(str(path), "txt") == render_bytes(b"\xff\x00", "x")


def test_an_output_that_is_no_file_or_too_large_is_said_so_without_reading_it(tmp_path: Path) -> None:
    pipe, folder, large = tmp_path / "pipe", tmp_path / "folder", tmp_path / "large"
    os.mkfifo(pipe)
    folder.mkdir()
    with large.open("wb") as file:
        file.truncate(1 << 40)
    for path, reason in ((pipe, "no regular file"), (folder, "no regular file"), (large, "1099511627776 bytes")):
        with pytest.raises(ResultError, match=reason):
            read_outfile(str(path), "out")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(ResultError, match="no regular file"):
        read_outfile(str(tmp_path / "zero"), "out")
