"""Are expressions split where HTCondor would, and do attributes mean what its matchmaking takes them for?"""

import classad2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from muster.site.adapters.htcondor.classads import Evaluation, Expression, read_ad, read_ads, render
from muster.site.adapters.htcondor.clauses import (
    Reference,
    find_first_group,
    find_references,
    name_target,
    split_clauses,
)

NAMES = ("A", "B", "C", "Unknown")
VALUES = {"A": True, "B": False, "C": 3}


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "=?=", "=!=", "?:"]), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"!({text})"),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]}) ? ({three[1]}) : ({three[2]})"),
        inner.map(lambda text: f"ifThenElse({text}, true, A && B)"),
        inner.map(lambda text: f"{{ {text}, 1 }}[0]"),
        inner.map(lambda text: f"[ x = {text} && A; y = x ].y"),
    )


EXPRESSIONS = st.recursive(
    st.sampled_from(
        [*NAMES, "true", "false", "undefined", "7", '"a && b"', '"say \\"(\\" || x"', "C > 2", "TARGET.C < 2", "MY.A"]
    ),
    combine,
    max_leaves=12,
)


def must_render(text: str) -> str:
    """Some of what is made up is no expression to HTCondor."""
    rendered = render(text)
    assume(rendered is not None)
    return str(rendered)


def is_true(text: str) -> bool:
    ad = classad2.ClassAd()
    for name, value in VALUES.items():
        ad[name] = value
    return classad2.ExprTree(text).eval(ad, ad) is True


@given(st.lists(EXPRESSIONS, min_size=1, max_size=4))
def test_an_expression_holds_exactly_where_each_of_its_clauses_does(parts: list[str]) -> None:
    # As booleans: a lone number or text is no answer to whether something holds.
    text = must_render(" && ".join(f"(({part}) =?= true)" for part in parts))
    clauses = split_clauses(text)

    assert all(render(clause) is not None for clause in clauses)
    assert len(clauses) >= len(parts)
    assert all(map(is_true, clauses)) == is_true(text)


@given(EXPRESSIONS)
def test_any_expression_holds_only_where_each_of_its_clauses_does(part: str) -> None:
    text = must_render(part)

    if is_true(text):
        assert all(is_true(clause) for clause in split_clauses(text))


@given(EXPRESSIONS)
def test_the_attributes_that_are_found_are_those_that_the_bindings_find(part: str) -> None:
    text = must_render(part)
    named = classad2.ClassAd().externalRefs(classad2.ExprTree(text))
    theirs = {name.lower().removeprefix("target.").removeprefix("my.") for name in named if name}

    found = {one.name for one in find_references(text)}

    # Theirs leave out what is never looked at; ours have what is defined inside of an ad and named there, too.
    assert theirs <= found
    assert found <= {"a", "b", "c", "unknown", "x"}


@given(EXPRESSIONS)
def test_nothing_changes_where_the_own_ad_has_every_attribute(part: str) -> None:
    text = must_render(part)
    assert name_target(text, {"a", "b", "c", "unknown", "x"}) == text


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("(a && (b && c)) && d", ["a", "b", "c", "d"]),
        ("(a && b || c) && d", ["a && b || c", "d"]),
        ("a ? b && c : d", ["a ? b && c : d"]),
        ('"x && y" == z && w', ['"x && y" == z', "w"]),
        ('(a) && (b) && ")" == c', ["a", "b", '")" == c']),
        ("f(a && b) && c", ["f(a && b)", "c"]),
        ("'a && b' && c", ["'a && b'", "c"]),
        ("((a))", ["a"]),
        ("", [""]),
    ],
)
def test_clauses(text: str, clauses: list[str]) -> None:
    assert split_clauses(text) == clauses


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("(a && (b)) && c", "(a && (b))"),
        ('(")" == a) && c', '(")" == a)'),
        ("a && (b)", ""),
        ("", ""),
    ],
)
def test_what_stands_in_parentheses_first(text: str, group: str) -> None:
    assert find_first_group(text) == group


def test_attributes_are_named_with_their_scope() -> None:
    text = "Foo > 1 && TARGET.Bar && MY.x == y.z && f(g, \"h\") && [ i = j ].i && 'k l' is undefined && 1.5e3 < 2K"

    assert find_references(text) == {
        Reference("", "foo"),
        Reference("target", "bar"),
        Reference("my", "x"),
        Reference("", "y"),
        Reference("", "g"),
        Reference("", "j"),
        Reference("", "k l"),
    }
    assert name_target(text, {"y", "g"}) == (
        "TARGET.Foo > 1 && TARGET.Bar && MY.x == y.z && f(g, \"h\") && [ i = TARGET.j ].i && TARGET.'k l' is undefined && 1.5e3 < 2K"
    )


SLOT = read_ad(
    classad2.ClassAd(
        "[ Foo = 3; Memory = 600; Big = Memory > 500 && JobOnly is 2; Start = RequestMemory > 100 && Big ]"
    )
)
JOB = read_ad(classad2.ClassAd("[ RequestMemory = 500; JobOnly = 2 ]"))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("Foo > 1", True),  # the bindings alone would look in the job only
        ("TARGET.Memory >= RequestMemory", True),
        ("Big", True),
        ("MY.Foo > 1", False),
        ("JobOnly == 2", True),
        ("Nowhere", False),
        ("Nowhere is undefined", True),
        ("5", True),
        ('"a"', False),
        ("1 / 0", False),
    ],
)
def test_an_attribute_without_a_scope_is_the_other_ads_where_the_own_has_none(
    text: str,
    *,
    holds: bool,
) -> None:
    assert Evaluation(JOB).is_true(text, SLOT) is holds


def test_a_slots_policy_reads_the_job() -> None:
    assert Evaluation(SLOT).is_true("Start", JOB)
    assert not Evaluation(SLOT).is_true("Start", {**JOB, "requestmemory": 50})


def test_ads_are_read_as_they_are() -> None:
    ad = classad2.ClassAd(
        '[ Text = "a \\"b\\""; None = undefined; List = { 1, "b" }; Nested = [ x = 1 ]; Sum = 1 + Text ]'
    )

    assert read_ad(ad) == {
        "text": 'a "b"',
        "none": None,
        "list": [1, "b"],
        "nested": {"x": 1},
        "sum": Expression("1 + Text"),
    }
    assert Evaluation(read_ad(ad)).evaluate("size(List) + Nested.x", {}) == 3


def test_what_is_no_expression_holds_nowhere() -> None:
    looks_like_one = read_ad(classad2.ClassAd('[ Text = "/Expr(1 +)/"; Other = 2 ]'))

    assert render("a &&") is None
    assert not Evaluation(JOB).is_true("a &&", SLOT)
    assert not Evaluation(JOB).is_true("Text == 1", looks_like_one)
    assert Evaluation(JOB).is_true("Other == 2", looks_like_one)


class Damaged:
    """The bindings make texts of bytes when they are asked for them."""

    def printJson(self) -> str:
        return bytes.fromhex("ff").decode()


def test_an_ad_that_is_no_text_is_left_out() -> None:
    assert read_ads([Damaged(), classad2.ClassAd("[ A = 1 ]")]) == [{"a": 1}]
