"""Does the script that HTCondor runs find a Python, pass on signals and ends, and bring back what was printed when it is wanted?"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.waiting import wait_for
from muster.site.adapters.htcondor import launcher
from muster.site.adapters.htcondor.launcher import ALWAYS, FAILED, render_launcher


@pytest.fixture
def slot(tmp_path: Path) -> Path:
    """A worker's folder, as HTCondor makes it."""
    folder = tmp_path / "execute" / "dir_12" / "scratch"
    folder.mkdir(parents=True)
    return folder


def run(
    slot: Path, *words: str, site: str = "site", hidden: tuple[str, ...] = (), **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", write(slot, site, hidden), *words],
        env={"PATH": os.environ["PATH"], "_CONDOR_SCRATCH_DIR": str(slot), **variables},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def write(slot: Path, site: str = "site", hidden: tuple[str, ...] = ()) -> Path:
    script = slot / "condor_exec.exe"
    script.write_text(render_launcher(site, hidden))
    return script


def place_worker(slot: Path, program: str) -> None:
    (slot / launcher.BUNDLE).write_text(program)
    (slot / launcher.SETTINGS).write_text("{}")


def test_the_worker_runs_alone_in_its_folder_with_its_settings(slot: Path) -> None:
    place_worker(slot, "import os, sys\nprint(sys.argv[1], os.getcwd(), sys.flags.isolated, sys.flags.no_site)\n")

    ran = run(slot, ALWAYS)

    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == f"{launcher.SETTINGS} {slot} 1 1\n"


def test_what_a_worker_printed_that_ended_well_comes_back_only_where_it_is_wanted(slot: Path) -> None:
    place_worker(slot, "print('all is well')")

    assert run(slot, FAILED).stderr == ""
    assert run(slot, ALWAYS).stderr == "all is well\n"


def test_of_a_worker_that_failed_the_end_of_what_it_printed_comes_back(slot: Path) -> None:
    place_worker(
        slot, "import sys\nprint('x' * 200_000, flush=True)\nprint('the reason', file=sys.stderr)\nsys.exit(3)\n"
    )

    ran = run(slot, FAILED)

    assert ran.returncode == 3
    assert len(ran.stderr) == launcher.SAID_BYTES_MAX
    assert ran.stderr.endswith("x\nthe reason\n")


def run_to_file(slot: Path, *words: str) -> tuple[int, str]:
    """As HTCondor does, which gives a job files; the status, and what is left in that of the error stream."""
    with (slot / "_condor_stderr").open("wb") as errors:
        ran = subprocess.run(
            ["sh", write(slot), *words],
            env={"PATH": os.environ["PATH"], "_CONDOR_SCRATCH_DIR": str(slot)},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            check=False,
            timeout=30,
        )
    return ran.returncode, (slot / "_condor_stderr").read_text()


def test_what_is_printed_can_be_seen_while_the_worker_runs_and_is_gone_when_it_has_ended_well(slot: Path) -> None:
    place_worker(
        slot,
        "import sys\nprint('hello', flush=True)\nsys.exit(0 if open('_condor_stderr').read() == 'hello\\n' else 3)\n",
    )

    assert run_to_file(slot, FAILED) == (0, "")
    assert run_to_file(slot, ALWAYS) == (0, "hello\n")


def test_the_end_of_what_a_failed_worker_printed_is_left_in_a_file(slot: Path) -> None:
    place_worker(slot, "import sys\nprint('x' * 200_000, flush=True)\nsys.exit('the reason')\n")

    status, left = run_to_file(slot, FAILED)

    assert (status, len(left)) == (1, launcher.SAID_BYTES_MAX)
    assert left.endswith("x\nthe reason\n")
    place_worker(slot, "import sys\nsys.exit('the reason')\n")
    assert run_to_file(slot, FAILED) == (1, "the reason\n")


def test_a_worker_that_a_signal_ends_ends_its_script_by_the_same(slot: Path) -> None:
    place_worker(slot, "import os\nos.kill(os.getpid(), 9)\n")

    assert run(slot, FAILED).returncode == -signal.SIGKILL


def test_a_worker_hears_the_signal_and_has_its_time(slot: Path) -> None:
    place_worker(
        slot,
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), print('handed in'), sys.exit(0)))\n"
        "open('ready', 'w').close()\n"
        "time.sleep(60)\n",
    )
    process = subprocess.Popen(
        ["sh", write(slot), ALWAYS],
        env={"PATH": os.environ["PATH"], "_CONDOR_SCRATCH_DIR": str(slot)},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((slot / "ready").exists, "the worker is there")

    process.send_signal(signal.SIGTERM)

    assert process.communicate(timeout=30)[1] == "handed in\n"
    assert process.returncode == 0


def test_input_files_are_brought_together(slot: Path) -> None:
    for name in ("a b.csv", "c"):
        (slot / name).write_text(name)
    (slot / launcher.INPUTS).write_text("a b.csv\nc\n")
    place_worker(slot, "import os\nprint(sorted(os.listdir('inputs')))\n")

    assert run(slot, ALWAYS).stderr == "['a b.csv', 'c']\n"


def test_a_machine_without_python_says_so(slot: Path) -> None:
    programs = slot / "bin"
    programs.mkdir()
    for name in ("mkdir", "uname"):
        (programs / name).symlink_to(str(shutil.which(name)))
    script = write(slot)
    script.write_text(script.read_text().replace("/usr/", "/nowhere/"))

    ran = subprocess.run(
        [str(shutil.which("sh")), script, FAILED],
        env={"PATH": str(programs)},
        cwd=slot,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == launcher.NO_PYTHON_STATUS
    assert ran.stderr.startswith("there is no Python 3.9 or newer on ")


def test_a_glide_ins_site_goes_before_the_agents_name(slot: Path) -> None:
    show = ["sh", "-c", "echo $MUSTER_WORKER_SITE"]

    assert run(slot, ALWAYS, *show, site="of the $(agent)").stderr == "of the __agent_\n"
    assert run(slot, ALWAYS, *show, GLIDEIN_Site="AMNH").stderr == "AMNH\n"


def test_what_other_slots_work_at_is_hidden(slot: Path) -> None:
    show = ["sh", "-c", 'echo "$MUSTER_WORKER_HIDDEN"']

    assert run(slot, ALWAYS, *show).stderr == f"{slot.parents[1]}\n"
    assert run(slot, ALWAYS, *show, hidden=("/a b", "/it's")).stderr == f"/a b,/it's,{slot.parents[1]}\n"


def test_the_script_is_one_that_a_plain_shell_reads() -> None:
    shells = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
    for shell in shells:
        words = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
        read = subprocess.run(words, input=render_launcher("x"), text=True, capture_output=True, check=False)
        assert (read.returncode, read.stderr) == (0, ""), shell
    assert sys.version_info >= (3, 9)
