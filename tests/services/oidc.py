"""Where does a test's identity provider come from? The npm package oidc-provider, fetched into the cache; it speaks https, and signs JWTs.

`oidc_provider` is one that a test may stop, start again (its keys are then new ones) and ask for tokens.
"""

import json
import os
import re
import secrets
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, KeyParameters, RSAKey

from harness.addresses import take_address
from harness.certificates import Certificates, make_certificates
from harness.waiting import wait_for

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PORT = 9443
NODE_MIN = 20
START_S = 20.0
STARTS_MAX = 3
"""Node 20 was seen to wait for one of its own locks while it starts, once in some fifty times; then it is started anew."""


class NoProviderError(Exception):
    """The provider cannot run here, or could not be fetched."""


@dataclass(frozen=True)
class Account:
    """A client of the provider: a program, or in these tests a person, and what its tokens say."""

    secret: str
    claims: Mapping[str, Any] = field(default_factory=dict)


def find_modules() -> Path:
    """The folder of the fetched modules. Raises NoProviderError."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NoProviderError("the identity provider needs node and npm, which are not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    number = re.match(r"v(\d+)\.", version)
    if number is None or int(number[1]) < NODE_MIN:
        raise NoProviderError(
            f"the identity provider needs node {NODE_MIN} or newer; this one is {version or 'broken'}"
        )
    root = Path(os.environ.get("MUSTER_TEST_CACHE", ROOT / ".cache")) / "oidc"
    fetched = subprocess.run(
        ["bash", HERE / "fetch-oidc.sh", root], capture_output=True, text=True, check=False, timeout=280
    )
    if fetched.returncode:
        raise NoProviderError(f"the identity provider could not be fetched: {fetched.stderr.strip()[-300:]}")
    return root / "node_modules"


def make_signing_keys() -> list[Mapping[str, Any]]:
    """Fresh private keys, one for each algorithm, under names that nobody had before."""

    def name(algorithm: str) -> KeyParameters:
        return {"kid": f"{algorithm}-{secrets.token_hex(6)}", "use": "sig", "alg": algorithm}

    rsa, ec = RSAKey.generate_key(2048, name("RS256")), ECKey.generate_key("P-256", name("ES256"))
    return [rsa.as_dict(private=True), ec.as_dict(private=True)]


@dataclass
class OidcProvider:
    """One provider with a folder and an address of its own."""

    folder: Path
    address: str
    certificates: Certificates
    accounts: Mapping[str, Account]
    algorithm: str = "RS256"
    ttl_s: int = 300
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"https://{self.address}:{PORT}"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """With new keys. Raises AssertionError, with the end of its log, when it is not ready in time."""
        settings = self.folder / "settings.json"
        settings.touch(mode=0o600)
        clients = [{"id": name, "secret": one.secret, "claims": one.claims} for name, one in self.accounts.items()]
        settings.write_text(
            json.dumps(
                {
                    "host": self.address,
                    "port": PORT,
                    "certificate": str(self.certificates.certificate),
                    "key": str(self.certificates.key),
                    "signing_keys": make_signing_keys(),
                    "algorithm": self.algorithm,
                    "ttl_s": self.ttl_s,
                    "clients": clients,
                }
            )
        )
        for number in range(1, STARTS_MAX + 1):
            try:
                self._start_once(settings)
            except AssertionError:
                if self.process is None or self.process.poll() is not None or number == STARTS_MAX:
                    raise
                self.stop()
            else:
                return

    def _start_once(self, settings: Path) -> None:
        with self.log.open("wb") as output:
            # It ends with us, however we end.
            command = ["setpriv", "--pdeathsig", "KILL", "node", str(self.folder / "provider.mjs"), str(settings)]
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=self.folder
            )
        process = self.process

        def is_ready() -> bool:
            assert process.poll() is None, f"the provider ended: {self.log.read_text()[-2000:]}"
            return "ready https://" in self.log.read_text()

        wait_for(is_ready, "the identity provider is ready", deadline_s=START_S)

    def stop(self) -> None:
        """At once; nothing answers at its address any more."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=START_S)
        self.process = None

    def give_token(self, name: str) -> str:
        """What an account gets for its secret."""
        answer = httpx.post(
            f"{self.url}/token",
            auth=(name, self.accounts[name].secret),
            data={"grant_type": "client_credentials"},
            verify=ssl.create_default_context(cafile=self.certificates.authority),
            trust_env=False,
        )
        assert answer.is_success, answer.text
        token: str = answer.json()["access_token"]
        return token


@contextmanager
def run_provider(folder: Path, accounts: Mapping[str, Account], **settings: Any) -> Iterator[OidcProvider]:
    """A provider that is stopped at the end. Raises NoProviderError."""
    modules = find_modules()
    folder.mkdir(parents=True)
    (folder / "node_modules").symlink_to(modules)
    shutil.copy(HERE / "oidc" / "provider.mjs", folder)
    with ExitStack() as stack:
        address = stack.enter_context(take_address())
        certificates = make_certificates(folder / "tls", address)
        provider = OidcProvider(folder, address, certificates, accounts, **settings)
        stack.callback(provider.stop)
        provider.start()
        yield provider


ACCOUNTS = {
    "ada": Account("ada-s3cret", {"groups": ["/institutions/IceCube/Madison"]}),
    "eve": Account("eve-s3cret", {"groups": ["/institutions/IceCube/Aachen"]}),
    "olga": Account("olga-s3cret", {"groups": ["/muster/operators"]}),
    "site-1": Account("site-s3cret", {"ewms_role": "system-tms"}),
    "nobody": Account("nobody-s3cret", {"groups": True, "ewms_role": {"user": 1}}),
}


@pytest.fixture
def oidc_provider(tmp_path: Path) -> Iterator[OidcProvider]:
    """A provider of the test's own, with `ACCOUNTS`."""
    try:
        with run_provider(tmp_path / "provider", ACCOUNTS) as provider:
            yield provider
    except NoProviderError as error:
        pytest.skip(str(error))
