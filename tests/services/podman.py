"""Where do a test's containers of Podman come from? The real program, fetched into the cache, with a store of its own.

`podman` is the program, as a worker may be given it; `podman_image` the name of an image in its store, of the same packages as Apptainer's.
"""

import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.fetching import ROOT, NotFetchedError, fetch

SCRIPT = ROOT / "deploy" / "containers" / "fetch-podman.sh"
IMAGE = "localhost/muster-test:1"
DRIVERS = ("overlay", "vfs")


def make_program(folder: Path, driver: str) -> Path:
    """`podman` with its store, of this kind, in this folder. Raises NotFetchedError."""
    folder.mkdir()
    root = fetch("Podman", SCRIPT, "podman")
    # What a container may use at most must not be more than we may: Podman's own default is, where a machine has lowered it.
    files, processes = (resource.getrlimit(one)[1] for one in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    limits = [f'"{name}={most}:{most}"' for name, most in (("nofile", files), ("nproc", processes)) if most > 0]
    settings = f"""
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
helper_binaries_dir = ["{root}/usr/lib/podman", "{root}/usr/bin"]
conmon_path = ["{root}/usr/bin/conmon"]
[engine.runtimes]
runc = ["{root}/usr/bin/runc"]
[containers]
netns = "host"
default_ulimits = [{", ".join(limits)}]
"""
    (folder / "containers.conf").write_text(settings)
    own = folder / ".config" / "containers"
    own.mkdir(parents=True)
    (own / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (own / "storage.conf").write_text(
        '[storage]\ndriver = "vfs"\n[storage.options.vfs]\nignore_chown_errors = "true"\n'
    )
    program = folder / "podman"
    program.write_text(f"""#!/bin/sh
export HOME={folder} XDG_RUNTIME_DIR={folder} CONTAINERS_CONF={folder}/containers.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
export PATH={root}/usr/bin:/usr/bin:/bin:/usr/sbin:/sbin
exec podman --root {folder}/store --runroot {folder}/run --storage-driver {driver} "$@"
""")
    program.chmod(0o755)
    return program


@pytest.fixture(scope="session")
def podman(image: Path) -> Iterator[Path]:
    """The program, with `IMAGE` in its store: layers over each other where this machine allows that, else copies, which take longer."""
    folder = Path(tempfile.mkdtemp(prefix="muster-podman-"))  # short: its sockets' paths may have 108 characters
    try:
        for driver in DRIVERS:
            program = make_program(folder / driver, driver)
            if not (why := _find_fault(program, image)):
                yield program
                return
        pytest.skip(f"Podman does not run here: {why}")
    except NotFetchedError as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_fault(program: Path, image: Path) -> str:
    """Why it does not run the image, which is put into its store; empty where it does."""
    pack = ["tar", "-C", str(image), "--exclude=./dev/*", "-c", "."]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packed:
        words = [str(program), "import", "--quiet", "-", IMAGE]
        imported = subprocess.run(words, stdin=packed.stdout, capture_output=True, text=True, check=False)
    if imported.returncode:
        return imported.stderr.strip()[-300:]
    tried = subprocess.run([program, "run", "--rm", IMAGE, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()[-300:] if tried.returncode else ""


@pytest.fixture(scope="session")
def podman_image(podman: Path) -> str:
    """The name of the image in its store."""
    del podman
    return IMAGE
