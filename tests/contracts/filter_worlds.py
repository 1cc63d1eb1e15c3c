"""What is asked of what? Objects with anything in them, and filters that are likely to say something of them.

`ANYTHING` is meant to break things: names with dots, quotation marks and NUL, numbers that doubles cannot hold, arrays in arrays.
`PLAIN` is what clients send, of which SQL can say everything.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from contracts.store_bench import A_DIRECTIVE, A_TASKFORCE, A_WORKFLOW, AN_ENTRY
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow, WorkflowState

Json = Any

ODD_TEXTS = (
    *(
        "",
        "a",
        "b",
        "A",
        "ab",
        "a.b",
        "$x",
        "$eq",
        "HELD: a.b $x",
        'q"',
        "\\",
        "\\u0000",
        "é",
        "😀",
        "0",
        "1",
        "01",
        "null",
    ),
    *("\0", "a\0b", "%", "_", "'", "'; --", "\n", "\x7f", "\u2028", "[0]", "-"),
)
ODD_NUMBERS = (
    *(0, 1, -1, 5, 5.0, 0.1, 0.30000000000000004, 1.5, -0.0, 4.999999999999999, 1e308, 5e-324, 1.2345678901234567e30),
    *(2**31 - 1, 2**31, 2**53 - 1, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30, -(10**30)),
    *(1000.5, 1e22, 10**22),
)


@dataclass(frozen=True)
class World:
    """What objects hold.

    Args:
        texts: in columns of text.
        names: of fields.
        objects: in columns of JSON.
        nested: in columns of JSON whose objects hold objects.
        scalars, values: what filters compare with.
        is_plain: filters ask only what SQL can say.
    """

    texts: st.SearchStrategy[str]
    names: st.SearchStrategy[str]
    objects: st.SearchStrategy[dict[str, Json]]
    nested: st.SearchStrategy[dict[str, Json]]
    scalars: st.SearchStrategy[Json]
    values: st.SearchStrategy[Json]
    is_plain: bool


def make_world(*, is_plain: bool) -> World:
    """A world."""
    if is_plain:
        texts = st.sampled_from(["", "a", "b", "A", "é", "HELD: x $y", "TF-1", "null"]) | st.text("ab ", max_size=3)
        scalars: st.SearchStrategy[Json] = st.none() | st.booleans() | st.integers(-3, 3) | texts
        names: st.SearchStrategy[str] = st.sampled_from(["a", "b", "A", "HELD: x $y", "0", "null"])
        # Where one object has an array no other one has an object: through arrays SQL follows no path.
        lists = st.lists(scalars, max_size=3)
        flat = st.fixed_dictionaries({}, optional={"a": scalars, "HELD: x $y": scalars, "0": scalars, "list": lists})
        objects = st.fixed_dictionaries({}, optional={"b": scalars, "list": lists, "object": flat})
        return World(texts, names, objects, st.dictionaries(names, objects, max_size=2), scalars, scalars, is_plain)
    texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=3)
    numbers = st.sampled_from(ODD_NUMBERS) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    scalars = st.none() | st.booleans() | numbers | texts
    names = st.sampled_from(ODD_TEXTS)
    values = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
    )
    objects = st.dictionaries(names, values, max_size=3)
    return World(texts, names, objects, st.dictionaries(names, objects, max_size=2), scalars, values, is_plain)


ANYTHING, PLAIN = make_world(is_plain=False), make_world(is_plain=True)


@st.composite
def taskforces(draw: st.DrawFn, world: World, *, has_nul: bool) -> tuple[Taskforce, list[PhaseLogEntry]]:
    """A taskforce with its log. Its uuid is to be chosen."""
    texts = world.texts if has_nul else world.texts.filter(lambda text: "\0" not in text)
    times = st.sampled_from([0.0, 1000.5, 1e9 + 0.1]) | st.floats(0, 1e10)
    entries = st.builds(
        replace,
        st.just(AN_ENTRY),
        target_phase=st.sampled_from(Phase),
        at=times,
        was_successful=st.booleans(),
        source_event_time=st.none() | times,
        source_entity=texts,
        context=texts,
    )
    one = replace(
        A_TASKFORCE,
        workflow_id=draw(texts),
        created_at=draw(times),
        priority=draw(st.integers(0, 200) | st.sampled_from([2**31 - 1])),
        schedd=draw(texts),
        collector=draw(st.none() | texts),
        n_workers=draw(st.integers(0, 3)),
        phase=draw(st.sampled_from(Phase)),
        cluster_id=draw(st.none() | st.integers(0, 3) | st.just(2**62)),
        job_event_log_fpath=draw(texts),
        worker_config=draw(world.objects),
        pilot_config=draw(world.objects),
        submit_dict=draw(world.objects),
        compound_statuses=draw(world.nested),
        top_task_errors=draw(world.objects),
    )
    return one, draw(st.lists(entries, min_size=1, max_size=3))


@st.composite
def directives(draw: st.DrawFn, world: World) -> TaskDirective:
    """A task directive. Its id is to be chosen."""
    lists = st.lists(world.texts, max_size=3).map(tuple)
    variables = st.dictionaries(world.names, world.texts, max_size=2)
    return replace(
        A_DIRECTIVE,
        created_at=draw(st.floats(0, 1e10)),
        cluster_locations=draw(lists),
        input_queues=draw(lists),
        output_queues=draw(lists),
        task_image=draw(world.texts),
        task_args=draw(world.texts),
        init_image=draw(world.texts),
        init_args=draw(world.texts),
        task_env=draw(variables),
        init_env=draw(variables),
    )


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    """A workflow. Its id is to be chosen."""
    state = draw(st.sampled_from(WorkflowState))
    return replace(
        A_WORKFLOW,
        created_at=draw(st.floats(0, 1e10)),
        priority=draw(st.integers(1, 100)),
        state=state,
        ended_at=None if state is WorkflowState.ACTIVE else draw(st.floats(0, 1e10)),
    )


@st.composite
def queries(
    draw: st.DrawFn, world: World, documents: Sequence[Mapping[str, Json]], *, depth: int = 2
) -> dict[str, Json]:
    """A query that may fit some of the documents, or some part of it may."""
    if depth and draw(st.integers(0, 3)) == 0:
        inner = queries(world, documents, depth=depth - 1)
        name = draw(st.sampled_from(["$and", "$or", "$nor"]))
        return {name: draw(st.lists(inner, min_size=1, max_size=3))}
    query = {}
    for _ in range(draw(st.integers(1, 2))):
        path, value = draw(places(world, documents))
        query[".".join(path)] = draw(operands(world, value, depth=depth))
    return query


@st.composite
def places(draw: st.DrawFn, world: World, documents: Sequence[Mapping[str, Json]]) -> tuple[list[str], Json]:
    """A path into some document, and what is there; or a little further, or nowhere."""
    here: Json = draw(st.sampled_from(documents))
    path: list[str] = []
    is_within = False  # an array, or at one
    while isinstance(here, dict | list) and here and (not path or draw(st.integers(0, 3))):
        if isinstance(here, dict):
            name = draw(st.sampled_from(sorted(here)))
            here = here[name]
            path.append(name)
            is_within |= isinstance(here, list)
        else:
            place = draw(st.integers(0, len(here) - 1))
            here = here[place]
            if not world.is_plain and draw(st.booleans()):
                path.append(str(place))
            elif not isinstance(here, dict):
                break
    if draw(st.integers(0, 9)) == 0 and not (world.is_plain and (is_within or len(path) > 1)):
        path.append(draw(st.sampled_from(["a", "0", "nowhere", "_id"])))
    if path[0].startswith("$"):
        path[0] = "_id"
    return path, here


def operands(world: World, value: Json, *, depth: int) -> st.SearchStrategy[Json]:
    """What may be asked of a place where this value is: operators, or a value."""
    return operators(world, value, depth=depth) | _values_near(world, value).filter(_is_value)


def operators(world: World, value: Json, *, depth: int) -> st.SearchStrategy[Json]:
    """One operator, with what it is about."""
    values = _values_near(world, value)
    lists = st.lists(values.filter(_is_value), max_size=3)
    asked: list[st.SearchStrategy[Json]] = [
        *(st.fixed_dictionaries({name: values}) for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")),
        *(st.fixed_dictionaries({name: lists}) for name in ("$in", "$nin", "$all")),
        st.fixed_dictionaries({"$exists": st.booleans()}),
        st.fixed_dictionaries({"$size": st.integers(0, 3)}),
    ]
    if not world.is_plain:
        fields = st.fixed_dictionaries({"a": world.values.filter(_is_value)})
        asked.append(st.fixed_dictionaries({"$regex": st.sampled_from(["a", "^a", "A|b", ".", "^$"])}))
        asked.append(st.fixed_dictionaries({"$elemMatch": fields}))
    if depth:
        inner = operators(world, value, depth=depth - 1)
        asked.append(st.fixed_dictionaries({"$not": inner}))
        asked.append(st.fixed_dictionaries({"$elemMatch": inner}))
    return st.one_of(asked)


def _values_near(world: World, value: Json) -> st.SearchStrategy[Json]:
    if not world.is_plain:
        return st.just(value) | world.values | _near(value)
    return world.scalars if isinstance(value, dict | list) else st.just(value) | world.scalars | _near(value)


def _is_value(one: Json) -> bool:
    return not (isinstance(one, dict) and next(iter(one), "").startswith("$"))


def _near(value: Json) -> st.SearchStrategy[Json]:
    """Almost the same value, or a part of it."""
    match value:
        case bool():
            return st.sampled_from([int(value), not value])
        case int() | float():
            near = [value + 1, value - 1, value + 0.5, float(value) if abs(value) < 10**300 else 0, math.floor(value)]
            return st.sampled_from([one for one in near if math.isfinite(one)])
        case str():
            return st.sampled_from([value + "\0", value[:-1], value.upper(), value + "a"])
        case list() if value:
            return st.sampled_from([*value, value[:-1]])
        case dict() if value:
            return st.sampled_from([*value.values(), dict(reversed(value.items()))])
        case _:
            return st.none()
