"""Does what docs/operate has an operator type work as it is typed, beside a real pool?"""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from harness.addresses import take_address
from harness.processes import find_with
from harness.stack import MUSTER, clean_environment
from harness.typed_pages import is_as_told, read_steps, type_steps
from services.condor import Condor

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(240)]

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "htcondor.md"


def test_a_pool_becomes_a_site_by_what_the_page_has_one_type(condor: Condor, tmp_path: Path) -> None:
    with take_address() as address:
        # All is typed as it stands but for the address, which another run on this machine may have.
        steps = read_steps(PAGE.read_text().replace("127.0.0.1", address))
        assert len(steps) >= 6
        programs = [MUSTER.parent, condor.root / "usr" / "bin", "/usr/bin", "/bin"]
        environment = clean_environment() | {
            "CONDOR_CONFIG": str(condor.config),
            "PATH": os.pathsep.join(map(str, programs)),
            "MUSTER_TEST_STACK": str(tmp_path),
        }
        try:
            for step, printed in type_steps(steps, tmp_path, environment, deadline_s=180):
                assert is_as_told(step.printed, printed), (
                    f"{step.commands}\nsays\n{step.printed}\nand printed\n{printed}"
                )
        finally:
            for pid in find_with("MUSTER_TEST_STACK", str(tmp_path)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    names = (tmp_path / "names.jsonl").read_text().splitlines()
    assert len(names) == len((tmp_path / "greetings.jsonl").read_text().splitlines())


def test_dots_stand_for_anything_and_a_line_of_them_for_any_lines() -> None:
    printed = "one 1\ntwo\nthree 3\nfour\n"
    assert is_as_told("one …\n…\nthree 3\n", printed)
    assert is_as_told("…\nfour\n", printed)
    assert not is_as_told("three 3\none 1\n", printed)
    assert not is_as_told("one\n", printed)
