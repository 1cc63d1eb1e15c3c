"""Does the client describe every route of our door, and only those?"""

import functools
import inspect
import re
from typing import Any, get_args

import msgspec
import pytest

from harness.route_table import read_table
from muster.client import calls, file_calls, site_calls
from muster.client.call import Call
from muster.client.making import BASE
from muster.client.routes import Route, Routes
from muster.client.shapes.consumers import Consume
from muster.client.shapes.events import Publish
from muster.client.shapes.files import NewFile
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.shapes.service import Whoami
from muster.client.shapes.sites import Claim, Completed, Removed, SiteFailure, SiteReport, Submitted
from muster.client.shapes.worker_orders import OrderDone, OrderWorkers, TakeOrders
from muster.client.shapes.workflows import ReviseTask
from muster.domain.worker_order import OrderAction

TF = "TF-1-2-3-4"
WF = "WF-1-2"
WO = "WO-1"
FILE = "0123456789abcdef" * 2
HEARD = "open_stream"
"""Is not sent for an answer: the conversations of `muster.client.live` hear it."""
STREAMED = ("send_file", "fetch_file")
"""Are made by `upload_file` and `download_file`: their bytes do not stand in the call."""
EXAMPLES: dict[str, Call[Any]] = {
    "submit_workflow": calls.submit_workflow(NewWorkflow(tasks=[])),
    "list_workflows": calls.list_workflows(),
    "get_workflow": calls.get_workflow(WF),
    "get_progress": calls.get_progress(WF),
    "open_stream": calls.open_stream(WF),
    "finish_workflow": calls.finish_workflow(WF),
    "abort_workflow": calls.abort_workflow(WF),
    "pause_workflow": calls.pause_workflow(WF, reason="lunch"),
    "drain_workflow": calls.drain_workflow(WF),
    "resume_workflow": calls.resume_workflow(WF),
    "get_account": calls.get_account(WF),
    "get_usage": calls.get_usage(WF),
    "get_errors": calls.get_errors(WF),
    "list_hosts": calls.list_hosts(WF),
    "trust_host": calls.trust_host(WF, "c7"),
    "list_workers": calls.list_workers(WF, taskforce=TF),
    "explain_workflow": calls.explain_workflow(WF),
    "list_events": calls.list_events(WF),
    "list_event_bodies": calls.list_event_bodies(WF),
    "list_dead_letters": calls.list_dead_letters(WF),
    "replay_dead_letters": calls.replay_dead_letters(WF),
    "publish_events": calls.publish_events(WF, "in", Publish(events=[])),
    "close_queue": calls.close_queue(WF, "in"),
    "get_queue_access": calls.get_queue_access(WF, "in"),
    "open_consumer": calls.open_consumer(WF, "in"),
    "step_consumer": calls.step_consumer("C1", Consume(call=1)),
    "close_consumer": calls.close_consumer("C1"),
    "promise_file": file_calls.promise_file(WF, NewFile(1, "sha256:")),
    "send_file": file_calls.send_file(WF, FILE, size_bytes=1),
    "fetch_file": file_calls.fetch_file(WF, FILE),
    "get_event": calls.get_event("EV-1"),
    "get_event_tail": calls.get_event_tail("EV-1"),
    "get_event_logs": calls.get_event_logs("EV-1", attempt=2),
    "get_task": calls.get_task("TK-1-2-3"),
    "add_workers": calls.add_workers("TK-1-2-3", location="local", n_workers=1),
    "revise_task": calls.revise_task("TK-1-2-3", ReviseTask(task_args="true")),
    "get_taskforce": calls.get_taskforce(TF),
    "release_taskforce": calls.release_taskforce(TF),
    "query": calls.query("tasks", {"workflow_id": WF}),
    "purge": calls.purge(),
    "reset": calls.reset(),
    "whoami": calls.whoami(),
    "get_limits": calls.get_limits(),
    "list_locations": calls.list_locations(),
    "get_health": calls.get_health(),
    "get_readiness": calls.get_readiness(),
    "claim": site_calls.claim(Claim(agent="a", locations=["local"])),
    "submitted": site_calls.submitted(TF, Submitted(agent="a", fence=1, cluster_id=1, n_workers=1)),
    "submit_failed": site_calls.submit_failed(TF, SiteFailure(agent="a", fence=1, error="e")),
    "removed": site_calls.removed(TF, Removed(agent="a", fence=1)),
    "remove_failed": site_calls.remove_failed(TF, SiteFailure(agent="a", fence=1, error="e")),
    "completed": site_calls.completed(TF, Completed(agent="a", fence=1, at=1.0)),
    "order_workers": calls.order_workers(TF, OrderWorkers(OrderAction.HOLD, [1])),
    "get_worker_order": calls.get_worker_order(TF, WO, wait_s=5),
    "take_orders": site_calls.take_orders(TakeOrders("a")),
    "order_done": site_calls.order_done(WO, OrderDone("a", TF)),
    "report": site_calls.report(SiteReport(agent="a")),
}


