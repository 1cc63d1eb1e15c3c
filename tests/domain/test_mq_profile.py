"""Does a token open what its queue's users need, and nothing else? Is it renewed when it should be?"""

from itertools import product

import pytest

from muster.domain.mq_profile import (
    ALL,
    CONSUME,
    NOTHING,
    PUBLISH,
    RIGHTS,
    Direction,
    GroupedProfile,
    Kind,
    MqGroup,
    MqProfile,
    Rights,
    TokenStamp,
    find_direction,
)
from muster.domain.queue_token import Broker, join_issuer, limit_ttl, render_claims

BROKER = Broker("rabbitmq", "mq.example.org", "user", "my-server", "my-type", "https://h/mqbroker-issuer", 3600.0, 0.5)
QUEUE = "a0123456789abcdef0123"


def test_every_case_has_its_rights() -> None:
    assert set(RIGHTS) == set(product(Direction, (True, False), Kind))


@pytest.mark.parametrize(
    ("direction", "rights"), [(Direction.READ, PUBLISH), (Direction.WRITE, CONSUME), (Direction.BOTH, ALL)]
)
def test_people_go_the_way_of_a_public_queue_and_no_other(direction: Direction, rights: Rights) -> None:
    assert RIGHTS[direction, True, Kind.BRIDGED] == rights


@pytest.mark.parametrize("direction", Direction)
def test_nobody_has_rights_to_a_queue_that_is_not_on_the_broker(direction: Direction) -> None:
    assert RIGHTS[direction, False, Kind.BRIDGED] == NOTHING


@pytest.mark.parametrize(
    ("kind", "is_public", "direction"), list(product((Kind.DIRECT, Kind.FOREIGN), (True, False), Direction))
)
def test_upstreams_workers_have_all_rights(kind: Kind, is_public: bool, direction: Direction) -> None:  # noqa: FBT001
    assert RIGHTS[direction, is_public, kind] == ALL


def test_a_direction_is_what_tasks_do() -> None:
    assert find_direction(is_input=True, is_output=False) is Direction.READ
    assert find_direction(is_input=False, is_output=True) is Direction.WRITE
    assert find_direction(is_input=True, is_output=True) is Direction.BOTH


# -- claims --------------------------------------------------------------------------------------------------------------


def test_claims_have_upstreams_form() -> None:
    claims = render_claims(BROKER, TokenStamp("k", 1000.25, 4600.25), mqid=QUEUE, rights=ALL)

    assert claims == {
        "iss": "https://h/mqbroker-issuer",
        "sub": "user",
        "aud": "my-server",
        "iat": 1000.25,
        "nbf": 1000.25,
        "exp": 4600.25,
        "authorization_details": [
            {
                "type": "my-type",
                "locations": [f"cluster:my-server/queue:{QUEUE}"],
                "actions": ["configure", "read", "write"],
            },
            {"type": "my-type", "locations": ["cluster:my-server/exchange:amq.default"], "actions": ["write"]},
        ],
    }


@pytest.mark.parametrize(
    ("rights", "opened"),
    [
        (PUBLISH, {f"queue:{QUEUE}": ["configure"], "exchange:amq.default": ["write"]}),
        (CONSUME, {f"queue:{QUEUE}": ["configure", "read"]}),
        (NOTHING, {}),
    ],
)
def test_details_are_the_rights(rights: Rights, opened: dict[str, list[str]]) -> None:
    claims = render_claims(BROKER, TokenStamp("k", 0.0, 1.0), mqid=QUEUE, rights=rights)
    assert {
        one["locations"][0].removeprefix("cluster:my-server/"): one["actions"]
        for one in claims["authorization_details"]
    } == opened


@pytest.mark.parametrize(
    ("base", "issuer"),
    [
        ("https://h", "https://h/mqbroker-issuer"),
        ("https://h/", "https://h/mqbroker-issuer"),
        ("https://h/sub", "https://h/sub/mqbroker-issuer"),
        ("https://h/sub/", "https://h/sub/mqbroker-issuer"),
        ("http://h:8080/a/b", "http://h:8080/a/b/mqbroker-issuer"),
    ],
)
def test_the_issuer_keeps_the_path_of_the_address(base: str, issuer: str) -> None:
    assert join_issuer(base) == issuer


def test_a_life_has_its_most() -> None:
    year = 366 * 86_400.0
    assert [limit_ttl(one) for one in (60.0, year, year + 1, 0.0)] == [60.0, year, year, year]


# -- renewal -------------------------------------------------------------------------------------------------------------


def a_profile(stamp: TokenStamp | None, *, activated_at: float | None = 1.0, is_live: bool = True) -> GroupedProfile:
    group = MqGroup("WF-1", 1.0, "ada", Kind.BRIDGED, {"priority": 5}, activated_at)
    return GroupedProfile(
        MqProfile(QUEUE, 1, "in", is_public=True, direction=Direction.READ, stamp=stamp), group, is_live
    )


STAMP = TokenStamp("k1", 1000.0, 2000.0)


@pytest.mark.parametrize(
    ("profile", "now", "kid", "is_due"),
    [
        (a_profile(None), 1000.0, "k1", True),
        (a_profile(None, activated_at=None), 1000.0, "k1", False),
        (a_profile(None, is_live=False), 1000.0, "k1", False),
        (a_profile(STAMP), 1000.0, "k1", False),
        (a_profile(STAMP), 1500.0, "k1", False),  # exactly half of it is left
        (a_profile(STAMP), 1500.1, "k1", True),
        (a_profile(STAMP), 9000.0, "k1", True),
        (a_profile(STAMP, is_live=False), 9000.0, "k1", False),
        (a_profile(STAMP), 1000.0, "k2", True),
        (a_profile(STAMP, is_live=False), 1000.0, "k2", False),
    ],
)
def test_a_token_is_made_when_one_is_due(profile: GroupedProfile, now: float, kid: str, is_due: bool) -> None:  # noqa: FBT001
    assert profile.needs_token(now=now, kid=kid, share=0.5) is is_due
