"""Is a job judged against slots as HTCondor judges it, and is the obstacle named that keeps it?"""

import inspect
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.settings.parts import SiteSettings
from muster.site.adapters.htcondor import explain, held_reasons, match_reasons, resources, turn_reasons
from muster.site.adapters.htcondor.classads import Expression
from muster.site.adapters.htcondor.collector import PoolLook
from muster.site.adapters.htcondor.explain import explain_again
from muster.site.adapters.htcondor.held_reasons import HeldProc, explain_held
from muster.site.adapters.htcondor.match_reasons import explain_refusal, explain_unmet
from muster.site.adapters.htcondor.matching import Matching, Source, list_slot_attributes, match, split_requirements
from muster.site.adapters.htcondor.turn_reasons import Waiting, explain_turn

Slot = Mapping[str, Any]

ADDED = (
    ' && (TARGET.Arch == "X86_64") && (versionGE(split(TARGET.CondorVersion)[1],"25.12.0") || (TARGET.Disk >= RequestDisk)) && '
    "(TARGET.Memory >= RequestMemory) && (TARGET.HasFileTransfer)"
)


def make_job(requirements: str = "", **attributes: object) -> dict[str, Any]:
    described = f"(({requirements}))" if requirements else "true"
    asked = {"requestmemory": 1024, "requestcpus": 1, "requestdisk": 1024, **attributes}
    return {**asked, "requirements": Expression(described + ADDED), "owner": "me"}


def make_slot(**attributes: object) -> dict[str, Any]:
    """A partitionable slot of 8 cores and 16 GiB."""
    slot: dict[str, Any] = {
        "slottype": "Partitionable",
        "state": "Unclaimed",
        "start": True,
        "arch": "X86_64",
        "hasfiletransfer": True,
        "condorversion": "$CondorVersion: 25.14.1 2026-10-16 $",
    }
    for name, amount in {"cpus": 8, "memory": 16384, "disk": 1 << 20, "gpus": 0}.items():
        slot[f"totalslot{name}"] = attributes.get(f"totalslot{name}", attributes.get(name, amount))
        slot[name] = amount
    return {**slot, **attributes}


def judge(job: Mapping[str, Any], slots: Sequence[Slot], *, operators: str = "", sites: Sequence[str] = ()) -> Matching:
    return match(job, slots, operators=operators, sites=sites)


def test_every_clause_has_the_one_who_asks_for_it() -> None:
    job = make_job('(HasIt) && (GLIDEIN_Site =!= "A") && (Foo > 3)')
    slots = [make_slot(hasit=True, foo=foo, glidein_site="B") for foo in (1, 5)]

    matching = judge(job, slots, operators="HasIt", sites=['GLIDEIN_Site =!= "A"'])

    assert [(clause.text, clause.source, clause.n_meets) for clause in matching.clauses] == [
        ("memory", Source.REQUEST, 2),
        ("cpus", Source.REQUEST, 2),
        ("disk", Source.REQUEST, 2),
        ("HasIt", Source.OPERATOR, 2),
        ('GLIDEIN_Site isnt "A"', Source.SITES, 2),
        ("Foo > 3", Source.USER, 1),
        ('TARGET.Arch == "X86_64"', Source.HTCONDOR, 2),
        ("TARGET.HasFileTransfer", Source.HTCONDOR, 2),
    ]
    assert matching.pick(matching.fits) == [slots[1]]
    assert matching.accepts == matching.free == matching.fits


def test_what_is_to_be_asked_of_slots_is_what_the_clauses_name_of_them() -> None:
    job = make_job("Foo > RequestMemory && TARGET.Bar")
    texts = [text for text, _ in split_requirements(job)]
    assert list_slot_attributes(job, texts) == {
        "foo",
        "bar",
        "arch",
        "condorversion",
        "disk",
        "memory",
        "hasfiletransfer",
    }


