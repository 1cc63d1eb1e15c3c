"""Does JSON stay as its publisher wrote it through the whole chain: service, database, worker, task, and back?"""

from pathlib import Path

import msgspec
import pytest

from harness.json_texts import HARD
from harness.stack import Stack
from muster.client.shapes.events import NewEventBody
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from worker.frame_tasks import ECHO

pytestmark = pytest.mark.system


@pytest.mark.parametrize("warm", [False, True])
def test_a_task_gets_the_published_text_and_its_result_is_the_text_it_wrote(
    stack: Stack,
    tmp_path: Path,
    warm: bool,  # noqa: FBT001
) -> None:
    stack.start_serve()
    stack.start_site()
    (tmp_path / "echo.py").write_text(ECHO)
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args="python echo.py" if warm else "cp {{INFILE}} {{OUTFILE}}",
        input_files=[str(tmp_path / "echo.py")],
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        infile_ext="json",
        outfile_ext="json",
        warm=warm,
    )
    with stack.client() as client:
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        values = [NewEventBody(body=msgspec.Raw(text.encode())) for text in HARD]
        client.publish(workflow, "in", values, close=True)

        texts = [bytes(event.body).decode() for event in client.consume(workflow, "out")]

    assert sorted(texts) == sorted(HARD)
