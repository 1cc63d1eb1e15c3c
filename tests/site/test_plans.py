"""Is an order judged before anything is placed, an exit after it, and a report cut to what changed?"""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.site_fakes import FakeJournal, FakePool, FakeService, PoolWorld
from muster.client.shapes.sites import StartOrder
from muster.domain.errors import UnavailableError
from muster.site.adapters.processes.folder import read_said
from muster.site.adapters.processes.restart import TEXT_MAX, Exit, Finished, RestartPolicy, StartAgain, judge_exit
from muster.site.ports.pool import Observation, PilotStatus, ProcState
from muster.site.services.parts import Parts
from muster.site.services.plan_cluster import UnfitError, plan_cluster
from muster.site.services.report import TOP_ERRORS, ReportBook, render_errors, render_statuses

RUNNING = (ProcState.RUNNING, PilotStatus.TASKING)
IDLE = (ProcState.IDLE, None)


def order(**fields: Any) -> StartOrder:
    given: dict[str, Any] = {
        "taskforce_uuid": "TF-1",
        "workflow_id": "WF-1",
        "task_id": "TK-1",
        "location": "local",
        "schedd": "local",
        "fence": 4,
        "n_workers": 2,
        "task_image": "",
        "worker_config": {},
        "pilot_config": {},
        "secret": "s3cret",
    }
    return StartOrder(**(given | fields))


def test_an_order_becomes_a_spec() -> None:
    pilot = {"tag": "latest", "environment": {"A": 1, "B": ["x", "y"]}, "input_files": ["/data/a.csv"]}

    spec = plan_cluster(order(pilot_config=pilot), workers_max=2, has_containers=False)

    assert (spec.n_workers, spec.secret, spec.fence) == (2, "s3cret", 4)
    assert (spec.environment, spec.input_files) == ({"A": "1", "B": "x;y"}, ("/data/a.csv",))
    assert "s3cret" not in repr(spec)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"task_image": "img:1"}, ["no container runtime here", "img:1", "local", "task_args"]),
        ({"n_workers": 0}, ["n_workers 0", "1..10"]),
        ({"n_workers": 11}, ["n_workers 11", "1..10", "local", "MUSTER_SITE_WORKERS_MAX", "is 10"]),
        ({"pilot_config": {"environment": {"A B": "x"}}}, ["environment['A B']", "variable name"]),
        (
            {"pilot_config": {"environment": {"MUSTER_WORKER_URL": "http://x"}}},
            ["MUSTER_WORKER_URL", "http://x", "agent"],
        ),
        (
            {"pilot_config": {"environment": {"MUSTER_WORKER_BATCH": ["1", "2"]}}},
            ["MUSTER_WORKER_BATCH", "'1;2'", "whole"],
        ),
        (
            {"pilot_config": {"environment": {"MUSTER_TASKFORCE": "TF-2"}}},
            ["MUSTER_TASKFORCE", "TF-2", "Muster itself"],
        ),
        ({"pilot_config": {"environment": {"A": "x\0y"}}}, ["environment['A']", "NUL"]),
        ({"pilot_config": {"environment": {"A": "x" * 100_001}}}, ["environment['A']", "100001", "100000"]),
        ({"pilot_config": {"environment": {f"A{n}": "x" * 90_000 for n in range(20)}}}, ["environment", "1000000"]),
        ({"pilot_config": {"environment": ["A"]}}, ["pilot_config", "environment"]),
        ({"pilot_config": {"input_files": ["data/a.csv"]}}, ["input_files", "data/a.csv", "absolute"]),
        ({"pilot_config": {"input_files": ["/a/x.csv", "/b/x.csv"]}}, ["input_files", "'x.csv'"]),
    ],
)
def test_an_order_that_cannot_be_carried_out_here_names_field_value_and_limit(
    fields: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UnfitError) as caught:
        plan_cluster(order(**fields), workers_max=10, has_containers=False)

    assert [word for word in words if word not in str(caught.value)] == []


