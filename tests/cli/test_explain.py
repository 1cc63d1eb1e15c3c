"""Does `muster workflow explain` tell people what waits for whom, since when, and what to type?"""

import msgspec
import pytest

from harness.stack import Stack
from muster.cli.console import render_time
from muster.cli.explain import put_explanation
from muster.client.shapes.explanation import ExplanationView, ReasonView, TaskforceReasonView

AT = 1_800_000_000.0
REASON = ReasonView(
    cause="not-taken",
    text="no site agent has taken the workers yet: is `muster site` running for far?",
    waits_for="site-agent",
    since=AT - 200,
    last_error=None,
    remedies=["MUSTER_SITE_LOCATIONS=far muster site"],
    needs_help=True,
)
TASKFORCE = TaskforceReasonView(
    **msgspec.structs.asdict(REASON)
    | {
        "text": "its workers wait to be started (1 start failed, the last one: no room)",
        "last_error": "no room",
        "remedies": [],
    },
    taskforce_uuid="TF-1",
    task_id="TK-1",
    location="far",
    schedd="ap.far",
    phase="pending-starter",
    cluster_id=None,
    workers=0,
    n_workers=2,
)
EXPLANATION = ExplanationView(
    workflow_id="WF-1",
    name="sums",
    state="active",
    at=AT,
    verdict="stalled",
    summary="it stands still: 3 events waiting",
    reasons=[REASON],
    taskforces=[TASKFORCE],
    working=1,
    over=2,
    left_out=0,
)


def test_people_read_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    put_explanation(EXPLANATION)

    since = render_time(AT - 200)
    assert capsys.readouterr().out.splitlines() == [
        "WF-1 (sums): it stands still: 3 events waiting",
        "",
        "  no site agent has taken the workers yet: is `muster site` running for far?",
        "    waits for  site agent",
        f"    since      {since}, for 3 min 20 s",
        "    next       MUSTER_SITE_LOCATIONS=far muster site",
        "",
        "1 taskforce not at work, 1 at work, 2 over",
        "",
        "  TF-1: pending-starter at far, 0 of 2 workers up",
        "    its workers wait to be started (1 start failed, the last one: no room)",
        "      waits for  site agent",
        f"      since      {since}, for 3 min 20 s",
    ]


def test_the_end_is_told_once_and_an_error_that_no_sentence_has_is_told_beside(
    capsys: pytest.CaptureFixture[str],
) -> None:
    over = msgspec.structs.replace(REASON, cause="ended", text="it was aborted", waits_for="nobody", remedies=[])
    left = msgspec.structs.replace(
        REASON, text="left\nbehind\x1b[2J", since=None, last_error="no luck", waits_for="nobody"
    )
    found = msgspec.structs.replace(
        EXPLANATION, summary="it was aborted", reasons=[over, left], taskforces=[], left_out=7, working=0, over=0
    )

    put_explanation(found)

    assert capsys.readouterr().out.splitlines() == [
        "WF-1 (sums): it was aborted",
        "",
        "  left behind\\x1b[2J",
        "    last error no luck",
        "    next       MUSTER_SITE_LOCATIONS=far muster site",
        "",
        "7 taskforces not at work",
        "",
        "  and 7 more: muster workflow show WF-1",
    ]


FLOW = {
    "name": "copies",
    "tasks": [
        {
            "cluster_locations": ["local"],
            "task_image": "",
            "task_args": "cp {{INFILE}} {{OUTFILE}}",
            "input_queue_aliases": ["in"],
            "output_queue_aliases": ["out"],
        }
    ],
    "public_queue_aliases": ["in", "out"],
    "finish_when_done": True,
}


@pytest.mark.system
def test_a_workflow_of_muster_up_is_explained_from_the_start_to_its_end(running: Stack) -> None:
    file = running.root / "flow.json"
    file.write_bytes(msgspec.json.encode(FLOW))
    workflow = running.run("workflow", "submit", str(file)).stdout.strip()

    told = running.run("workflow", "explain", "latest")

    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(f"{workflow} (copies): it has nothing to do: ")
    assert f"muster queue publish {workflow} in FILE --close" in told.stdout
    published = running.run("queue", "publish", workflow, "in", "-", "--close", stdin="1\n2\n")
    assert published.returncode == 0, published.stderr
    assert running.run("workflow", "watch", workflow).returncode == 0
    found = running.run_json("workflow", "explain", workflow)
    assert (found["verdict"], [one["cause"] for one in found["reasons"]]) == ("ended", ["ended"])
    assert found["summary"].startswith("it finished itself at ")
