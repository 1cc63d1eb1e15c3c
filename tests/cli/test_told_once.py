"""Is what an error's text quotes from stderr shown once?"""

import pytest

from muster.cli.event import cut_what_was_said

TRACE = "Traceback (most recent call last):\n  File 'a.py', line 1\nValueError: no"


@pytest.mark.parametrize(
    ("tail", "text", "rest"),
    [
        (TRACE + "\n", f"task failed (exit 1): {TRACE}", ""),
        (f"warming up\n{TRACE}\n\n", f"task failed (exit 1): {TRACE}", "warming up"),
        (TRACE.replace("\n", "\n\n"), f"task failed (exit 1): {TRACE}", ""),
        ("the detector is off\n", "task failed (exit 3): the detector is off", ""),
        ("still working\n", "task failed: [Timeout-Error] timed out after 3s", "still working\n"),
        ("no\n", "task failed (exit 1): say no", "no\n"),
        ("", "task failed (exit 1): <no stderr logs>", ""),
        ("words\n", "", "words\n"),
    ],
)
def test_the_end_of_stderr_is_left_out_where_the_error_says_it(tail: str, text: str, rest: str) -> None:
    assert cut_what_was_said(tail, text) == rest
