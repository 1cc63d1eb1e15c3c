"""Why did a task fail, in one text, and which failures have the same cause?

Source of the extraction: pilot.md section 7 (upstream's rules). A fingerprint is the cause without what differs from event to
event: paths, numbers, ids.
"""

from __future__ import annotations

import re

TEXT_CHARS_MAX = 4096
FINGERPRINT_CHARS_MAX = 200
NO_STDERR = "<no stderr logs>"

_UUID = re.compile(r"[-+]?\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b", re.IGNORECASE)
_HEX = re.compile(r"[-+]?\b(?:0x[0-9a-f]+|(?=[0-9a-f]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,})\b", re.IGNORECASE)
_REST = r"[^\s'\"`,;:()\[\]{}<>|*?]+"
_PATH = re.compile(rf"(?<![\w.<>:/#])(?:[a-z][a-z0-9+.-]*://|(?:~|\.{{1,2}})?/){_REST}", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", re.IGNORECASE)
_HASHES = re.compile(r"#(?:[#.,:/x_+\-]*#)+")
_SPACE = re.compile(r"\s+")


def extract_cause(stderr: str) -> str:
    """The last traceback in what a task wrote to stderr, else its last line, else a text that says that there was none."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    if not lines:
        return NO_STDERR
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith("Traceback"):
            return "\n".join(lines[index:])
    return lines[-1]


def find_headline(cause: str) -> str:
    """The one line of a cause that says most: of a traceback, the exception's."""
    lines = cause.splitlines()
    if not lines or not lines[0].startswith("Traceback"):
        return lines[-1] if lines else cause
    last_frame = max((index for index, line in enumerate(lines) if line.startswith("  ")), default=0)
    after = [line for line in lines[last_frame + 1 :] if line.strip()]
    return after[0] if after else lines[-1]


def normalise(text: str) -> str:
    """A text without uuids, hex ids, paths and numbers, in one line of at most 200 characters; of such a text, itself."""
    text = _PATH.sub("<path>", text)
    for pattern in (_UUID, _HEX, _NUMBER):
        text = pattern.sub("#", text)
    text = _HASHES.sub("#", text)
    return _SPACE.sub(" ", text).strip()[:FINGERPRINT_CHARS_MAX].strip()


def make_fingerprint(how: str, cause: str) -> str:
    """How a task ended (`exit 1`, `SIGSEGV`, `timeout`: kept as it is) and the normalised headline of its cause."""
    headline = normalise(find_headline(cause)) if cause != NO_STDERR else ""
    return f"{how}: {headline}"[:FINGERPRINT_CHARS_MAX].strip() if headline else how


def clip(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """A text cut in the middle: the beginning says where, the end says what."""
    if len(text) <= chars_max:
        return text
    mark = "\n[...]\n"
    begin = chars_max // 4
    return text[:begin] + mark + text[-(chars_max - begin - len(mark)) :]
