"""Is a plain command run once per event as its users were promised, whatever it does?"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.conftest import Worker, bare_and_isolated
from worker.fake_service import FakeService

pytestmark = pytest.mark.system

Start = Callable[..., Worker]
Script = Callable[[str], str]

SQUARE = """
import json, os
with open(os.environ["EWMS_TASK_INFILE"]) as file:
    event = json.load(file)
with open(os.environ["EWMS_TASK_OUTFILE"], "w") as file:
    json.dump({"n": event["n"], "squared": event["n"] ** 2}, file)
"""


def test_each_event_gets_its_result(start: Start, script: Script) -> None:
    with FakeService(args=script(SQUARE)) as service:
        service.publish(*({"n": n} for n in range(10)))
        worker = start(service)
        service.wait_for(done=10)
        service.tell_to("finish")

        assert worker.wait() == 0
        assert service.results() == [{"n": n, "squared": n * n} for n in range(10)]
        assert service.sessions[0].left == "told to finish"
        assert worker.ended["exit_code"] == 0
        assert worker.ended["counts"] == {"done": 10}
        assert worker.left() == []


@pytest.mark.parametrize(
    ("args", "body", "result"),
    [
        ("cp {{INFILE}} {{OUTFILE}}", "two words", "two words"),
        ("cp {{IN_FILE}} {{OUT_FILE}}", {"n": [1, None, "ä"]}, '{"n": [1, null, "ä"]}'),
        ("cp {{INFILE}} {{OUTFILE}}", b"\x00\xff\x80", b"\x00\xff\x80"),
        ("sh -c 'test {{DATA_HUB}} = {{DATAHUB}} && test -d $EWMS_TASK_DATA_HUB_DIR'", 1, None),
        ("sh -c 'cat $EWMS_TASK_INFILE > $EWMS_TASK_OUTFILE'", "by variables", "by variables"),
        ("echo 'not > {{OUTFILE}}; $HOME'", 1, None),
    ],
)
def test_placeholders_and_bodies(start: Start, args: str, body: Any, result: Any) -> None:
    with FakeService(args=args, infile_ext="in", outfile_ext="out") as service:
        service.publish(body)
        start(service)
        service.wait_for(done=1)
        assert service.results() == ([] if result is None else [result])


@bare_and_isolated
def test_a_task_sees_a_clean_environment_and_its_input_files(start: Start, script: Script, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (tmp_path / "table.txt").write_text("a table")
    (inputs / "table.txt").symlink_to(tmp_path / "table.txt")
    source = """
import json, os, pathlib
seen = {"environ": dict(os.environ), "cwd": os.getcwd(), "table": pathlib.Path("table.txt").read_text()}
pathlib.Path(os.environ["EWMS_TASK_OUTFILE"]).write_text(json.dumps(seen))
"""
    with FakeService(args=script(source), n_cores=3, env={"MKL_NUM_THREADS": "7", "MINE": "x"}) as service:
        (event,) = service.publish(1)
        worker = start(service, INPUT_DIR=inputs)
        service.wait_for(done=1)
        (seen,) = service.results()
    environ = seen["environ"]
    assert seen["table"] == "a table"
    assert seen["cwd"].startswith(f"{worker.folder}/ewms-pilot-data/")
    assert environ["TMPDIR"] == seen["cwd"]
    assert environ["MUSTER_ATTEMPT"] == f"{event.name}/1"
    assert (environ["OMP_NUM_THREADS"], environ["MKL_NUM_THREADS"], environ["MINE"]) == ("3", "7", "x")
    assert [name for name in environ if "SECRET" in name or "ENROL" in name or "TOKEN" in name or "URL" in name] == []
    assert "A_SECRET_OF_THE_WORKER" not in environ
    assert "MUSTER_TASKFORCE" not in environ


@bare_and_isolated
def test_the_files_of_good_attempts_are_deleted_and_those_of_bad_ones_kept(start: Start, script: Script) -> None:
    source = """
