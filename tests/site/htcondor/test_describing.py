"""Does a submit description say what was asked for, keep what must be kept, and hold nothing that it must not?"""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.errors import RejectedError
from muster.site.adapters.htcondor.bindings import check_expression
from muster.site.adapters.htcondor.describe import (
    Files,
    Policy,
    describe,
    quote,
    render_priority,
    render_requirements,
    render_words,
)
from muster.site.adapters.htcondor.placing import judge_requirements
from muster.site.ports.pool import ClusterSpec, Request

FILES = Files(
    Path("/site/TF-1/events.log"),
    Path("/site/TF-1/launch.sh"),
    ["/site/TF-1/muster-enrol.json", "/data/in put.csv"],
    Path("/site/TF-1/outputs"),
)


def of(*, policy: Policy | None = None, n_workers: int = 2, **request: object) -> dict[str, str]:
    spec = ClusterSpec(n_workers=n_workers, secret="s3cret", fence=4, request=Request(**request))  # type: ignore[arg-type]
    return describe(spec, policy or Policy(agent="site-1"), FILES, tag="TF-1")


def test_a_description_says_what_was_asked_for_in_htcondors_units() -> None:
    asked = of(n_cores=2, memory_bytes=(300 << 20) + 1, disk_bytes=(5 << 10) + 1, runtime_s_max=3600, priority=7)

    assert {name: asked[name] for name in ("request_cpus", "request_memory", "request_disk")} == {
        "request_cpus": "2",
        "request_memory": "301",
        "request_disk": "6",
    }
    assert (asked["allowed_execute_duration"], asked["+OriginalTime"]) == ("3600", "3600")
    assert asked["priority"] == "7 - ( ($(ProcId) * 3) / (1) )"
    assert (asked["log"], asked["transfer_output_files"], asked["output"]) == (str(FILES.log), '""', "/dev/null")
    assert asked["error"] == "/site/TF-1/outputs/$(ProcId).err"
    assert asked["+EWMSTaskforceUUID"] == '"TF-1"'
    assert (asked["+MusterAgent"], asked["+MusterFence"], asked["+MusterWorkers"]) == ('"site-1"', "4", "2")
    assert "request_gpus" not in asked
    assert of(gpus=2)["request_gpus"] == "2"


def test_no_secret_is_in_it() -> None:
    assert not any("s3cret" in text for text in of().values())


def test_only_large_clusters_are_made_bit_by_bit() -> None:
    policy = Policy(agent="a", factory_from=100, materialized_max=30)

    assert "max_idle" not in of(policy=policy, n_workers=99)
    assert of(policy=policy, n_workers=100)["max_idle"] == "30"


def test_what_the_operator_wants_is_in_it() -> None:
    policy = Policy(
        agent="a",
        requirements="HasSingularity",
        excluded_sites=["A b", 'C"d'],
        accounting_group="group_x",
        accounting_user="who",
        worker_image="/cvmfs/image",
        attributes={"ProjectName": '"P"'},
        starts_max=3,
    )
    asked = of(policy=policy, requirements="Cpus > 1 || true")

    assert asked["requirements"] == (
        '(HasSingularity) && (GLIDEIN_Site =!= "A b") && (GLIDEIN_Site =!= "C\\"d") && (Cpus > 1 || true)'
    )
    assert check_expression(asked["requirements"]) is None
    assert (asked["universe"], asked["container_image"]) == ("container", "/cvmfs/image")
    assert (asked["accounting_group"], asked["accounting_group_user"]) == ("group_x", "who")
    assert asked["+ProjectName"] == '"P"'
    assert asked["on_exit_hold"].endswith("NumJobCompletions < 3")
    for name in ("on_exit_hold", "on_exit_hold_reason"):
        assert check_expression(asked[name]) is None


@pytest.mark.parametrize("text", ["$ENV(HOME) == 1", "true\nqueue 5", "$$(Name)", "a\0b"])
def test_a_users_requirements_cannot_say_more_than_an_expression(text: str) -> None:
    with pytest.raises(RejectedError, match="condor_requirements"):
        of(requirements=text)


@pytest.mark.parametrize("name", ["/data/a,b", "/data/$(x)", "/data/a\nb"])
def test_a_file_that_htcondor_cannot_transfer_is_named(name: str) -> None:
    files = Files(FILES.log, FILES.launcher, [name], FILES.outputs)

    with pytest.raises(RejectedError, match="input_files"):
        describe(ClusterSpec(1, "s"), Policy(agent="a"), files, tag="TF-1")


@pytest.mark.parametrize("text", ["(" * 51 + "true" + ")" * 51, "a && (" * 60 + "true" + ")" * 60, "x" * 10_001])
def test_a_text_that_would_exhaust_who_reads_it_is_refused(text: str) -> None:
    assert "allowed" in str(judge_requirements(text))
    assert judge_requirements("((Cpus > 1) || (Memory > 2))") is None
    assert judge_requirements("") is None


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_a_text_in_an_expression_is_itself(text: str) -> None:
    assert check_expression(f"X == {quote(text)}") is None
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', quote(text), re.DOTALL)


def test_without_anybodys_wish_every_machine_will_do() -> None:
    assert render_requirements("", Policy(agent="a")) == "true"


@given(st.integers(-10, 1000), st.integers(1, 100_000))
def test_priorities_of_a_cluster_go_from_the_whole_to_about_half(priority: int, n_workers: int) -> None:
    text = render_priority(priority, n_workers)

    first, last = (evaluate(text, proc) for proc in (0, n_workers - 1))

    assert first == priority
    assert last == (priority if n_workers <= 1 or priority <= 1 else priority - priority // 2)


def evaluate(text: str, proc: int) -> int:
    return int(eval(text.replace("$(ProcId)", str(proc)).replace("/", "//")))


def test_words_are_quoted_in_the_newer_syntax() -> None:
    assert render_words(["a b", "it's", 'say "x"']) == """"'a b' 'it''s' 'say ""x""'\""""
