"""Does the base distribution install alone, and do its client and command line work without server, site or test packages?"""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.stack import Stack

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


def test_the_base_distribution_alone_reaches_a_service(stack: Stack, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT)
    wheel = next(tmp_path.glob("muster_compute-*.whl"))
    environment = tmp_path / "environment"
    _run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "requirements-base.lock")
    _run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    stack.start_serve()

    listed = _run(
        environment / "bin" / "muster", "workflow", "list", "--json", MUSTER_URL=stack.url, MUSTER_TOKEN=stack.token
    )
    version = _run(environment / "bin" / "muster", "--version")
    refused = subprocess.run(
        [environment / "bin" / "muster", "serve"], capture_output=True, text=True, timeout=60, check=False
    )

    assert '"workflows"' in listed
    assert "0.1.0" in version
    assert refused.returncode != 0
    assert "muster-compute[server]" in refused.stderr
    assert "Traceback" not in refused.stderr


def _run(*command: str | Path, **variables: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(Path.home()), **variables},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