import sys, pathlib
pathlib.Path("left.txt").write_text("something")
print("to stdout")
sys.exit("bad" if pathlib.Path(sys.argv[1]).read_text() == "1" else None)
"""
    with FakeService(args=script(source) + " {{INFILE}}", attempts=1) as service:
        service.publish(0, 0, 1, 0)
        worker = start(service)
        service.wait_for(done=3, dead=1)
        service.tell_to("finish")
        assert worker.wait() == 0
    kept = [path for path in (worker.folder / "ewms-pilot-data").iterdir() if path.name.isdigit()]
    assert [sorted(path.name for path in folder.iterdir()) for folder in kept] == [["outputs", "scratch", "task-io"]]
    assert (kept[0] / "outputs" / "stdoutfile").read_text() == "to stdout\n"
    assert (kept[0] / "outputs" / "stderrfile").read_text() == "bad\n"


def test_a_worker_stops_nothing_of_another_one_on_the_same_machine(start: Start, script: Script) -> None:
    """Events of two services may have the same number."""
    sleep = script("import sys, time\ntime.sleep(float(sys.argv[1]))\n")
    with (
        FakeService(args=f"{sleep} 3600", timeout_s=0.5, attempts=1) as first,
        FakeService(args=f"{sleep} 3") as second,
    ):
        (other,) = second.publish(0)
        (event,) = first.publish(0)
        assert event.name == other.name
        workers = [start(second), start(first)]
        first.wait_for(dead=1)
        second.wait_for(done=1)
        for service in (first, second):
            service.tell_to("finish")
        assert [worker.wait() for worker in workers] == [0, 0]
    assert other.errors == []


BAD = """
import json, os, pathlib, signal, subprocess, sys, time
what = json.loads(pathlib.Path(os.environ["EWMS_TASK_INFILE"]).read_text())
out = pathlib.Path(os.environ["EWMS_TASK_OUTFILE"])
print("this was printed")
if what == "raise":
    raise ValueError("point 17 in /some/where is outside")
if what == "hang":
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    time.sleep(3600)
if what == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if what == "no json":
    out.write_text('{"a": 1,\\n oops}')
if what == "nan":
    out.write_text("NaN")
if what == "deep":
    out.write_text("[" * 300 + "]" * 300)
if what == "surrogate":
    out.write_text('"\\\\ud800"')
if what == "large":
    out.write_text('"' + "x" * (1 << 20) + '"')
if what == "pipe":
    os.mkfifo(out)
if what == "status":
    sys.exit(4)
"""


@bare_and_isolated
@pytest.mark.parametrize(
    ("what", "text", "fingerprint"),
    [
        (
            "raise",
            "ValueError: point 17 in /some/where is outside",
            "exit 1: ValueError: point # in <path> is outside",
        ),
        ("hang", "task failed: [Timeout-Error] timed out after 1s", "timeout"),
        ("crash", "task failed (killed by signal 11, SIGSEGV): <no stderr logs>", "SIGSEGV"),
        ("no json", "promised JSON: line 2 column 2", None),
        ("nan", "promised JSON: NaN is not JSON", None),
        ("deep", "promised JSON: it is nested deeper than 256 levels", None),
        ("surrogate", "promised JSON: it holds half of a surrogate pair", None),
        ("large", "is 1048578 bytes; a result may have 1048576", None),
        ("pipe", "is no regular file", None),
        ("status", "task failed (exit code 4): <no stderr logs>", "exit 4"),
    ],
)
def test_a_bad_task_is_told_to_its_user(
    start: Start, script: Script, what: str, text: str, fingerprint: str | None
) -> None:
    with FakeService(args=script(BAD), timeout_s=1.0 if what == "hang" else None, attempts=2) as service:
        (event, _) = service.publish(what, "nothing")
        worker = start(service)
        service.wait_for(done=1, dead=1)
        assert worker.left() == []
        service.tell_to("finish")
        assert worker.wait() == 0
    assert len(event.errors) == 2
    assert text in event.errors[0]["text"]
    if fingerprint is not None:
        assert event.errors[0]["fingerprint"] == fingerprint
    if what != "hang":
        assert event.errors[0]["stdout_tail"] == ("" if what == "crash" else "this was printed\n")
    assert event.history == ["requeued", "dead"]


@bare_and_isolated
@pytest.mark.parametrize(
    ("args", "text"),
    [
        ("no-such-program --now", "command not found: 'no-such-program'"),
        ("/etc/hostname", "not an executable program: '/etc/hostname' (chmod +x, or put its interpreter before it)"),
    ],
)
def test_a_command_that_cannot_be_started(start: Start, args: str, text: str) -> None:
    with FakeService(args=args, attempts=1) as service:
        (event,) = service.publish(1)
        start(service)
        service.wait_for(dead=1)
        assert event.errors[0]["text"] == f"task failed: {text}"


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(("kind", "body", "tries"), [("bytes", "no base64!", 1), ("of-a-newer-service", "x", 3)])
def test_an_event_whose_body_cannot_be_read_dies_alone_and_at_once_if_it_is_damaged(
    start: Start,
    script: Script,
    kind: str,
    body: str,
    tries: int,
    warm: bool,  # noqa: FBT001
) -> None:
    with FakeService(args=script("from muster import task\ntask.run(lambda event: event)"), warm=warm) as service:
        bad = service.publish_as_it_comes(kind, body)
        service.publish(1, 2, 3)
        worker = start(service)
        service.wait_for(done=3, dead=1)
        service.tell_to("finish")

        assert worker.wait() == 0
        assert [error["text"].startswith("task failed: a body") for error in bad.errors] == [True] * tries
        assert service.results() == [1, 2, 3]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("reference", ["no JSON", "[]", '{"file": "x", "size_bytes": null}'])
def test_a_reference_that_cannot_be_read_is_the_error_of_its_attempt(
    start: Start,
    script: Script,
    reference: str,
    warm: bool,  # noqa: FBT001
) -> None:
    source = "from muster import task\ntask.run(lambda event: event)"
    with FakeService(args=script(source), warm=warm, attempts=1) as service:
        bad = service.publish_as_it_comes("file", reference)
        service.publish(1)
        start(service)
        service.wait_for(done=1, dead=1)

        assert "the body is a reference that cannot be read" in bad.errors[0]["text"]


def test_a_flood_of_output_fills_neither_disk_nor_memory(start: Start, script: Script) -> None:
    source = """
