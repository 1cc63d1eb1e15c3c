"""Are the key files read as they are now, and only taken when they go together?"""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from muster.domain.errors import InvalidError
from muster.server.adapters.key_files.pair import KeyFiles
from server.mqs.keys import Files, make_pair, pair, verify

pytestmark = pytest.mark.anyio


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path / "keys")
    files.write(pair(0))
    return files


async def kid(keys: KeyFiles, *, reads: bool = False) -> str | None:
    found = await keys.find_current(reads=reads)
    return None if found is None else found.public.kid


async def test_a_pair_signs_what_its_public_half_verifies(files: Files) -> None:
    found = await files.open().get_current()
    token = found.sign({"sub": "user", "nbf": 0.5, "exp": 4e9})

    public = {"kid": found.public.kid, "kty": "RSA", "n": found.public.n, "e": found.public.e}
    assert verify(token, {"keys": [public]}) == {"sub": "user", "nbf": 0.5, "exp": 4e9}
    assert found.sign({"sub": "user", "nbf": 0.5, "exp": 4e9}) == token
    assert found.public.kid == pair(0).kid


async def test_a_new_pair_is_taken_at_once(files: Files) -> None:
    keys = files.open()
    assert await kid(keys) == pair(0).kid
    files.write(pair(1))
    assert await kid(keys) == pair(1).kid


async def test_one_that_was_put_back_with_its_old_time_is_taken(files: Files) -> None:
    keys = files.open()
    times = {path: path.stat() for path in (files.public, files.private)}
    await kid(keys)
    files.write(pair(1))
    assert await kid(keys) == pair(1).kid
    files.write(pair(0))
    for path, one in times.items():
        os.utime(path, ns=(one.st_atime_ns, one.st_mtime_ns - 10**12))
    assert await kid(keys) == pair(0).kid


async def test_files_whose_marks_did_not_change_are_read_when_that_is_asked(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may keep no better time than a second."""
    monkeypatch.setattr(KeyFiles, "_look", lambda _: ())
    keys = files.open()
    assert await kid(keys) == pair(0).kid
    files.write(pair(1))
    assert await kid(keys) == pair(0).kid
    assert await kid(keys, reads=True) == pair(1).kid


@pytest.mark.parametrize("public_first", [True, False])
async def test_it_does_not_matter_which_file_is_written_first(files: Files, public_first: bool) -> None:  # noqa: FBT001
    keys = files.open()
    await kid(keys)
    writes: list[Callable[[], object]] = [
        lambda: files.public.write_bytes(pair(1).public),
        lambda: files.private.write_bytes(pair(1).private),
    ]
    first, second = writes if public_first else reversed(writes)
    first()
    assert await kid(keys) == pair(0).kid
    second()
    assert await kid(keys) == pair(1).kid


async def test_a_folder_that_is_exchanged_whole_is_followed(tmp_path: Path) -> None:
    """As mounted secrets are: a link is set to another folder."""
    for number in (0, 1):
        Files(tmp_path / str(number)).write(pair(number))
    link = tmp_path / "now"
    link.symlink_to("0")
    keys = Files(link).open()
    assert await kid(keys) == pair(0).kid
    (tmp_path / "next").symlink_to("1")
    (tmp_path / "next").rename(link)
    assert await kid(keys) == pair(1).kid


async def test_who_come_while_the_first_pair_is_read_are_given_it(files: Files) -> None:
    keys = files.open()
    seen: list[str | None] = []

    async def ask() -> None:
        seen.append(await kid(keys))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(ask)
    assert seen == [pair(0).kid] * 10


def _ec_key(*, private: bool) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    if private:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _encrypted() -> bytes:
    key = serialization.load_pem_private_key(pair(0).private, None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )


SHORT = make_pair(1024)
BAD: list[tuple[str, bytes | None, bytes | None, dict[str, str]]] = [
    ("the halves of two pairs", None, pair(1).private, {"broker_public_key_file": "is not the public half"}),
    ("the public key in both", None, pair(0).public, {"broker_private_key_file": "does not hold an RSA private key"}),
    ("the private key in both", pair(0).private, None, {"broker_public_key_file": "does not hold an RSA public key"}),
    ("a key of another kind", _ec_key(private=False), None, {"broker_public_key_file": "does not hold an RSA"}),
    ("a private one of another kind", None, _ec_key(private=True), {"broker_private_key_file": "does not hold an RSA"}),
    ("an encrypted key", None, _encrypted(), {"broker_private_key_file": "not encrypted"}),
    (
        "keys that are too short",
        SHORT.public,
        SHORT.private,
        {"broker_public_key_file": "of 1024 bits", "broker_private_key_file": "of 1024 bits"},
    ),
    (
        "no keys",
        b"\0\xff",
        b"",
        {"broker_public_key_file": "RSA public key in PEM", "broker_private_key_file": "RSA private key in PEM"},
    ),
]


@pytest.mark.parametrize(("what", "public", "private", "faults"), BAD, ids=[one[0] for one in BAD])
async def test_what_is_wrong_is_told_of_each_file(
    files: Files, what: str, public: bytes | None, private: bytes | None, faults: dict[str, str]
) -> None:
    if public is not None:
        files.public.write_bytes(public)
    if private is not None:
        files.private.write_bytes(private)

    with pytest.raises(InvalidError) as refused:
        await files.open().get_current()

    told = {one.field: one.reason for one in refused.value.findings}
    assert set(told) == set(faults)
    for field, part in faults.items():
        assert part in told[field]
        assert "openssl" in told[field] or "at least 2048" in told[field]
    assert await kid(files.open()) is None


async def test_files_that_cannot_be_read_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as refused:
        await Files(tmp_path / "nowhere").open().get_current()

    told = {one.field: one.reason for one in refused.value.findings}
    assert set(told) == {"broker_public_key_file", "broker_private_key_file"}
    assert f"{tmp_path}/nowhere/public.pem cannot be read" in told["broker_public_key_file"]