def test_a_partitionable_slot_that_is_full_fits_and_has_no_room() -> None:
    matching = judge(make_job("Memory > 8000"), [make_slot(cpus=0, memory=512, totalslotcpus=8, totalslotmemory=16384)])
    assert (matching.fits, matching.accepts, matching.free) == (1, 1, 0)


def test_a_static_slot_has_room_where_it_is_not_claimed() -> None:
    slots = [make_slot(slottype="Static", state=state) for state in ("Claimed", "Unclaimed", "Owner")]
    matching = judge(make_job(), slots)
    assert (matching.fits, matching.free) == (0b111, 0b010)


def test_what_a_slots_attribute_depends_on_is_seen() -> None:
    good = Expression("Memory > 10000 && Local")
    slots = [make_slot(good=good, local=local) for local in (True, False)]
    assert judge(make_job("Good"), slots).fits == 0b01


def test_a_policy_reads_the_job_and_what_the_jobs_attributes_depend_on() -> None:
    start = Expression("TARGET.Hours < 5 && RequestMemory < Limit")
    job = make_job(hours=Expression("OriginalTime / 3600"), originaltime=7200)
    slots = [make_slot(start=start, limit=limit) for limit in (100, 5000)]

    matching = judge(job, slots)

    assert matching.accepts == 0b10
    assert matching.refusals == {"RequestMemory < Limit": 1}


def test_a_static_slot_is_in_use_by_whom_its_ad_names() -> None:
    slots = [make_slot(slottype="Static", state="Claimed", remoteuser="eve@pool", childcpus=None)] * 2
    matching = judge(make_job(), slots)

    [told] = explain_turn(Waiting(make_job(), since=990), matching, look(slots), now=1000, patience_s=60)

    assert told.startswith(
        "All 2 slots that fit are busy now: jobs of others run there (eve@pool 16 cores; this agent's user: 0); "
    )


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=12))
def test_what_is_named_as_the_obstacle_is_one(rows: list[list[bool]]) -> None:
    slots = [make_slot(**dict(zip("abcd", row, strict=True))) for row in rows]

    matching = judge(make_job("a && b && c && d"), slots)

    fits = [index for index, row in enumerate(rows) if all(row)]
    assert [index for index in range(len(rows)) if matching.fits >> index & 1] == fits
    named = {clause.text for clause in matching.find_unmet()}
    assert named == {name for column, name in enumerate("abcd") if not any(row[column] for row in rows)}
    conflict = ["abcd".index(clause.text) for clause in matching.find_conflict() if not named]
    if not fits and not named:
        assert len(conflict) >= 2
        assert not any(all(row[column] for column in conflict) for row in rows)
        for left_out in conflict:  # and not one of them too many
            assert any(all(row[column] for column in conflict if column != left_out) for row in rows)