import sys
for _ in range(200):
    sys.stdout.buffer.write(b"x" * (1 << 20))
sys.exit("the end")
"""
    with FakeService(args=script(source), attempts=1) as service:
        (event,) = service.publish(1)
        worker = start(service)
        service.wait_for(dead=1, deadline_s=40)
        peak_kib = _status(worker.process.pid, "VmHWM")
        service.tell_to("finish")
        assert worker.wait() == 0
    assert event.errors[0]["text"] == "task failed (exit code 1): the end"
    assert event.errors[0]["stdout_tail"] == "x" * 8192
    assert peak_kib < 80 * 1024
    sizes = [path.stat().st_size for path in worker.folder.rglob("*") if path.is_file()]
    assert max(sizes) < 2 << 20


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {field}")


ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3):
            os.close(number)
        if "--clear" in sys.argv:
            os.execve("/bin/sleep", ["sleep", "3600"], {})
        time.sleep(3600)
    os._exit(0)
os.wait()
"""


@bare_and_isolated
@pytest.mark.parametrize("option", ["", " --clear"])
def test_what_a_task_leaves_running_is_stopped_with_its_attempt(start: Start, script: Script, option: str) -> None:
    with FakeService(args=script(ESCAPE) + option) as service:
        service.publish(1)
        worker = start(service)
        service.wait_for(done=1)
        assert worker.left() == []
        children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
        service.wait(lambda: children.read_text() == "", "what was killed is reaped, too")


def test_slots_work_at_once_and_results_do_not_wait_for_each_other(start: Start, script: Script) -> None:
    source = """
import json, os, pathlib, time
event = json.loads(pathlib.Path(os.environ["EWMS_TASK_INFILE"]).read_text())
folder = pathlib.Path(event["folder"])
(folder / str(event["n"])).touch()
deadline = time.monotonic() + 15
while not (folder / f"go-{event['n']}").exists() and time.monotonic() < deadline:
    time.sleep(0.005)
"""
    with FakeService(args=script(source), slots=4) as service:
        worker = start(service)
        folder = worker.folder / "meeting"
        folder.mkdir()
        events = service.publish(*({"n": n, "folder": str(folder)} for n in range(4)))
        service.wait(lambda: len(list(folder.iterdir())) == 4, "all four are at work at the same time")
        for n in (2, 0, 3, 1):
            (folder / f"go-{n}").touch()
            service.wait(lambda n=n: events[n].state == "done", f"{n} is handed in while others still run")  # type: ignore[misc]


def test_results_come_within_milliseconds_while_other_slots_run(start: Start, script: Script) -> None:
    source = """
import json, os, pathlib, time
event = json.loads(pathlib.Path(os.environ["EWMS_TASK_INFILE"]).read_text())
time.sleep(event["sleep_s"])
pathlib.Path(os.environ["EWMS_TASK_OUTFILE"]).write_text(json.dumps(time.monotonic()))
"""
    with FakeService(args=script(source), slots=2) as service:
        start(service)
        service.publish({"sleep_s": 3600})
        service.wait(lambda: service.counts["in work"] == 1, "one is at work")
        delays = []
        for _ in range(5):
            (event,) = service.publish({"sleep_s": 0.05})
            service.wait(lambda event=event: event.state == "done", "done")  # type: ignore[misc]
            delays.append(event.finished_at[-1] - event.results[0]["body"])
        assert min(delays) < 0.1


