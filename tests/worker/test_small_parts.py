"""Do the worker's small parts keep their promises: captures, log lines, commands, frames, patience?"""

import io
import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.worker.capture import Capture
from muster.worker.command import Command, CommandError, Places, Variables
from muster.worker.folders import AttemptFolder, Folders
from muster.worker.frames import (
    ANSWERED_MAX,
    Answer,
    Answered,
    FrameError,
    FrameReader,
    parse_answer,
    read_hello,
    render_event,
)
from muster.worker.infile import render_infile
from muster.worker.log_lines import BURST, EVERY_S, LogLines
from muster.worker.messages import Lease
from muster.worker.service import Patience


@given(st.lists(st.binary(max_size=40)))
def test_a_capture_keeps_both_ends_and_says_what_it_left_out(pieces: list[bytes]) -> None:
    capture, whole = Capture(64), b"".join(pieces)
    for piece in pieces:
        capture.add(piece)
    kept = capture.content()
    if len(whole) <= 64:
        assert kept == whole
    else:
        mark = b"\n[... %d bytes left out ...]\n" % (len(whole) - 64)
        assert kept == whole[:32] + mark + whole[-32:]
    capture.clear()
    assert (capture.content(), capture.size_bytes) == (b"", 0)


def test_a_capture_of_a_flood_stays_small() -> None:
    capture = Capture(1 << 16)
    for number in range(10_000):
        capture.add(b"%08d" % number * 128)
    assert len(capture.content()) < (1 << 16) + 100
    assert capture.tail_text().endswith("00009999" * 128)
    assert len(capture.tail_text()) == 8192


def test_log_lines_are_few_of_a_kind_and_say_how_many_were_left_out() -> None:
    stream, now = io.StringIO(), [0.0]
    log = LogLines(stream, clock=lambda: now[0])
    for _ in range(100):
        log.tell("often", number=1)
    log.tell("seldom")
    now[0] = EVERY_S
    log.tell("often", number=2)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["what"] for line in lines] == ["often"] * BURST + ["seldom", "often"]
    assert lines[-1]["left_out"] == 100 - BURST


WORD = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=10)


@given(st.lists(WORD.filter(lambda word: "{" not in word), min_size=1, max_size=6))
def test_a_command_is_split_as_a_shell_would(words: list[str]) -> None:
    assert Command(shlex.join(words)).fill(Places("/in", "/out", "/hub")) == words


@pytest.mark.parametrize("args", ["", "   ", "echo 'open", 'echo "'])
def test_a_command_that_is_none(args: str) -> None:
    with pytest.raises(CommandError, match="task_args"):
        Command(args)


def test_placeholders_are_filled_in_and_a_path_stays_one_word(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "with a space", input_dir=None, failures_kept=1)
    folder = folders.make("in", "out")
    command = Command("run --in={{INFILE}} {{IN_FILE}} '{{OUTFILE}}' {{OUT_FILE}} {{DATA_HUB}}/x {{DATAHUB}} {{OTHER}}")
    i, o, h = folder.infile, folder.outfile, folders.data_hub
    assert command.fill(Places(i, o, h)) == ["run", f"--in={i}", i, o, o, f"{h}/x", h, "{{OTHER}}"]


def test_a_folder_is_used_again_only_when_it_was_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "table").write_text("x")
    folders = Folders(tmp_path, input_dir=tmp_path / "inputs", failures_kept=1)
    capture = Capture()

    def settle(folder: AttemptFolder, *, is_good: bool) -> None:
        folders.settle(folder, is_good=is_good, stdout=capture, stderr=capture)

    first = folders.make("in", "out")
    names = (first.infile, first.outfile)
    Path(first.outfile).write_text("x")
    settle(first, is_good=True)
    second = folders.make("in", "out")
    assert second.path == first.path
    assert not {second.infile, second.outfile} & set(names)
    assert not Path(names[1]).exists()
    (Path(second.scratch) / "left").mkdir()
    settle(second, is_good=True)
    third = folders.make("in", "out")
    assert third.path != second.path
    assert not Path(second.path).exists()
    (Path(third.scratch) / "table").unlink()
    settle(third, is_good=True)
    kept = [folders.make("in", "out") for _ in range(3)]
    assert third.path not in {folder.path for folder in kept}
    for folder in kept:
        Path(folder.scratch).chmod(0o500)
        settle(folder, is_good=False)
    folders.close()
    assert sorted(path.name for path in Path(folders.data).iterdir()) == sorted([Path(kept[-1].path).name, "data-hub"])