EXITS = st.one_of(
    st.builds(Exit, code=st.integers(0, 255), said=st.text(max_size=400)),
    st.builds(Exit, signum=st.integers(1, 64), said=st.text(max_size=400)),
    st.builds(Exit),
)


@given(EXITS, st.integers(0, 8), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_a_worker_is_started_again_until_it_failed_too_often_in_a_row(
    ended: Exit,
    failures: int,
    is_healthy: bool,  # noqa: FBT001
    jitter: float,
) -> None:
    policy = RestartPolicy(starts_max=4, first_s=1.0, delay_s_max=5.0, healthy_s=60.0)

    verdict = judge_exit(ended, failures=failures, is_healthy=is_healthy, policy=policy, jitter=jitter)

    in_a_row = 1 if is_healthy else failures + 1
    if ended.code == 0:
        assert verdict == Finished(None)
    elif in_a_row >= 4:
        assert isinstance(verdict, Finished)
        assert verdict.error is not None
        assert 0 < len(verdict.error) <= TEXT_MAX
    else:
        assert isinstance(verdict, StartAgain)
        assert verdict.failures == in_a_row
        assert 0 < verdict.delay_s <= 5.0


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (Exit(code=1), "worker ended with status 1"),
        (Exit(code=3, said="no container runtime here"), "worker ended with status 3: no container runtime here"),
        (Exit(signum=9), "worker was killed by SIGKILL"),
        (Exit(signum=40), "worker was killed by signal 40"),
        (Exit(), "worker vanished"),
    ],
)
def test_an_exit_is_described_in_one_line(ended: Exit, text: str) -> None:
    assert ended.describe() == text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  plain words \n", "plain words"),
        ('{"at": "2026-01-01T00:00:00Z", "what": "refused", "status": 403}', "refused: status 403"),
        ('{"what": "ready", "left_out": 3}', "ready"),
        ("[1, 2]", "[1, 2]"),
        ('{"broken', '{"broken'),
    ],
)
def test_a_log_line_is_read_without_its_time(line: str, said: str) -> None:
    assert read_said(line) == said


def test_statuses_are_rendered_in_upstreams_words() -> None:
    seen = Observation({RUNNING: 2, IDLE: 1, (ProcState.COMPLETED, PilotStatus.FATAL): 3}, {"e": 3}, 3, None)

    assert render_statuses(seen) == {"RUNNING": {"Tasking": 2}, "IDLE": {"null": 1}, "COMPLETED": {"FatalError": 3}}


@given(st.dictionaries(st.text(string.ascii_letters, min_size=1), st.integers(1, 99), max_size=30))
def test_the_most_common_errors_are_reported(errors: dict[str, int]) -> None:
    rendered = render_errors(Observation({}, errors, 0, 1.0))

    assert len(rendered) == min(len(errors), TOP_ERRORS)
    assert sorted(rendered.values(), reverse=True) == sorted(errors.values(), reverse=True)[:TOP_ERRORS]


@pytest.mark.anyio
async def test_only_what_changed_is_reported_and_nothing_is_lost_with_an_answer() -> None:
    service = FakeService()
    service.add("TF-1")
    service.add("TF-2")
    parts = Parts(FakePool(PoolWorld()), FakeJournal(), service, "a", workers_max=1)
    book = ReportBook()
    running, ended = Observation({RUNNING: 1}, {}, 1, None), Observation({IDLE: 1}, {"e": 1}, 1, None)

    await book.report(parts, {"TF-1": running, "TF-2": running})
    await book.report(parts, {"TF-1": running, "TF-2": running})
    service.away = 1
    with pytest.raises(UnavailableError):
        await book.report(parts, {"TF-1": ended, "TF-2": running})
    unknown = await book.report(parts, {"TF-1": ended, "TF-2": running, "TF-3": running})

    assert [sorted(report.compound_statuses) for report in service.reports] == [["TF-1", "TF-2"], ["TF-1", "TF-3"]]
    assert [report.top_task_errors for report in service.reports] == [
        {"TF-1": {}, "TF-2": {}},
        {"TF-1": {"e": 1}, "TF-3": {}},
    ]
    assert unknown == ["TF-3"]