REASONS: Sequence[tuple[str, Mapping[str, Any], Sequence[Slot], str]] = [
    (
        "memory",
        make_job(requestmemory=512000),
        [make_slot(), make_slot(memory=65536), make_slot()],
        "No slot has 500 GiB of memory: the largest of the 3 slots has 64 GiB; ask for less (worker_memory).",
    ),
    (
        "GPUs, of which there are some",
        make_job(requestgpus=4),
        [make_slot(gpus=2), make_slot()],
        "No slot has 4 GPUs: the largest of the 2 slots has 2; ask for fewer (MUSTER_TASK_GPUS).",
    ),
    (
        "a clause",
        make_job('Site == "X" && Cpus > 1'),
        [make_slot(site="A"), make_slot(site="A"), make_slot(site="B")],
        'None of the 3 slots meets `Site == "X"`: Site is "A" at 2, "B" at 1; change condor_requirements.',
    ),
    (
        "a number",
        make_job("Memory > 200000"),
        [make_slot(memory=left, totalslotmemory=total) for left, total in ((5, 1000), (6, 2000), (7, 3000), (8, 4000))],
        "None of the 4 slots meets `Memory > 200000`: Memory is 1000 to 4000; change condor_requirements.",
    ),
    (
        "an attribute",
        make_job("HasMemry"),
        [make_slot(), make_slot()],
        "No slot has the attribute HasMemry (there is HasMemory), and `HasMemry` holds at none of the 2 slots; change condor_requirements.",
    ),
    (
        "another machine",
        make_job(),
        [make_slot(arch="aarch64"), make_slot(arch="aarch64")],
        (
            'None of the 2 slots meets `TARGET.Arch == "X86_64"`: Arch is "aarch64" at 2; HTCondor wants it for every job of this access '
            "point that does not say otherwise in condor_requirements."
        ),
    ),
    (
        "three that do not go together",
        make_job("(a || b) && (b || c) && (a || c)", requestcpus=4),
        [make_slot(a=True, b=False, c=False), make_slot(a=False, b=True, c=False), make_slot(a=False, b=False, c=True)],
        (
            "No slot meets all that is asked for: of the 3 slots 2 meet `a || b`, 2 meet `b || c`, 2 meet `a || c`, and none all; "
            "change condor_requirements."
        ),
    ),
    (
        "draining, and policies",
        make_job(originaltime=7200),
        [make_slot(draining=True), make_slot(start=Expression("OriginalTime < 3600")), make_slot(start=False)],
        (
            "1 of the 3 slots that fit is being drained and takes nothing new; wait, or ask the pool's operator to end the draining "
            "(condor_drain -cancel)."
        ),
    ),
    (
        "a policy on the time",
        make_job(originaltime=7200),
        [make_slot(start=Expression("TARGET.OriginalTime < 3600 && true"))] * 2,
        (
            "The owner's policy at all 2 slots that fit refuses these workers: START wants `TARGET.OriginalTime < 3600`; change "
            "max_worker_runtime, or ask the pool's operator."
        ),
    ),
]


@pytest.mark.parametrize(("job", "slots", "first"), [case[1:] for case in REASONS], ids=[case[0] for case in REASONS])
def test_the_first_sentence_names_the_obstacle(job: Mapping[str, Any], slots: Sequence[Slot], first: str) -> None:
    matching = judge(job, slots)
    sentences = [*explain_unmet(matching, {"HasMemory", "Cpus"}), *explain_refusal(matching)]
    assert sentences[0] == first


def look(slots: Sequence[Slot], **further: Any) -> PoolLook:
    return PoolLook("pool:9618", slots, **{"accounts": (), "negotiators": 1, "schedds": (), **further})


FULL = [
    make_slot(
        cpus=0,
        totalslotcpus=8,
        childaccountinggroup=["g.eve@pool", None, None, None],
        childremoteuser=["nobody@pool", "me@pool", "me@pool", None],
        childcpus=[3, 4, 1, None],
    )
]


