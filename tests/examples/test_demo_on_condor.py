"""Does the demo give the same physics and the same account on an HTCondor pool, and is every attempt found in the pool's history?"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.condor import find_condor
from services.fetching import NotFetchedError

pytestmark = [pytest.mark.system, pytest.mark.server]

DEMO = Path(__file__).parents[2] / "examples" / "daya-bay" / "demo.py"


@pytest.mark.timeout(400)
def test_the_demo_on_a_pool_gives_the_physics_the_account_and_the_history(apptainer: Path, tmp_path: Path) -> None:
    try:
        find_condor()
    except NotFetchedError as error:
        pytest.skip(str(error))
    output = tmp_path / "output"
    command = [sys.executable, str(DEMO), "--output", str(output), "--side", "20", "--pool", "htcondor"]

    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=380)

    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert "400 published, 400 done, 0 lost, 0 counted twice" in run.stdout
    assert re.search(r"400 attempts, by the jobs 1\.[01](, 1\.1)? of the pool, each of them in its history", run.stdout)
