"""Does what an attempt printed read well?"""

import pytest

from muster.cli.event_logs import put_logs
from muster.client.shapes.events import AttemptLogView, StreamView


def test_both_streams_stand_under_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    stdout = StreamView("one\ntwo\n", 8, is_whole=True)
    stderr = StreamView("begin\n[... 3000000 bytes left out ...]\nend\x1b[2J", 3_000_010, is_whole=False)

    put_logs(AttemptLogView("EV-1", 2, "failed", stdout, stderr, has_ends_only=False, kept=[1, 2]))

    assert capsys.readouterr().out.splitlines() == [
        "EV-1, attempt 2: failed",
        "",
        "stdout (8 B)",
        "  one",
        "  two",
        "",
        "stderr (of 2.86 MiB the beginning and the end)",
        "  begin",
        "  [... 3000000 bytes left out ...]",
        "  end\\x1b[2J",
    ]


def test_what_is_not_kept_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    end = StreamView("the end", 7, is_whole=False)

    put_logs(AttemptLogView("EV-1", 3, "failed", end, None, has_ends_only=True, kept=[1]))

    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "EV-1, attempt 3: failed",
        "",
        "stdout (the end)",
        "  the end",
        "",
        "stderr: nothing is kept",
    ]
    assert "no more than the ends is kept of attempt 3; more is kept of attempt 1" in said.err