@pytest.mark.parametrize(
    ("waiting", "slots", "known", "first"),
    [
        (Waiting(make_job(), since=970), [make_slot()], {}, None),
        (
            Waiting(make_job(), since=900),
            [make_slot()] * 2,
            {},
            "2 slots fit and have room, and the workers wait for the next match, since 100 s; HTCondor has not considered them yet: wait; ",
        ),
        (
            Waiting(make_job(), since=900, rejection=("no match found", 990)),
            [make_slot()],
            {},
            "1 slot fits and has room, and the workers wait for the next match, since 100 s; HTCondor's last word is: no match found",
        ),
        (
            Waiting(make_job(), since=990),
            FULL,
            {},
            (
                "The one slot that fits is busy now (0 cores left at most, 1 asked for): jobs of others run there "
                "(g.eve@pool 3 cores; this agent's user: 5); wait, "
            ),
        ),
        (Waiting(make_job(), since=1030), [make_slot()], {}, None),
        (
            Waiting(make_job(), since=4000),
            [make_slot()],
            {},
            "1 slot fits and has room, and the workers wait since before the access point's clock was set back, by 3000 s or more: ",
        ),
        (Waiting(make_job(), since=990), [make_slot()], {"negotiators": 0}, "Nobody matches jobs with slots: "),
        (
            Waiting(make_job(), since=990, rejection=("submitter limit exceeded", 995)),
            [make_slot()],
            {},
            "It is the turn of others: HTCondor says: submitter limit exceeded; ",
        ),
        (
            Waiting(make_job(), since=990, rejection=("submitter limit exceeded", 995), matched_at=996),
            [make_slot()],
            {},
            None,
        ),
        (
            Waiting(make_job(acctgroup="a.b"), since=990),
            [make_slot()],
            {
                "accounts": [
                    {"name": "a", "isaccountinggroup": True, "weightedresourcesused": 9.5, "effectivequota": 10}
                ]
            },
            "The accounting group a has used up its quota: 9.5 of 10 cores, and a worker asks for 1; ",
        ),
        (
            Waiting(make_job(globaljobid="ap#1.0#5"), since=990),
            [make_slot()],
            {"schedds": [{"name": "ap", "totalrunningjobs": 200, "maxjobsrunning": 200}]},
            "The access point ap runs as many jobs as it may, 200 of 200, ",
        ),
    ],
)
def test_whose_turn_it_is(waiting: Waiting, slots: Sequence[Slot], known: Mapping[str, Any], first: str | None) -> None:
    sentences = explain_turn(waiting, judge(waiting.job, slots), look(slots, **known), now=1000, patience_s=60)
    assert [sentence[: len(first or "")] for sentence in sentences[:1]] == ([first] if first else [])


def test_held_workers_are_told_by_cause_the_most_frequent_first() -> None:
    held = [
        HeldProc(1, 0, "lunch (by user me)"),
        HeldProc(34, 0, "Error from slot1@x: memory usage exceeded request_memory."),
        HeldProc(34, 0, "Error from slot2@x: memory usage exceeded request_memory."),
        HeldProc(99, 5, ""),
    ]

    assert explain_held(held, cluster=7, n_workers=9, starts_max=20) == [
        (
            "2 of 9 workers were stopped for using more memory than asked for: Error from slot1@x: memory usage exceeded request_memory; "
            "ask for more (worker_memory)."
        ),
        (
            "1 of 9 workers is held by hand: lunch (by user me); whoever did it, or the operator, can let it go on (muster worker release, "
            "or condor_release 7)."
        ),
        "1 of 9 workers is held: (5, 99, 5); it is tried again by itself, after a pause that grows.",
    ]


def test_workers_that_were_taken_away_or_could_not_start_are_told_from_the_third_time_on() -> None:
    twice = {"NumJobStarts": 2, "NumShadowStarts": 2}
    often = {"NumJobStarts": 5, "NumJobCompletions": 1, "NumShadowStarts": 9, "VacateReason": "maintenance"}

    taken, failed = explain_again([twice, often], n_workers=4)

    assert taken.startswith(
        "1 of 4 workers was started and taken away from its machine again, up to 4 times (the last time: maintenance); "
    )
    assert failed.startswith("1 of 4 workers was given to a machine that could not start it, up to 4 times; ")
    assert explain_again([twice], n_workers=4) == []

    [broken] = explain_again(
        [{**often, "NumShadowStarts": 5, "VacateReason": "Error from slot1@x: no test"}], n_workers=4
    )
    assert broken.startswith(
        "1 of 4 workers was given to machines that began and failed, up to 4 times (the last time: Error from slot1@x: no test); "
    )


@pytest.mark.parametrize("module", [explain, held_reasons, match_reasons, resources, turn_reasons])
def test_every_setting_that_sentences_name_exists(module: ModuleType) -> None:
    named = set(re.findall(r"MUSTER_SITE_\w+", inspect.getsource(module)))
    assert named <= {f"MUSTER_SITE_{field.upper()}" for field in SiteSettings.model_fields}
