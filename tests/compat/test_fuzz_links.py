"""Does any row of requests, each of which takes up what an earlier answer named, get a 5xx or a status that is not in the documents?

schemathesis goes along the links in the documents that the service gives of itself. What is made up at random seldom does anything, so
about half of the requests get ids and a body that would do there, from what the answers so far have told. Every row begins with a workflow
that a user has just submitted. Seeds are printed; `MUSTER_TEST_EXAMPLES` says how many, for half as many rows a door and party.
"""

import contextlib
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import Case
from schemathesis.core.transport import Response
from schemathesis.generation.stateful.state_machine import APIStateMachine

from compat import samples
from compat.conftest import OURS, Running
from compat.described import (
    DOORS,
    EXAMPLES,
    PARTIES,
    STREAM,
    TIMEOUT_S,
    judge,
    load_schema,
    read_document,
)
from compat.exact import Json
from muster.worker.protocol import VERSION

ROWS = max(5, EXAMPLES // 2)
STEPS = 12
WAIT_S = 0.1
"""Seconds that a call may park."""
WHOEVER_MAY = "whoever may"
CALLERS = {
    "/site/": "system-tms",
    "/tms/": "system-tms",
    "/mq-group": "system-wms",
    "/mq-profiles/{mqid}": "system-wms",
}
DONE_MIN = 3
"""Operations that succeed at least: rows in which nothing is ever done would find nothing."""
AGENT = "fuzzed-site"
SUBMIT: Mapping[str, str] = {"muster": "/muster/v1/workflows", "v0": "/v0/workflows", "v0-mqs": "/v0/workflows"}
IN_PATH = {"uuid": "taskforce_uuid"}
"""Parameters of paths that answers call otherwise."""
Told = dict[str, list[Any]]
"""What answers had under each name, the newest last."""


def last(told: Told, name: str, default: Any) -> Any:
    return told.get(name, [default])[-1]


def claimed(told: Told, **fields: Any) -> Json:
    return {"agent": AGENT, "fence": last(told, "fence", 1), **fields}


def lease(told: Told) -> list[Any]:
    return [[last(told, "event", "0"), last(told, "fence", 1)]] if "event" in told else []


def workflow(*locations: str) -> Json:
    return samples.request(samples.task(cluster_locations=list(locations), attempts=2))


MAKE: tuple[tuple[str, Callable[[Told], Json]], ...] = (
    (r"POST /muster/v1/workflows", lambda _: workflow(OURS)),
    (r"POST /v[01]/workflows", lambda _: samples.request()),
    (r"POST .*/queues/[^/]*/events", lambda _: {"events": [{"body": {"n": 1}}, {"body": "x", "key": "k"}]}),
    (r"POST .*/consumers/[^/]*/step", lambda told: {"call": 1, "want": 1, "ack": lease(told)}),
    (r"POST .*/consumers", lambda _: {"lease_s": 60}),
    (r"POST .*/tasks/.*/add-workers", lambda _: {"location": OURS, "n_workers": 1}),
    (r"POST .*/add-workers", lambda _: {"cluster_location": "test-beta", "n_workers": 1}),
    (r"POST .*/site/claims", lambda _: {"agent": AGENT, "locations": [OURS], "wait_s": WAIT_S, "lease_s": 30}),
    (r"POST .*/submitted", lambda told: claimed(told, cluster_id=7, n_workers=2)),
    (r"POST .*/(submit|remove)-failed", lambda told: claimed(told, error="no room")),
    (r"POST .*/removed", claimed),
    (r"POST .*/completed", lambda told: claimed(told, at=time.time())),
    (
        r"POST .*/site/reports",
        lambda told: {
            "agent": AGENT,
            "compound_statuses": {last(told, "taskforce_uuid", "TF-1"): {"RUNNING": {"Task": 2}}},
        },
    ),
    (
        r"POST .*/worker/enrol",
        lambda told: {
            "protocol": VERSION,
            "taskforce": last(told, "taskforce_uuid", "TF-1"),
            "secret": last(told, "secret", ""),
            "cluster": "7",
            "proc": 0,
            "start": len(told.get("session", [])),
        },
    ),
    (r"POST .*/worker/step", lambda _: {"call": 1, "want": 2}),
    (r"POST .*/worker/renew", lambda told: {"held": lease(told)}),
    (r"POST .*/worker/leave", lambda _: {"reason": "enough"}),
    (r"POST .*/reservation", lambda _: {"queue_aliases": ["in", "out"], "public": ["in"]}),
    (r"POST .*/activation", lambda _: {"criteria": {"priority": 7}}),
    (r"POST .*/condor-submit/.*/failed", lambda _: {"error": "no room"}),
    (r"POST .*/condor-submit/.*", lambda _: samples.submit_report()),
    (r"POST .*/condor-rm/.*/failed", lambda _: {"error": "no such cluster"}),
    (r"POST .*/condor-complete/.*", lambda _: {"condor_complete_ts": int(time.time())}),
    (
        r"POST .*/tms/statuses/.*",
        lambda told: {"top_task_errors_by_taskforce": {last(told, "taskforce_uuid", "TF-1"): {"it broke": 3}}},
    ),
    (r"POST .*/query/.*", lambda told: {"query": {"workflow_id": last(told, "workflow_id", "WF-1")}, "projection": []}),
)
"""By operation: the first whose pattern fits."""


def find_maker(label: str) -> Callable[[Told], Json] | None:
    return next((make for pattern, make in MAKE if re.fullmatch(pattern, label)), None)


def note(told: Told, name: str, answer: Any) -> None:
    """All that an answer names, wherever it stands; of a list of names each one."""
    if isinstance(answer, list):
        for one in answer:
            note(told, name.removesuffix("s"), one)
    elif isinstance(answer, dict):
        for inner, one in answer.items():
            note(told, inner, one)
    elif isinstance(answer, str | int):
        told.setdefault(name, []).append(answer)


@dataclass
class Run:
    """What came of the rows of one door and party."""

    rows: int = 0
    followed: Counter[str] = field(default_factory=Counter)
    faults: list[AssertionError] = field(default_factory=list)


def choose_token(party: str, path: str) -> str:
    """Of a party, or of whoever may call a route."""
    if party != WHOEVER_MAY:
        return party
    return next((role for part, role in CALLERS.items() if part in path), "user")


def make_machine(running: Running, door: str, party: str, run: Run) -> type[APIStateMachine]:
    schema = load_schema(running, read_document(running, door)).exclude(path=STREAM)
    machine: type[APIStateMachine] = schema.as_state_machine()
    session = requests.Session()
    opening = running.url + SUBMIT.get(door, "/v1/workflows")
    new = MAKE[0][1]({}) if door == "muster" else samples.request()

    class Row(machine):  # type: ignore[misc, valid-type]
        told: Told

        def setup(self) -> None:
            run.rows += 1
            self.told = {}
            answer = session.post(opening, json=new, headers={"Authorization": "Bearer user"}, timeout=TIMEOUT_S)
            assert answer.ok, answer.text
            note(self.told, "", answer.json())

        def before_call(self, case: "Case[Any]") -> None:
            if zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode()) % 2:
                make = find_maker(case.operation.label)
                if make is not None:
                    case.body = make(self.told)
                for name in case.path_parameters:
                    case.path_parameters[name] = last(self.told, IN_PATH.get(name, name), case.path_parameters[name])
            if isinstance(case.body, dict) and "wait_s" in case.body:
                case.body["wait_s"] = WAIT_S

        def get_call_kwargs(self, case: "Case[Any]") -> dict[str, Any]:
            token = choose_token(party, case.operation.path)
            if "/worker/" in case.operation.path:
                token = last(self.told, "token", token)
            return {"session": session, "headers": {"Authorization": f"Bearer {token}"}, "timeout": TIMEOUT_S}

        def validate_response(self, response: "Response", case: "Case[Any]", *_: Any, **__: Any) -> None:
            try:
                judge(case, response)
            except AssertionError as fault:
                run.faults.append(fault)
                raise
            if response.status_code < 400:
                run.followed[case.operation.label] += 1
                if "json" in response.headers.get("content-type", [""])[0]:
                    note(self.told, "", response.json())

    return Row


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("party", [*PARTIES, WHOEVER_MAY])
@pytest.mark.parametrize("door", DOORS)
def test_no_row_of_requests_finds_a_fault_of_ours(running: Running, door: str, party: str) -> None:
    run = Run()
    while run.rows < ROWS and not run.faults:
        chosen = random.randrange(2**32)
        print(f"seed {chosen}")
        machine = seed(chosen)(make_machine(running, door, party, run))
        wanted = settings(
            max_examples=ROWS - run.rows,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        # A row that begins as an earlier one did may be answered otherwise, for the service remembers: then it begins anew.
        with contextlib.suppress(FlakyStrategyDefinition):
            machine.run(settings=wanted)

    print(f"{run.rows} rows; what was done: {dict(run.followed)}")
    assert run.faults == []
    if party == WHOEVER_MAY:
        assert len(run.followed) >= DONE_MIN
