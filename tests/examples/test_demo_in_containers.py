"""Does the demo give the same physics and the same account where its task runs in containers?"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

DEMO = Path(__file__).parents[2] / "examples" / "daya-bay" / "demo.py"


@pytest.mark.timeout(400)
def test_the_demo_in_containers_gives_the_physics_and_the_account(apptainer: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    command = [sys.executable, str(DEMO), "--output", str(output), "--side", "20", "--runtime", "apptainer"]

    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=380)

    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert "400 published, 400 done, 0 lost, 0 counted twice" in run.stdout
    assert "task_image: " in (output / "workflow.yaml").read_text()
