"""Does a supervisor hear of a part what it should, and nothing from one whose loop hangs?"""

import os
import socket
import threading
from pathlib import Path

import anyio
import pytest

from harness.notified import listen_as_systemd
from muster.cli.supervisor import Supervisor
from muster.domain.errors import ConflictError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_watchdog_is_fed_by_the_loop_and_by_nobody_while_that_hangs() -> None:
    release, hangs = threading.Event(), threading.Event()
    silent: list[bool] = []
    with listen_as_systemd() as heard:
        supervisor = Supervisor({"NOTIFY_SOCKET": heard.address, "WATCHDOG_USEC": "60000"})
        assert supervisor.watch_s == 0.06

        def watch() -> None:
            heard.wait_for("WATCHDOG=1")
            hangs.set()
            heard.channel.settimeout(0.5)
            try:
                while heard.channel.recv(100):  # what was told before it hung
                    pass
            except TimeoutError:
                silent.append(True)
            release.set()
            heard.wait_for("WATCHDOG=1")

        async def work() -> None:
            watcher = threading.Thread(target=watch)
            watcher.start()
            with anyio.fail_after(20):
                while not hangs.is_set():  # noqa: ASYNC110  # a thread rings no bell
                    await anyio.sleep(0.005)
            release.wait(20)  # the whole loop stands still
            await anyio.to_thread.run_sync(watcher.join)

        await supervisor.attend(work)
    assert silent == [True]


async def test_what_the_work_raises_is_raised_as_it_is_watched_or_not() -> None:
    async def fail() -> None:
        raise ConflictError("another agent")

    with listen_as_systemd() as heard:
        watched = Supervisor({"NOTIFY_SOCKET": heard.address, "WATCHDOG_USEC": "1000000"})
        for supervisor in (watched, Supervisor({})):
            with pytest.raises(ConflictError, match="another agent"):
                await supervisor.attend(fail)


async def test_a_path_does_as_well_and_nobody_there_is_no_error(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(20)
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "OTHER": "1"}
        supervisor = Supervisor(variables)
        assert variables == {"OTHER": "1"}  # no child speaks for this process
        assert supervisor.watch_s == 0
        supervisor.tell_ready("answers")
        assert channel.recv(100) == b"READY=1\nSTATUS=answers"
    supervisor.tell_stopping()
    Supervisor({}).tell_ready("nobody asked")


async def test_a_watchdog_that_is_another_process_is_not_fed() -> None:
    variables = {"NOTIFY_SOCKET": "@nowhere", "WATCHDOG_USEC": "1000000"}
    assert Supervisor({**variables, "WATCHDOG_PID": str(os.getpid())}).watch_s == 1
    assert Supervisor({**variables, "WATCHDOG_PID": "1"}).watch_s == 0
    assert Supervisor({"WATCHDOG_USEC": "1000000"}).watch_s == 0
