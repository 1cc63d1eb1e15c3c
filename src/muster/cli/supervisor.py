"""How does systemd learn that a part is ready, that it lives, and that it is on its way out? By words over the socket that it names.

Without that socket nothing is told, and nothing runs beside the part. The watchdog is fed from the loop in which the part works: where
that hangs, nobody feeds it, and systemd starts the part again.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping

import anyio

SOCKET, WATCHDOG_USEC, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


class Supervisor:
    """Whoever started this process, if it wants to be told.

    Args:
        variables: of the environment; the three that are ours are taken out of it, since no child is to speak for this process.
    """

    def __init__(self, variables: MutableMapping[str, str]) -> None:
        address, usec, pid = (variables.pop(name, "") for name in (SOCKET, WATCHDOG_USEC, WATCHDOG_PID))
        # systemd knows two kinds of addresses: a path, and, behind an @, a name in the kernel.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        is_watched = bool(address) and usec.isdigit() and pid in ("", str(os.getpid()))
        self.watch_s = int(usec) / 1e6 if is_watched else 0.0
        """Seconds without a word after which the process is taken for dead; 0: it may be silent."""

    def tell(self, *words: str) -> None:
        """Say something. A supervisor that does not listen (any more) is no reason to stop."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.connect(self._address)
                channel.send("\n".join(words).encode())
        except OSError:
            return

    def tell_ready(self, status: str) -> None:
        """It works from now on. `status`: what `systemctl status` shows, one line."""
        self.tell(READY, f"STATUS={status}")

    def tell_stopping(self) -> None:
        """It was asked to end."""
        self.tell(STOPPING)

    async def attend(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, and feed the watchdog meanwhile. What the work raises is raised as it is."""
        if not self.watch_s:
            await work()
            return
        fault: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - passed on below: the group would wrap it
                fault = error
            tasks.cancel_scope.cancel()
        if fault is not None:
            raise fault

    async def _feed(self) -> None:
        while True:
            self.tell(ALIVE)
            await anyio.sleep(self.watch_s / 3)
