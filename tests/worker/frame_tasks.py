"""How does a warm task look that does without `muster.task`? Programs that speak frames themselves, as other languages would."""

FRAMES = """
import json, os, struct

EVENTS, ANSWERS = (os.fdopen(int(number), mode) for number, mode in zip(os.environ["MUSTER_TASK_FDS"].split(","), ("rb", "wb")))


def read():
    sizes = EVENTS.read(8)
    if not sizes:
        return None
    header_bytes, body_bytes = struct.unpack(">II", sizes)
    return json.loads(EVENTS.read(header_bytes)), EVENTS.read(body_bytes)


def frame(header, body=b""):
    head = json.dumps(header).encode()
    return struct.pack(">II", len(head), len(body)) + head + body


def answer(event, body=b"", outcome="json"):
    return frame({"event": event["event"], "fence": event["fence"], "outcome": outcome}, body)


def say(*frames):
    ANSWERS.write(b"".join(frames))
    ANSWERS.flush()


say(frame({"hello": 1, "pid": os.getpid()}))
"""
"""Greets the worker; then `read`, `answer` and `say`."""

ECHO = f"""{FRAMES}
while (got := read()) is not None:
    header, body = got
    say(answer(header, body, header["kind"]))
"""
"""Every body is the result, unread."""