def _documented() -> set[tuple[str, str]]:
    """Without the workers' routes and those that are not for programs."""
    return {
        (method, path)
        for method, path in read_table()
        if "/worker/" not in path and path not in ("/openapi.json", "/metrics")
    }


def _described() -> set[tuple[str, str]]:
    ids = re.compile(r"(?<=/)(WF-1-2|[0-9a-f]{32}|TF-1-2-3-4|TK-1-2-3|C1|EV-1|WO-1|in)(?=/|$)")
    queries = [calls.query(what) for what in get_args(calls.Queried)]
    sent = [*EXAMPLES.values(), *queries]
    return {(call.method, ids.sub("{}", call.path.removeprefix(BASE))) for call in sent}


def test_every_documented_route_is_a_call_and_every_call_is_a_documented_route() -> None:
    assert _described() == _documented()


def test_every_call_is_a_method_of_the_clients() -> None:
    builders = {
        name
        for module in (calls, file_calls, site_calls)
        for name, one in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and one.__module__ == module.__name__
    }
    methods = {name for name, one in vars(Routes).items() if isinstance(one, Route)}
    assert methods | {HEARD, *STREAMED} == builders == set(EXAMPLES)


@pytest.mark.parametrize("name", ["submit_workflow", "publish_events", "replay_dead_letters", "add_workers"])
def test_creations_carry_a_key_of_their_own(name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "submit_workflow": (NewWorkflow(tasks=[]),),
        "publish_events": (WF, "in", Publish(events=[])),
        "replay_dead_letters": (WF,),
        "add_workers": ("TK-1-2-3",),
    }
    build = getattr(calls, name)
    if name == "add_workers":
        build = functools.partial(build, location="local", n_workers=1)

    made = {build(*arguments[name]).headers["Idempotency-Key"] for _ in range(3)}
    named = build(*arguments[name], idempotency_key="mine").headers["Idempotency-Key"]

    assert (len(made), named) == (3, "mine")


@pytest.mark.parametrize("name", ["../x", "a/b", "a?b", "a#b", "..", "ä", "a b", "%2f"])
def test_a_name_stays_in_its_segment_of_the_path(name: str) -> None:
    path = calls.get_workflow(name).path

    assert re.fullmatch(r"/muster/v1/workflows/[A-Za-z0-9%_~.-]+", path)
    assert ".." not in path


def test_only_what_is_set_stands_in_the_query() -> None:
    call = calls.list_workflows(mine=True, limit=5)

    assert call.query == {"mine": "true", "limit": "5"}


def test_a_parked_call_is_given_its_time() -> None:
    assert calls.get_progress(WF, seen="t", wait_s=20).parked_s == 20
    assert site_calls.claim(Claim(agent="a", locations=["local"], wait_s=7)).parked_s == 7


def test_an_answer_may_have_fields_that_are_not_known() -> None:
    whoami = calls.whoami().read(b'{"name": "ann", "roles": [], "shoe_size": 41}')

    assert whoami == Whoami("ann", [])


def test_all_dead_letters_are_meant_by_leaving_the_names_out() -> None:
    every, named = calls.replay_dead_letters(WF), calls.replay_dead_letters(WF, ["EV-1"])
    of_one = calls.replay_dead_letters(WF, queue="in")

    bodies = [msgspec.json.decode(call.body or b"") for call in (every, named, of_one)]
    assert bodies == [{}, {"events": ["EV-1"]}, {"queue": "in"}]
