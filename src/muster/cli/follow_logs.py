"""`muster event logs --follow`: what does a task print while it is at work?"""

import base64
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from muster.cli.console import put_data, put_json, say
from muster.cli.failure import OK
from muster.client.shapes.events import LiveStreamView, TailView
from muster.client.synchronous import Client

ASK_S = 2.0
OVER = ("done", "dead")


@dataclass
class Told:
    """How much of one stream of one attempt was written already."""

    size_bytes: int = 0

    def take(self, stream: LiveStreamView) -> tuple[bytes, int]:
        """What is new of it, and how many bytes before that were never seen."""
        data = base64.b64decode(stream.data)
        new = max(0, stream.size_bytes - self.size_bytes)
        self.size_bytes = max(self.size_bytes, stream.size_bytes)
        return (data[-new:] if new else b""), max(0, new - len(data))


@dataclass
class Follower:
    """Writes what is new of one event's output.

    Args:
        names: of the streams that are wanted.
        put: takes what is new.
    """

    names: tuple[str, ...]
    put: Callable[[bytes], None] = put_data
    lease: int | None = None
    told: dict[str, Told] = field(default_factory=dict)

    def show(self, found: TailView) -> None:
        """Write what was not written yet; another attempt begins anew."""
        if found.lease is None:
            return
        if found.lease != self.lease:
            if self.lease is not None:
                say("another attempt has begun")
            self.lease, self.told = found.lease, {}
        for name in self.names:
            stream = found.stdout if name == "stdout" else found.stderr
            if stream is None:
                continue
            new, missed = self.told.setdefault(name, Told()).take(stream)
            if missed:
                say(f"{missed} bytes of {name} were left out")
            if new:
                self.put(new)


def follow(client: Client, event: str, *, stream: str | None, as_json: bool) -> int:
    """Write what its task prints until the event is done or dead."""
    follower = Follower((stream,) if stream is not None else ("stdout", "stderr"))
    is_told = False
    while True:
        found = client.get_event_tail(event)
        if as_json:
            put_json(found, in_one_line=True)
        else:
            follower.show(found)
        if found.state in OVER:
            say(f"{event} is {found.state}" + ("" if found.state == "done" else f": muster event logs {event}"))
            return OK
        if not is_told and follower.lease is None and not as_json:
            say(
                "its worker is asked with its next renewal, which may take some 20 s"
                if found.state == "in_work"
                else "it waits"
            )
            is_told = found.state == "in_work"
        sys.stdout.flush()
        time.sleep(ASK_S)
