"""Is each byte of a task's output written once, as far as it was seen at all?"""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.cli.follow_logs import Follower
from muster.client.shapes.events import LiveStreamView, TailView

KEPT = 16


def view(printed: bytes, *, lease: int | None = 1, stderr: bytes = b"") -> TailView:
    def render(data: bytes) -> LiveStreamView:
        return LiveStreamView(base64.b64encode(data[-KEPT:]).decode(), len(data))

    return TailView("EV-1", "in_work", lease, render(printed), render(stderr), 1.0)


@given(st.lists(st.binary(max_size=40)))
def test_what_is_new_is_written_once_and_what_was_missed_is_counted(parts: list[bytes]) -> None:
    written: list[bytes] = []
    follower = Follower(("stdout",), put=written.append)
    printed = expected = b""
    for part in parts:
        printed += part
        expected += part[-KEPT:]
        follower.show(view(printed))
        follower.show(view(printed))

    assert b"".join(written) == expected


def test_another_attempt_begins_anew_and_streams_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    written: list[bytes] = []
    both, one = Follower(("stdout", "stderr"), put=written.append), Follower(("stderr",), put=written.append)
    both.show(TailView("EV-1", "waiting", None, None, None, None))
    both.show(view(b"out", stderr=b"err"))
    both.show(view(b"out", lease=2))
    one.show(view(b"out", stderr=b"err"))

    assert written == [b"out", b"err", b"out", b"err"]
    assert "another attempt has begun" in capsys.readouterr().err
