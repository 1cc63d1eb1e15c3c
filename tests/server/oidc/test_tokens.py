"""Which tokens open, and does every hostile one stay outside?"""

import base64
import contextlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey
from structlog.testing import capture_logs

from muster.domain.caller import Caller, Role
from muster.domain.errors import UnauthenticatedError
from muster.server.adapters.oidc.identity import OidcIdentity, open_oidc
from muster.server.adapters.oidc.keys import read_keys
from muster.server.adapters.oidc.token import ALGORITHMS, check_claims, parse_token
from muster.settings.sign_in import IssuerSettings
from server.oidc.issuer import FakeIssuer, ec, publish, rsa, run_issuer, sign

pytestmark = pytest.mark.anyio

USER = frozenset({Role.USER})
INSTITUTE = "/institutions/IceCube/Madison"


def ada(issuer: FakeIssuer) -> Caller:
    return Caller("ada", USER, frozenset({INSTITUTE}), issuer.url)


def encode(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


GOOD: dict[str, Callable[[FakeIssuer], str]] = {
    "RS256": lambda it: it.token(aud="muster"),
    "RS512": lambda it: it.token(alg="RS512", aud="muster"),
    "ES256": lambda it: it.token(ec(), aud="muster"),
    "one audience among several": lambda it: it.token(aud=["other", "muster"]),
    "expired within the leeway": lambda it: it.token(aud="muster", exp=int(time.time()) - 50),
    "issued by a clock that is fast, within the leeway": lambda it: it.token(aud="muster", iat=int(time.time()) + 50),
    "not before now": lambda it: it.token(aud="muster", nbf=int(time.time()) + 50),
    "times with fractions": lambda it: it.token(aud="muster", exp=time.time() + 100.5),
    "an issuer with a slash at its end": lambda it: it.token(aud="muster", iss=it.url + "/"),
    "no type": lambda it: it.token(aud="muster", header={"typ": None}),
    "another spelling of the type": lambda it: it.token(aud="muster", header={"typ": "JWT"}),
    "a header that says more": lambda it: it.token(aud="muster", header={"x5t": "abc", "of-theirs": {"a": 1}}),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
async def test_a_good_token_opens(
    issuer: FakeIssuer, identity: OidcIdentity, make: Callable[[FakeIssuer], str]
) -> None:
    assert await identity.identify(make(issuer)) == ada(issuer)


def _of_strangers_key(issuer: FakeIssuer, **header: Any) -> str:
    """Signed with a key that the issuer does not publish, under the name of one that it does."""
    return issuer.token(rsa("strangers"), aud="muster", header={"kid": "first", **header})


def _with_public_key_as_secret(issuer: FakeIssuer, secret: bytes) -> str:
    signed = f"{encode({'alg': 'HS256', 'kid': 'first'})}.{encode(issuer.claims(aud='muster'))}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _unsigned(issuer: FakeIssuer, alg: str) -> str:
    return f"{encode({'alg': alg, 'kid': 'first'})}.{encode(issuer.claims(aud='muster'))}."


def _altered(issuer: FakeIssuer) -> str:
    header, _, signature = issuer.token(aud="muster").split(".")
    return ".".join((header, encode(issuer.claims(aud="muster", sub="olga")), signature))


def _with_header(issuer: FakeIssuer, header: object) -> str:
    return ".".join((encode(header), *issuer.token(aud="muster").split(".")[1:]))


def _deep(issuer: FakeIssuer) -> str:
    return sign({"alg": "RS256", "kid": "first"}, b"[" * 11_000, rsa())


HOSTILE: dict[str, tuple[Callable[[FakeIssuer], str], str]] = {
    "nothing": (lambda _: "", "not a signed JWT"),
    "not a token": (lambda _: "s3same", "not a signed JWT"),
    "two parts": (lambda it: it.token().rpartition(".")[0], "not a signed JWT"),
    "five parts, encrypted": (lambda it: it.token() + ".a.b", "not a signed JWT"),
    "characters of no token": (lambda it: it.token().replace(".", "ä."), "not a signed JWT"),
    "half a character": (lambda it: it.token() + "\udcff", "not a signed JWT"),
    "huge": (lambda it: it.token(aud="muster", filler="x" * 20_000), "longer than 16384"),
    "a huge header": (lambda it: it.token(aud="muster", header={"cty": "x" * 3000}), "not a signed JWT"),
    "nested without end": (_deep, "payload is no JSON object"),
    "a payload that is no object": (lambda _: sign({"alg": "RS256", "kid": "first"}, ["iss"], rsa()), "no JSON object"),
    "a payload that is not JSON": (lambda _: sign({"alg": "RS256", "kid": "first"}, b"{'a'}", rsa()), "no JSON object"),
    "a payload that is not UTF-8": (
        lambda _: sign({"alg": "RS256", "kid": "first"}, b'{"iss":"\xff"}', rsa()),
        "no JSON object",
    ),
    "a header that is no object": (lambda it: _with_header(it, ["alg"]), "header is no JSON object"),
    "a header that is not JSON": (lambda it: _with_header(it, b"alg"), "header is no JSON object"),
    "alg none": (lambda it: _unsigned(it, "none"), "not signed by one of"),
    "alg none in other letters": (lambda it: _unsigned(it, "nOnE"), "not signed by one of"),
    "alg none with a signature": (lambda it: _with_header(it, {"alg": "none", "kid": "first"}), "not signed by one of"),
    "no signature": (lambda it: it.token(aud="muster").rpartition(".")[0] + ".", "not signed with a key"),
    "no alg": (lambda it: _with_header(it, {"kid": "first"}), "not signed by one of"),
    "an alg that is no text": (lambda it: _with_header(it, {"alg": ["RS256"], "kid": "first"}), "not signed by one of"),
    "HS256 with the public key as PEM": (
        lambda it: _with_public_key_as_secret(it, rsa().as_pem(private=False)),
        "not signed by one of",
    ),
    "HS256 with the public key as JSON": (
        lambda it: _with_public_key_as_secret(it, json.dumps(publish(rsa())).encode()),
        "not signed by one of",
    ),
    "HS256 without a name of a key": (
        lambda it: sign({"alg": "HS256"}, it.claims(aud="muster"), OctKey.import_key(b"s" * 32)),
        "not signed by one of",
    ),
    "an algorithm that is not taken": (lambda it: it.token(alg="RS384", aud="muster"), "not signed by one of"),
    "a padding that is not taken": (lambda it: it.token(alg="PS256", aud="muster"), "not signed by one of"),
    "a curve that is not taken": (lambda it: it.token(ec("big", "P-384"), alg="ES384", aud="muster"), "not signed by"),
    "a strangers key under a known name": (_of_strangers_key, "not signed with a key"),
    "its own key in the header": (
        lambda it: _of_strangers_key(it, jwk=publish(rsa("strangers"))),
        "header has jwk",
    ),
    "an address of keys in the header": (lambda it: _of_strangers_key(it, jku=it.url + "/jwks"), "header has jku"),
    "an address of a certificate": (lambda it: _of_strangers_key(it, x5u=it.url + "/cert"), "header has x5u"),
    "a certificate in the header": (lambda it: _of_strangers_key(it, x5c=["MIIB"]), "header has x5c"),
    "something critical": (
        lambda it: _with_header(it, {"alg": "RS256", "kid": "first", "crit": ["exp"], "exp": 1}),
        "header has crit",
    ),
    "a payload that is not encoded": (
        lambda it: _with_header(it, {"alg": "RS256", "kid": "first", "b64": False, "crit": ["b64"]}),
        "header has b64, crit",
    ),
    "a key of another type under its name": (
        lambda it: it.token(ec(), aud="muster", header={"kid": "first"}),
        "not si",
    ),
    "a name that is a path": (lambda it: it.token(aud="muster", header={"kid": "../../dev/null"}), "not signed with"),
    "a name that is a statement": (lambda it: it.token(aud="muster", header={"kid": "' OR 1=1 --"}), "not signed with"),
    "a name that is empty": (lambda it: it.token(aud="muster", header={"kid": ""}), "not signed with a key"),
    "a name that is no text": (lambda it: _with_header(it, {"alg": "RS256", "kid": {"a": 1}}), "is no text"),
    "a name that is null and two keys": (lambda it: _with_header(it, {"alg": "RS256", "kid": None}), "not signed with"),
    "a claim altered": (_altered, "not signed with a key"),
    "a signature that ends otherwise": (lambda it: it.token(aud="muster")[:-8] + "AAAAAAAA", "not signed with a key"),
    "a signature with padding": (lambda it: it.token(aud="muster") + "==", "not signed with a key"),
    "a stranger as issuer": (lambda it: it.token(iss="https://evil.example.org", aud="muster"), "issuer is not known"),
    "an issuer that begins like ours": (lambda it: it.token(iss=it.url + ".evil.org", aud="muster"), "is not known"),
    "no issuer": (lambda it: it.token(iss=None, aud="muster"), "no `iss`"),
    "an issuer that is no text": (lambda it: it.token(iss=[it.url], aud="muster"), "no `iss`"),
    "no subject": (lambda it: it.token(sub=None, aud="muster"), "no `sub`"),
    "an empty subject": (lambda it: it.token(sub="", aud="muster"), "no `sub`"),
    "a subject that is no text": (lambda it: it.token(sub=7, aud="muster"), "no `sub`"),
    "a subject of control characters": (lambda it: it.token(sub="ada\x1b[2J", aud="muster"), "is no name"),
    "a subject that is too long": (lambda it: it.token(sub="a" * 300, aud="muster"), "is no name"),
    "no end": (lambda it: it.token(exp=None, aud="muster"), "no `exp`"),
    "an end that is no number": (lambda it: it.token(exp="tomorrow", aud="muster"), "no `exp`"),
    "an end that is true": (lambda it: it.token(exp=True, aud="muster"), "no `exp`"),
    "an end beyond all numbers": (lambda it: it.token(exp=10**400, aud="muster"), "no `exp`|no JSON"),
    "an end that is not a number": (lambda it: it.token(exp=float("nan"), aud="muster"), "no JSON object"),
    "an end before all time": (lambda it: it.token(exp=-1, aud="muster"), "no `exp`"),
    "expired": (lambda it: it.token(exp=int(time.time()) - 61, aud="muster"), "has expired"),
    "no beginning": (lambda it: it.token(iat=None, aud="muster"), "no `iat`"),
    "issued in the future": (lambda it: it.token(iat=int(time.time()) + 70, aud="muster"), "not good yet"),
    "not good yet": (lambda it: it.token(nbf=int(time.time()) + 70, aud="muster"), "not good yet"),
    "a beginning that is no number": (lambda it: it.token(nbf="now", aud="muster"), "no `nbf`"),
    "for somebody else": (lambda it: it.token(aud="other"), "not for this service"),
    "for nobody": (lambda it: it.token(), "not for this service"),
    "for something that is no text": (lambda it: it.token(aud={"muster": True}), "not for this service"),
    "for a part of our name": (lambda it: it.token(aud="muster.evil"), "not for this service"),
    "a token of another kind": (lambda it: it.token(aud="muster", header={"typ": "logout+jwt"}), "another type"),
    "a kind that is no text": (lambda it: _with_header(it, {"alg": "RS256", "kid": "first", "typ": 1}), "another type"),
}


@pytest.mark.parametrize(("make", "reason"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_token_stays_outside(
    issuer: FakeIssuer, identity: OidcIdentity, make: Callable[[FakeIssuer], str], reason: str
) -> None:
    issuer.keys = [publish(rsa()), publish(rsa("second")), publish(ec())]

    for _ in range(2):  # also where it was seen before
        with pytest.raises(UnauthenticatedError, match=reason.replace("(", r"\(")):
            await identity.identify(make(issuer))


WEAK: dict[str, tuple[dict[str, Any], Callable[[FakeIssuer], str]]] = {
    "a short RSA key": (
        publish(rsa("short", 2048), n=encode(((1 << 1023) | 1).to_bytes(128, "big"))),
        lambda it: it.token(rsa("short"), aud="muster"),
    ),
    "an RSA key of endless length": (
        publish(rsa("long"), n=encode(b"\xff" * 4096)),
        lambda it: it.token(rsa("long"), aud="muster"),
    ),
    "a symmetric key": (
        publish(OctKey.import_key(b"s" * 32, {"kid": "shared"})),
        lambda it: sign({"alg": "HS256", "kid": "shared"}, it.claims(aud="muster"), OctKey.import_key(b"s" * 32)),
    ),
    "a symmetric key that claims to be for RS256": (
        {"kty": "oct", "kid": "shared", "alg": "RS256", "k": encode(b"s" * 32)},
        lambda it: it.token(aud="muster", header={"kid": "shared"}),
    ),
    "a key for encryption": (
        publish(rsa("sealed"), use="enc"),
        lambda it: it.token(rsa("sealed"), aud="muster"),
    ),
    "a key whose operations do not include checking": (
        publish(rsa("sealed"), use=None, key_ops=["encrypt"]),
        lambda it: it.token(rsa("sealed"), aud="muster"),
    ),
    "a key for another algorithm": (
        publish(rsa("other"), alg="RS512"),
        lambda it: it.token(rsa("other"), aud="muster"),
    ),
    "a key for an algorithm that is no text": (
        publish(rsa("other"), alg=["RS256"]),
        lambda it: it.token(rsa("other"), aud="muster"),
    ),
    "a curve that is not taken": (
        publish(ec("wide", "P-384")),
        lambda it: it.token(ec("wide", "P-384"), alg="ES384", aud="muster"),
    ),
    "a point that is not on the curve": (
        publish(ec("off"), x=encode(b"\x01" * 32)),
        lambda it: it.token(ec("off"), aud="muster"),
    ),
    "a key without its parts": (
        {"kty": "RSA", "kid": "empty"},
        lambda it: it.token(aud="muster", header={"kid": "empty"}),
    ),
    "numbers that are none": (
        publish(rsa("broken"), n="&&&"),
        lambda it: it.token(rsa("broken"), aud="muster"),
    ),
}


@pytest.mark.parametrize(("shown", "make"), WEAK.values(), ids=WEAK)
async def test_a_key_that_is_too_weak_opens_nothing_and_takes_no_other_with_it(
    issuer: FakeIssuer, identity: OidcIdentity, shown: dict[str, Any], make: Callable[[FakeIssuer], str]
) -> None:
    issuer.keys = [shown, "no key at all", publish(rsa())]  # type: ignore[list-item]

    with pytest.raises(UnauthenticatedError):
        await identity.identify(make(issuer))
    assert await identity.identify(issuer.token(aud="muster")) == ada(issuer)


async def test_a_short_key_opens_nothing_although_its_signature_is_right(
    issuer: FakeIssuer, identity: OidcIdentity
) -> None:
    with pytest.warns(match="2048"):
        short = rsa("short-but-right", 1024)
    issuer.keys = [publish(short)]
    token = issuer.token(short, aud="muster")

    with pytest.raises(UnauthenticatedError, match="not signed with a key"):
        await identity.identify(token)


async def test_a_private_key_that_an_issuer_shows_by_mistake_is_taken_for_its_public_part(
    issuer: FakeIssuer, identity: OidcIdentity
) -> None:
    issuer.keys = [rsa().as_dict(private=True)]

    assert await identity.identify(issuer.token(aud="muster")) == ada(issuer)


async def test_a_token_that_names_no_key_opens_where_there_is_just_one(
    issuer: FakeIssuer, identity: OidcIdentity
) -> None:
    issuer.keys = [publish(rsa(), kid=None), publish(ec())]

    assert await identity.identify(issuer.token(aud="muster", header={"kid": None})) == ada(issuer)


async def test_without_an_audience_any_is_taken_as_upstream_does_and_the_start_says_so(issuer: FakeIssuer) -> None:
    with capture_logs() as lines:
        async with open_oidc([IssuerSettings(url=issuer.url, audience="muster")]):
            assert lines == []
    with capture_logs() as lines:
        async with open_oidc([IssuerSettings(url=issuer.url)]) as identity:
            assert ["no audience is set" in one["event"] for one in lines] == [True]
            for token in (issuer.token(), issuer.token(aud="other"), issuer.token(aud=7)):
                assert await identity.identify(token) == ada(issuer)


async def test_a_good_token_is_not_checked_again_for_a_while_and_never_past_its_end(issuer: FakeIssuer) -> None:
    async with open_oidc([IssuerSettings(url=issuer.url)]) as identity:
        now = time.time()
        identity._clock = lambda: now
        token = issuer.token(exp=int(now) + 30)
        first = await identity.identify(token)
        again = await identity.identify(token)
        now += 31  # past its end, within the leeway: checked, and good
        checked = await identity.identify(token)
        now += 60
        with pytest.raises(UnauthenticatedError, match="expired"):
            await identity.identify(token)

    assert again is first
    assert checked == first
    assert checked is not first


async def test_what_was_checked_is_kept_within_bounds(issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.server.adapters.oidc.identity.CHECKED_MAX", 3)
    async with open_oidc([IssuerSettings(url=issuer.url)]) as identity:
        for number in range(10):
            await identity.identify(issuer.token(sub=f"user-{number}"))

        assert [one.caller.name for one in identity._checked.values()] == ["user-7", "user-8", "user-9"]


async def test_issuers_know_only_their_own_keys_and_callers(issuer: FakeIssuer) -> None:
    with run_issuer(keys=[publish(rsa("second"))]) as other:
        rule = {"role": "user", "claim": "realm.roles", "equals": "compute"}
        issuers = [
            IssuerSettings(url=issuer.url),
            IssuerSettings.model_validate(
                {
                    "url": other.url,
                    "label": "lab",
                    "name_claim": "email",
                    "groups_claim": "realm.units",
                    "roles": [rule],
                }
            ),
        ]
        async with open_oidc(issuers) as identity:
            realm = {"roles": ["compute"], "units": ["ice"]}
            eve = other.token(rsa("second"), sub="ada", email="eve", realm=realm)
            assert await identity.identify(issuer.token()) == ada(issuer)
            assert await identity.identify(eve) == Caller("lab:eve", USER, frozenset({"lab:ice"}), other.url)
            forged = await identity.identify(issuer.token(sub="bob", groups=["lab:ice", INSTITUTE]))
            assert forged.groups == {INSTITUTE}
            with pytest.raises(UnauthenticatedError, match="not signed with a key"):
                await identity.identify(other.token(rsa(), email="ada"))  # the first issuer's key
            with pytest.raises(UnauthenticatedError, match="kept for callers of another issuer"):
                await identity.identify(issuer.token(sub="lab:eve"))
            with pytest.raises(UnauthenticatedError, match="claim `email` is no name"):
                await identity.identify(other.token(rsa("second")))


async def test_a_claim_of_another_type_gives_no_role_and_no_error(issuer: FakeIssuer) -> None:
    async with open_oidc([IssuerSettings(url=issuer.url)]) as identity:
        for groups in (True, 7, {"a": INSTITUTE}, [[INSTITUTE], None, 1], None, "x" * 1000):
            caller = await identity.identify(issuer.token(groups=groups, ewms_role=True))
            assert (caller.roles, caller.groups) == (frozenset(), frozenset())


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, _VALUES))


@given(
    header=_objects("kid", "typ", "x5t", "cty"),
    alg=st.sampled_from(sorted(ALGORITHMS)) | _VALUES,
    claims=_objects("iss", "sub", "exp", "iat", "nbf", "aud") | _VALUES,
    tail=st.text(max_size=5),
)
def test_whatever_a_token_says_is_good_or_refused(header: dict[str, Any], alg: Any, claims: Any, tail: str) -> None:
    text = f"{encode({'alg': alg, **header})}.{encode(claims)}.{tail}"

    with contextlib.suppress(UnauthenticatedError):
        check_claims(parse_token(text).claims, audiences=frozenset({"muster"}), now_s=1e9)


@given(text=st.text())
def test_no_text_is_too_odd_for_a_token(text: str) -> None:
    for odd in (text, f"{text}.{text}.{text}"):
        with contextlib.suppress(UnauthenticatedError):
            parse_token(odd)


@given(keys=st.lists(_objects("kty", "n", "e", "crv", "x", "y", "use", "key_ops", "alg", "kid") | _VALUES, max_size=3))
def test_whatever_an_issuer_shows_is_a_key_or_passed_over(keys: list[Any]) -> None:
    kinds = [{**one, "kty": kind} if isinstance(one, dict) else one for one in keys for kind in ("RSA", "EC", "oct")]

    taken, passed_over = read_keys({"keys": kinds})

    assert len(taken) + len(passed_over) == len(kinds)
