"""Where do a test's images come from? A registry of its own: Debian's docker-registry, started for this run, without TLS on loopback."""

import gzip
import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.addresses import take_address
from harness.waiting import wait_for
from services.fetching import NotFetchedError, fetch

PORT = 5000
_MANIFEST, _CONFIG, _LAYER = (
    f"application/vnd.oci.image.{what}" for what in ("manifest.v1+json", "config.v1+json", "layer.v1.tar+gzip")
)


@dataclass(frozen=True)
class Registry:
    """One registry. `address`: host and port, as in an image's name. `data`: the folder of what it keeps."""

    address: str
    data: Path

    def push(
        self, name: str, tag: str, folder: Path, *, entrypoint: tuple[str, ...] = (), env: tuple[str, ...] = ()
    ) -> str:
        """Store a folder as an image of one layer; returns its digest (`sha256:…`)."""
        tar = _pack(folder)
        layer = self._put_blob(name, gzip.compress(tar, compresslevel=1, mtime=0))
        config: dict[str, Any] = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "Env": list(env)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar)]},
        }
        described = self._put_blob(name, json.dumps(config).encode())
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {"mediaType": _CONFIG, **described},
                "layers": [{"mediaType": _LAYER, **layer}],
            }
        ).encode()
        answer = httpx.put(self._url(name, f"manifests/{tag}"), content=manifest, headers={"content-type": _MANIFEST})
        assert answer.status_code == 201, answer.text
        return _digest(manifest)

    def read(self, digest: str) -> bytes:
        """What it has under a digest: a layer, a configuration or a manifest."""
        return self._blob(digest).read_bytes()

    def forge(self, digest: str, data: bytes) -> None:
        """Have it answer other bytes under a digest than those whose digest that is."""
        assert _digest(data) != digest
        self._blob(digest).write_bytes(data)

    def _blob(self, digest: str) -> Path:
        kind, _, number = digest.partition(":")
        return self.data / "docker" / "registry" / "v2" / "blobs" / kind / number[:2] / number / "data"

    def _put_blob(self, name: str, data: bytes) -> dict[str, Any]:
        digest = _digest(data)
        begun = httpx.post(self._url(name, "blobs/uploads/"))
        assert begun.status_code == 202, begun.text
        place = httpx.URL(self._url(name, "")).join(begun.headers["location"]).copy_merge_params({"digest": digest})
        stored = httpx.put(place, content=data, headers={"content-type": "application/octet-stream"}, timeout=60)
        assert stored.status_code == 201, stored.text
        return {"digest": digest, "size": len(data)}

    def _url(self, name: str, what: str) -> str:
        return f"http://{self.address}/v2/{name}/{what}"


def _pack(folder: Path) -> bytes:
    """A tar of the folder, its files owned by root."""
    buffer = io.BytesIO()

    def own(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name, filter=own)
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _find_program() -> Path:
    """The installed one, or the fetched one. Raises NotFetchedError."""
    installed = shutil.which("docker-registry")
    if installed is not None:
        return Path(installed)
    script = Path(__file__).with_name("fetch-registry.sh")
    return fetch("docker-registry", script, "registry") / "usr" / "bin" / "docker-registry"


@contextmanager
def run_registry(folder: Path) -> Iterator[Registry]:
    """A registry that keeps its images in the folder."""
    program = _find_program()
    with take_address() as host:
        settings = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": f"{host}:{PORT}", "secret": "test"},
        }
        (folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "serve", folder / "config.yml"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            wait_for(lambda: process.poll() is not None or _answers(host), "the registry answers")
            assert process.poll() is None, (folder / "output").read_text()[-1000:]
            yield Registry(f"{host}:{PORT}", folder / "data")
        finally:
            process.kill()
            process.wait(10)


def _answers(host: str) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, PORT)) == 0


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry for the tests of this process."""
    try:
        _find_program()
    except NotFetchedError as error:
        pytest.skip(str(error))
    with run_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry
