"""What does a process tell its supervisor? A socket as systemd opens one, and what came in."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.waiting import wait_for


@dataclass
class Notified:
    """`address`: for NOTIFY_SOCKET."""

    address: str
    channel: socket.socket

    def wait_for(self, word: str) -> str:
        """The first message from now on that begins with it; those before are dropped."""
        return wait_for(lambda: self._take(word), f"{word} is told")

    def drain(self) -> list[str]:
        """What has come in so far."""
        told = []
        self.channel.setblocking(False)
        while True:
            try:
                told.append(self.channel.recv(4096).decode())
            except BlockingIOError:
                return told

    def _take(self, word: str) -> str:
        self.channel.settimeout(0.5)
        try:
            message = self.channel.recv(4096).decode()
        except TimeoutError:
            return ""
        return message if message.startswith(word) else ""


@contextmanager
def listen_as_systemd() -> Iterator[Notified]:
    """A socket in the kernel, of a name that nobody else has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("")  # the kernel finds a name, which begins with a null
        yield Notified("@" + channel.getsockname()[1:].decode(), channel)
