"""How does the worker travel? As one file: a zip archive that Python runs, the same bytes for the same sources."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from pathlib import Path

SHEBANG = b"#!/usr/bin/env python3\n"
_MAIN = b"import sys\n\nfrom muster.worker.main import main\n\nsys.exit(main())\n"
_INIT = b'"""The worker\'s part of Muster."""\n'
_QUOTES = b'"""'
_LEFT_OUT = frozenset({"__main__.py", "bundle.py"})
"""Of no use where the worker runs."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build_bundle(path: "os.PathLike[str] | str") -> int:
    """Write `muster-worker.pyz`, whole or not at all; returns its size in bytes. Raises OSError."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.new")
    with draft.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, content in _list_members():
                member = zipfile.ZipInfo(name, _EPOCH)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(member, content)
        size_bytes = file.tell()
    draft.chmod(0o755)
    draft.replace(target)
    return size_bytes


def _list_members() -> "list[tuple[str, bytes]]":
    package = Path(__file__).parent
    members = {
        f"muster/worker/{path.name}": leave_out_words(path.read_bytes())
        for path in package.glob("*.py")
        if path.name not in _LEFT_OUT
    }
    members["muster/task.py"] = (package.parent / "task.py").read_bytes()
    members["muster/__init__.py"] = _INIT
    members["__main__.py"] = _MAIN
    return sorted(members.items())


def leave_out_words(source: bytes) -> bytes:
    """The same program without docstrings, and without comments that have lines of their own. Every line keeps its number.

    By the looks of the lines, in a millisecond for all files: parsing takes a hundred. A test compares what both give.
    """
    kept: "list[bytes]" = []
    is_within = False
    for line in source.split(b"\n"):
        text = line.strip()
        if is_within:
            is_within = not text.endswith(_QUOTES)
            kept.append(b"")
        elif text.startswith(_QUOTES):
            is_within = len(text) < 2 * len(_QUOTES) or not text.endswith(_QUOTES)
            kept.append(line[: line.index(_QUOTES)] + b'""')
        else:
            kept.append(b"" if text.startswith(b"#") else line)
    return b"\n".join(kept)


if __name__ == "__main__":
    sys.stdout.write(f"{build_bundle(sys.argv[1])} bytes\n")
