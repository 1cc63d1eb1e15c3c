"""Does each metric move when its thing happens, and does none cost the database anything?"""

import re
from pathlib import Path

import anyio
import pytest
import yaml

from muster.domain.errors import UnauthenticatedError, UnavailableError
from muster.server.app import make_daemons
from muster.server.daemons.count import count
from muster.server.doors.metrics import SHOWN
from muster.server.doors.metrics_page import PLACE, render_page
from muster.server.ports.census import Counted
from server.stand import OPERATOR, Stand

pytestmark = pytest.mark.anyio
RULES = Path(__file__).parents[2] / "deploy" / "prometheus-rules.yaml"


async def read(stand: Stand) -> dict[str, float]:
    """Every sample, by its name with its labels."""
    answer = await stand.ask("GET", "/metrics", by=OPERATOR)
    assert answer.headers["content-type"].startswith("text/plain")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def find_names(text: str) -> set[str]:
    """Names of metrics as they stand in rules and queries."""
    return set(re.findall(r"\b(?:muster|process)_[a-z_]+\b", text))


async def test_the_page_says_of_each_metric_that_is_served_what_it_is(stand: Stand) -> None:
    assert PLACE.read_text() == render_page(), "run `make docs`"
    served = {}
    for line in (await stand.ask("GET", "/metrics", by=OPERATOR)).text.splitlines():
        if match := re.fullmatch(r"# TYPE (\S+) (\S+)", line):
            served[match[1]] = match[2]
    listed = dict(re.findall(r"^\| `(\S+)` \| (\S+) \|", PLACE.read_text(), re.MULTILINE))
    assert {name: kind for name, kind in served.items() if not name.endswith("_created")} == listed


async def test_the_example_of_rules_names_metrics_that_there_are(stand: Stand) -> None:
    text = (await stand.ask("GET", "/metrics", by=OPERATOR)).text
    served = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    assert len(group["rules"]) > 10
    for rule in group["rules"]:
        names = find_names(rule["expr"])
        assert names <= served, rule["alert"]
        assert names or "up{" in rule["expr"]
        assert rule["annotations"]["summary"].endswith((".", "}}"))


async def test_what_is_asked_for_without_a_token_is_refused_and_counted(stand: Stand) -> None:
    before = await read(stand)
    answers = [await stand.ask("GET", "/metrics", by=who) for who in (None, "nobody")]
    forbidden = await stand.ask("POST", "/muster/v1/site/reports", {"agent": "a"}, by="ada")
    after = await read(stand)

    assert [one.status_code for one in (*answers, forbidden)] == [401, 401, 403]
    assert (
        after['muster_sign_ins_total{outcome="refused"}'] - before.get('muster_sign_ins_total{outcome="refused"}', 0)
        == 2
    )
    assert after['muster_sign_ins_total{outcome="forbidden"}'] == 1
    assert after['muster_sign_ins_total{outcome="accepted"}'] > before['muster_sign_ins_total{outcome="accepted"}']


async def test_a_provider_that_does_not_answer_is_told_from_a_token_that_is_not_good(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception] = [UnavailableError("the provider does not answer"), UnauthenticatedError("no")]

    async def fail(token: str) -> None:
        raise answers.pop(0)

    with monkeypatch.context() as patched:
        patched.setattr(stand.parts.identity, "identify", fail)
        assert (await stand.ask("GET", "/muster/v1/whoami")).status_code == 503
        assert (await stand.ask("GET", "/muster/v1/whoami")).status_code == 401
    assert stand.parts.measures.sign_ins == {"unavailable": 1, "refused": 1}


async def test_what_is_in_the_database_is_counted_and_named_by_state_phase_and_location(stand: Stand) -> None:
    assert "muster_workflows{" not in str(await read(stand)), "not counted yet"
    workflow = await stand.submit()
    await stand.submit()
    await stand.publish(workflow, 1, 2, 3)
    await stand.parts.engine.fold()
    ended = await stand.submit()
    await stand.end(ended, "abort")

    assert await count(stand.parts.store, stand.parts.measures)
    found = await read(stand)

    assert found['muster_workflows{state="active"}'] == 2
    assert found['muster_workflows{state="aborted"}'] == 1
    assert found['muster_events{reader="tasks",state="waiting"}'] == 3
    assert found['muster_events{reader="people",state="waiting"}'] == 0
    assert sum(value for name, value in found.items() if name.startswith("muster_taskforces{")) == 2
    assert found['muster_taskforces{location="local",phase="pre-mq-activation"}'] == 2
    assert found["muster_leases"] == found["muster_events_pausing"] == found["muster_outbox_held_back"] == 0
    assert found["muster_counted_timestamp_seconds"] > 0
    assert workflow["workflow_id"] not in str(found)


async def test_a_count_that_took_long_is_not_made_again_soon(stand: Stand) -> None:
    measures = stand.parts.measures
    assert await count(stand.parts.store, measures)
    measures.counted_s = 60.0
    assert not await count(stand.parts.store, measures)
    measures.counted_s = 0.0
    assert await count(stand.parts.store, measures)


async def test_every_daemon_has_its_rounds_and_one_whose_database_is_away_has_failures(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise UnavailableError("the database does not answer")

    monkeypatch.setattr(stand.parts.store, "heartbeat", fail)
    daemons = make_daemons(stand.parts)
    async with anyio.create_task_group() as group:
        for daemon in daemons:
            await group.start(daemon.run)
        rounds = stand.parts.measures.rounds
        with anyio.fail_after(30):
            while not all(one.passes for one in rounds.values()):  # noqa: ASYNC110 - nobody would tell us
                await anyio.sleep(0.01)
        found = await read(stand)
        group.cancel_scope.cancel()

    assert rounds.keys() == {daemon.name for daemon in daemons}
    assert found['muster_daemon_failures_total{daemon="heartbeat"}'] >= 1
    assert found['muster_daemon_last_success_timestamp_seconds{daemon="heartbeat"}'] == 0
    assert found['muster_daemon_last_success_timestamp_seconds{daemon="activation"}'] > 1e9
    assert found['muster_daemon_failures_total{daemon="activation"}'] == 0
    assert found['muster_daemon_seconds_total{daemon="activation"}'] > 0


async def test_a_scrape_asks_the_database_nothing(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.parts.measures.counted = Counted({"active": 1}, {("pending-starter", "local"): 100_000}, {}, 0, 0, {}, 0)

    async def fail(*_: object, **__: object) -> None:
        raise AssertionError("the database was asked")

    for name in ("read", "write", "check"):
        monkeypatch.setattr(stand.parts.store, name, fail)
    found = await read(stand)
    assert found['muster_taskforces{location="local",phase="pending-starter"}'] == 100_000


def test_no_metric_is_listed_twice_and_each_has_its_sentence() -> None:
    names = [one.name for one in SHOWN]
    assert len(set(names)) == len(names)
    assert all(one.text.endswith(".") for one in SHOWN)