def test_variables_leave_out_what_was_not_meant_for_tasks(tmp_path: Path) -> None:
    folders = Folders(tmp_path, input_dir=None, failures_kept=1)
    inherited = {
        "HOME": "/home/x",
        "PATH": "/bin",
        "MUSTER_WORKER_ENROL_FILE": "/secret",
        "AWS_TOKEN": "t",
        "TMPDIR": "/tmp",
    }
    variables = Variables(inherited, {"PYTHONPATH": "/mine"}, n_cores=2, data_hub="/hub", helper="/helper")
    folder = folders.make("in", "out")
    environment = variables.fill(folder, "EV-1/1")
    assert set(environment) == {
        *("HOME", "PATH", "PYTHONPATH", "TMPDIR", "MUSTER_ATTEMPT"),
        *("EWMS_TASK_DATA_HUB_DIR", "EWMS_TASK_INFILE", "EWMS_TASK_OUTFILE"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    }
    assert environment["PYTHONPATH"] == "/mine:/helper"
    assert environment["TMPDIR"] == folder.scratch


@pytest.mark.parametrize(
    ("kind", "body", "extension", "data", "word"),
    [
        ("json", b'"text"', "in", b"text", "text"),
        ("json", b'"text"', "JSON", b'"text"', "json"),
        ("json", b'"a \\"quote\\" and\\na line, \\u00e9"', "in", 'a "quote" and\na line, é'.encode(), "text"),
        ("json", b'"half \\ud83d"', "in", b"half ?", "text"),
        ("json", b'{"a":1.10, "a":1e400}', "in", b'{"a":1.10, "a":1e400}', "json"),
        ("json", b'"\\u00e9"', "json", b'"\\u00e9"', "json"),
        ("bytes", b'"\x00\xff', "in", b'"\x00\xff', "bytes"),
    ],
)
def test_an_input_file_is_written_by_kind_and_extension(
    kind: str, body: bytes, extension: str, data: bytes, word: str
) -> None:
    assert render_infile(Lease("EV-1", 1, 1, kind, body), extension) == (data, word)


def frame(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(4, "big") + len(body).to_bytes(4, "big") + header + body


@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=200)), max_size=5), st.integers(1, 60))
def test_frames_come_together_however_they_are_cut(frames: list[tuple[bytes, bytes]], piece: int) -> None:
    reader, data, seen = FrameReader(), b"".join(frame(*one) for one in frames), []
    for index in range(0, len(data), piece):
        reader.add(data[index : index + piece])
        while (one := reader.next_frame()) is not None:
            seen.append(one)
    assert seen == frames
    assert reader.is_empty


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"hello, world", "not answer in frames"),
        (b"\0\0\0\1\xff\xff\xff\xff", "answered with 4294967295 bytes"),
    ],
)
def test_what_is_no_frame_is_not_waited_for(data: bytes, reason: str) -> None:
    reader = FrameReader()
    reader.add(data)
    with pytest.raises(FrameError, match=reason):
        reader.next_frame()


def test_an_answer_names_event_fence_and_outcome() -> None:
    header = b'{"event":"EV-1","fence":3,"outcome":"none"}'
    assert parse_answer(header, b"x") == Answer(("EV-1", 3), "none", b"x")
    for header in (
        b'{"event":1,"fence":3,"outcome":"none"}',
        b'{"event":"EV-1","outcome":"none"}',
        b'{"event":"EV-1","fence":3,"outcome":"well"}',
        b'{"event":"EV-1","fence":3,"outcome":[]}',
        b"[]",
        b"{",
    ):
        with pytest.raises(FrameError):
            parse_answer(header, b"")
    with pytest.raises(FrameError, match="version 2"):
        read_hello(b'{"hello": 2}')


def test_an_event_for_a_warm_task_is_a_header_and_the_very_text() -> None:
    header = b'{"event":"EV-1","fence":3,"attempt":2,"kind":"json"}'
    assert render_event(Lease("EV-1", 3, 2, "json", b" 1.10")) == frame(header, b" 1.10")


def test_the_last_events_that_a_process_has_answered_are_known() -> None:
    answered = Answered()
    for number in range(ANSWERED_MAX + 1):
        answered.add((f"EV-{number}", 1))
    answered.check_repeated(Answer((f"EV-{ANSWERED_MAX}", 1), "none", b""))
    answered.check_repeated(Answer(("EV-1", 1), "none", b""))
    for key in (("EV-0", 1), ("EV-1", 2), ("EV-9999", 1)):
        with pytest.raises(FrameError, match="another event"):
            answered.check_repeated(Answer(key, "none", b""))


def test_patience_counts_from_the_first_failure_and_can_be_cut_short() -> None:
    now = [0.0]
    patience = Patience(offline_s=10, clock=lambda: now[0])
    now[0] = 100.0
    assert patience.has_left()
    patience.note_trouble()
    now[0] = 109.0
    assert patience.has_left()
    patience.note_answer()
    patience.note_trouble()
    now[0] = 118.0
    assert patience.has_left()
    now[0] = 119.5
    assert not patience.has_left()
    patience.note_answer()
    patience.limit(5)
    patience.limit_once(100)
    now[0] = 124.6
    assert not patience.has_left()
