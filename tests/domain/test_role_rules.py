"""Do claims give exactly the roles of the rules, whatever their shape?"""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.caller import Caller, Role
from muster.domain.role_rules import TEXT_CHARS_MAX, UPSTREAM_RULES, RoleRule, find_roles, list_texts, parse_path

UPSTREAM = {
    "/institutions/IceCube": {Role.USER},
    "/institutions/IceCube/UW-Madison/_admin": {Role.USER},
    "/institutions/IceCubeGen2": {Role.USER},
    "/tokens/ewms-dev": {Role.USER},
    "/tokens/ewms-dev/more": set(),
    "/more/institutions/IceCube": set(),
    "/institutions/IceCube\n/institutions/Other": set(),
    "/institutions/icecube": set(),
    "user": set(),
}


@pytest.mark.parametrize(("group", "roles"), UPSTREAM.items())
def test_a_group_gives_what_it_gives_upstream(group: str, roles: set[Role]) -> None:
    assert find_roles(UPSTREAM_RULES, {"groups": ["/elsewhere", group]}) == roles


@pytest.mark.parametrize("role", ["user", "system-tms", "system-wms"])
def test_the_claim_of_upstream_gives_the_role_that_it_names(role: str) -> None:
    assert find_roles(UPSTREAM_RULES, {"ewms_role": role}) == {Role(role)}


@pytest.mark.parametrize("role", ["operator", "USER", " user", "user\n", ""])
def test_the_claim_of_upstream_gives_nothing_else(role: str) -> None:
    assert find_roles(UPSTREAM_RULES, {"ewms_role": role}) == frozenset()


CLAIMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(groups=CLAIMS, role=CLAIMS)
def test_claims_of_any_shape_give_a_role_or_none(groups: Any, role: Any) -> None:
    assert find_roles(UPSTREAM_RULES, {"groups": groups, "ewms_role": role}) <= set(Role) - {Role.OPERATOR}


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("a.b", ["x", "y"]),
        ("a.c", ["z"]),
        ("a", []),
        ("a.b.c", []),
        ("a.d", []),
        ("none.at.all", []),
        (["with.dots", "b"], ["w"]),
        ("with.dots.b", []),
    ],
)
def test_a_path_leads_to_texts_or_to_none(path: str | list[str], texts: list[str]) -> None:
    claims = {"a": {"b": ["x", 1, "y", ["n"], None], "c": "z", "d": True}, "with.dots": {"b": "w"}}

    assert list_texts(claims, parse_path(path)) == texts


@pytest.mark.parametrize("path", ["", ".", "a..b", "a.", [], ["a", ""]])
def test_a_path_without_a_name_is_refused(path: str | list[str]) -> None:
    with pytest.raises(ValueError, match="has an empty name"):
        parse_path(path)


def test_a_text_that_is_too_long_is_passed_over() -> None:
    rule = RoleRule(Role.OPERATOR, ("groups",), matches=re.compile("a*"))

    assert rule.gives({"groups": "a" * TEXT_CHARS_MAX})
    assert not rule.gives({"groups": "a" * (TEXT_CHARS_MAX + 1)})


def test_a_pattern_must_fit_from_end_to_end() -> None:
    rule = RoleRule(Role.USER, ("groups",), matches=re.compile("/a|/b"))

    assert [rule.gives({"groups": one}) for one in ("/a", "/b", "/ab", "x/a")] == [True, True, False, False]


def test_a_rule_is_of_one_kind_and_has_no_dangerous_pattern() -> None:
    with pytest.raises(ValueError, match="either `equals` or `matches`"):
        RoleRule(Role.USER, ("groups",))
    with pytest.raises(ValueError, match="either `equals` or `matches`"):
        RoleRule(Role.USER, ("groups",), equals="a", matches=re.compile("a"))
    with pytest.raises(ValueError, match="repeats a group"):
        RoleRule(Role.USER, ("groups",), matches=re.compile("(a+)+"))


def test_an_operator_has_every_role() -> None:
    operator, nobody = Caller("olga", frozenset({Role.OPERATOR})), Caller("ada", frozenset())

    assert [operator.has(role) for role in Role] == [True] * len(Role)
    assert [nobody.has(role) for role in Role] == [False] * len(Role)
