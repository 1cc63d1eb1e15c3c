"""Who gives the tokens of these tests? An issuer with keys of its own on a real loopback socket, honest unless a test makes it lie."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from harness.certificates import Certificates

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/jwks"
SigningKey = RSAKey | ECKey | OctKey
_SIGNING = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "HS256", "none")


@cache
def rsa(kid: str = "first", bits: int = 2048) -> RSAKey:
    """Made once a run: making one takes a while."""
    return RSAKey.generate_key(bits, {"kid": kid, "use": "sig"})


@cache
def ec(kid: str = "curved", curve: str = "P-256") -> ECKey:
    return ECKey.generate_key(curve, {"kid": kid, "use": "sig"})


def publish(key: SigningKey, **changes: Any) -> dict[str, Any]:
    """The key as an issuer shows it; None takes a member away."""
    shown = {**key.as_dict(private=isinstance(key, OctKey)), **changes}
    return {name: value for name, value in shown.items() if value is not None}


def sign(header: dict[str, Any], claims: object, key: SigningKey | None) -> str:
    """A compact JWS over the claims, whatever they are."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    registry = jws.JWSRegistry(algorithms=_SIGNING, strict_check_header=False)
    return jws.serialize_compact(header, payload, key, registry=registry)


@dataclass
class FakeIssuer:
    """One issuer.

    Args:
        keys: what it shows, as JWKs.
        answers: what it says instead at a path: status, headers, body.
        hold: called before each answer, to be slow.
    """

    url: str
    keys: list[dict[str, Any]] = field(default_factory=lambda: [publish(rsa()), publish(ec())])
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    hold: Callable[[], object] = lambda: None
    asked: list[str] = field(default_factory=list)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token; None takes one away."""
        now = int(time.time())
        good = {
            "iss": self.url,
            "sub": "ada",
            "exp": now + 300,
            "iat": now,
            "groups": ["/institutions/IceCube/Madison"],
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(
        self, key: SigningKey | None = None, *, alg: str | None = None, header: Mapping[str, Any] = {}, **claims: Any
    ) -> str:
        """A token signed with the key; `header` changes its header, `claims` its claims."""
        key = key or rsa()
        alg = alg or ("ES256" if isinstance(key, ECKey) else "RS256")
        whole = {"alg": alg, "typ": "at+jwt", "kid": key.kid, **header}
        return sign({name: value for name, value in whole.items() if value is not None}, self.claims(**claims), key)

    def count(self, path: str) -> int:
        """How often it was asked that."""
        return self.asked.count(path)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        self.hold()
        if path in self.answers:
            return self.answers[path]
        documents: dict[str, object] = {
            DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + KEYS, "token_endpoint": self.url + "/token"},
            KEYS: {"keys": self.keys},
        }
        if path not in documents:
            return 404, {}, b"{}"
        return 200, {}, json.dumps(documents[path]).encode()


@contextmanager
def run_issuer(*, port: int = 0, tls: Certificates | None = None, **settings: Any) -> Iterator[FakeIssuer]:
    """Serve an issuer on a loopback socket until the block ends; a port makes it the issuer that was there before."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = issuer.answer(self.path)
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    issuer = FakeIssuer(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", **settings)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
