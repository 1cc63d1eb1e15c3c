"""Does a task see the very JSON that was published, and does its result travel as it was written? Byte for byte, both ways."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.json_texts import HARD, TEXTS
from muster.worker.frames import FrameReader, render_event
from muster.worker.infile import render_infile
from muster.worker.messages import Lease
from worker.conftest import Worker
from worker.fake_service import FakeService
from worker.frame_tasks import ECHO

Start = Callable[..., Worker]
Script = Callable[[str], str]


@given(TEXTS)
def test_no_text_is_changed_on_its_way_into_a_file_or_a_frame(text: str) -> None:
    lease = Lease("EV-1", 1, 1, "json", text.encode())
    reader = FrameReader()
    reader.add(render_event(lease))
    frame = reader.next_frame()
    assert frame is not None
    assert frame[1] == text.encode()
    assert render_infile(lease, "json") == (text.encode(), "json")
    if not text.startswith('"'):
        assert render_infile(lease, "in") == (text.encode(), "json")


@pytest.mark.system
@pytest.mark.parametrize("warm", [False, True])
def test_hard_texts_come_back_from_a_task_as_they_were_published(start: Start, script: Script, warm: bool) -> None:  # noqa: FBT001
    args = script(ECHO) if warm else "cp {{INFILE}} {{OUTFILE}}"
    with FakeService(args=args, warm=warm) as service:
        service.publish_text(*HARD)
        start(service)
        service.wait_for(done=len(HARD))
        assert [text.decode() for text in service.result_texts()] == HARD


@pytest.mark.system
def test_any_text_comes_back_from_a_warm_task_as_it_was_published(start: Start, script: Script) -> None:
    with FakeService(args=script(ECHO), warm=True) as service:
        start(service)

        @settings(max_examples=30, deadline=None)
        @given(st.lists(TEXTS, min_size=1, max_size=20))
        def echo(texts: list[str]) -> None:
            events = service.publish_text(*texts)
            service.wait_for(done=len(service.events))
            assert [event.result_texts for event in events] == [[text.encode()] for text in texts]

        echo()


@pytest.mark.system
def test_a_string_is_written_without_quotes_to_a_file_that_is_not_json(start: Start) -> None:
    with FakeService(args="cp {{INFILE}} {{OUTFILE}}", infile_ext="in", outfile_ext="out") as service:
        service.publish_text(r'"a \"quote\",\na line and \u00e9"', r'{"a": "\u00e9", "a": 1.10}')
        start(service)
        service.wait_for(done=2)
        assert service.results() == ['a "quote",\na line and é', r'{"a": "\u00e9", "a": 1.10}']