def test_a_long_task_does_not_keep_short_ones_waiting_behind_it(start: Start, script: Script) -> None:
    """Short tasks are taken in batches; when one turns out long, those behind it go to another worker."""
    source = """
from muster import task
import time
def handle(event):
    time.sleep(3600 if event == "long" else 0)
task.run(handle)
"""
    with FakeService(args=script(source), warm=True) as service:
        service.publish(*range(300))
        service.publish("long")
        service.publish(*range(300))
        start(service, proc=0)
        service.wait(lambda: [e for e in service.at_work.values() if e.body == "long"], "the long one is taken")
        start(service, proc=1)
        service.wait_for(done=600)


@bare_and_isolated
def test_python_finds_the_helper_but_keeps_its_own_muster(start: Start, script: Script) -> None:
    source = """
import muster.client.shapes
from muster import task
task.run(lambda event: [task.__file__, muster.client.shapes.__file__])
"""
    with FakeService(args=script(source)) as service:
        service.publish(1)
        worker = start(service)
        service.wait_for(done=1)
        ((helper, shapes),) = service.results()
    assert helper == str(worker.folder / "helper" / "muster" / "task.py")
    assert not shapes.startswith(str(worker.folder))


@bare_and_isolated
def test_an_init_command_runs_once_before_the_first_event(start: Start, script: Script) -> None:
    init = script(
        "import os, pathlib; f = pathlib.Path(os.environ['EWMS_TASK_DATA_HUB_DIR']) / 'n'; "
        "f.write_text(f.read_text() + 'x' if f.exists() else 'x')"
    )
    with FakeService(args="cp {{DATA_HUB}}/n {{OUTFILE}}", outfile_ext="out", init_args=init, slots=3) as service:
        service.publish(1, 2, 3, 4)
        start(service)
        service.wait_for(done=4)
        assert service.results() == ["x"] * 4


def test_an_init_command_that_fails_ends_the_worker_and_blames_no_event(start: Start) -> None:
    with FakeService(init_args="sh -c 'echo no table >&2; exit 5'") as service:
        (event,) = service.publish(1)
        worker = start(service)
        assert worker.wait() == 1
        assert "init command failed (exit code 5): no table" in worker.ended["why"]
        assert (event.state, event.attempts) == ("waiting", 0)


def test_a_disk_that_is_gone_ends_the_worker_and_blames_no_event(start: Start, script: Script) -> None:
    source = "import os, shutil; shutil.rmtree(os.path.dirname(os.environ['EWMS_TASK_DATA_HUB_DIR']))"
    with FakeService(args=script(source)) as service:
        service.publish(1, 2)
        worker = start(service)
        assert worker.wait() == 1
        assert "ewms-pilot-data" in worker.ended["why"]
        assert (service.states(), service.verdicts["requeued"]) == ({"waiting": 1, "done": 1}, 1)


def test_log_lines_hold_neither_secrets_nor_bodies(start: Start, script: Script) -> None:
    with FakeService(
        args=script("raise ValueError(open(__import__('sys').argv[1]).read())") + " {{INFILE}}"
    ) as service:
        service.publish("a body")
        worker = start(service)
        service.wait_for(dead=1)
        service.tell_to("finish")
        assert worker.wait() == 0
        tokens = service.seen_tokens
    lines = [json.loads(line) for line in worker.said.splitlines()]
    assert {"started", "enrolled", "attempt failed", "stopping", "ended"} <= {line["what"] for line in lines}
    for secret in ("an enrolment secret", "a body", *tokens):
        assert secret not in worker.said
    assert time.time() - worker.ended["ended"] < 60
    assert (worker.folder / "exit.json").stat().st_size < 1000


@pytest.mark.parametrize("name", ["MUSTER_WORKER_INIT_TIMEOUT_S", "EWMS_PILOT_INIT_TIMEOUT"])
def test_an_init_command_has_its_time_and_no_more(start: Start, name: str) -> None:
    with FakeService(init_args="sh -c 'sleep 3600 & sleep 3600'") as service:
        [event] = service.publish(1)
        worker = start(service, environment={name: "0.5"})

        assert worker.wait() == 1
        assert worker.ended["why"] == "init command failed: [Timeout-Error] timed out after 0.5s"
        assert worker.left() == []
        assert event.leased_at == []
