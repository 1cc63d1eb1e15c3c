"""How does an event's body come to where its task reads it? Written, or brought as the file to which it refers."""

from __future__ import annotations

import json
from typing import Tuple

from muster.worker.child import Cancel
from muster.worker.courier import BroughtNothingError
from muster.worker.folders import DiskError
from muster.worker.messages import Lease
from muster.worker.workshop import Workshop


def render_infile(lease: Lease, extension: str) -> "Tuple[bytes, str]":
    """An event's body as its task reads it, and the kind: `json`, `text` or `bytes`.

    A JSON string is written without quotes unless the extension is json (pilot.md 5.6); any other JSON value as the very text that was
    published, whatever the extension (upstream refuses where it is not json); bytes as they are.
    """
    if lease.kind == "json" and extension.lower() != "json" and lease.body.lstrip().startswith(b'"'):
        text: str = json.loads(lease.body.decode())
        return text.encode("utf-8", "replace"), "text"
    return lease.body, lease.kind


def count_bytes(lease: Lease) -> int:
    """How large an event's body is, wherever it lies."""
    if lease.kind != "file":
        return len(lease.body)
    try:
        return int(json.loads(lease.body)["size_bytes"])
    except (ValueError, KeyError, TypeError):
        return 0  # no reference that can be read: that is told where the body is fetched


def place_input(lease: Lease, infile: str, cancel: Cancel, *, extension: str, shop: Workshop) -> str:
    """Write an event's body where its task reads it, and say what it is.

    Raises BroughtNothingError, BrokenOffError, ExecutionPointError.
    """
    if lease.kind != "file":
        data, kind = render_infile(lease, extension)
        shop.folders.write(infile, data)
        return kind
    courier = shop.courier
    if courier is None:
        raise BroughtNothingError("its body is a file, and this worker cannot bring files")
    try:
        return shop.folders.fill(lambda: courier.bring(lease.body, infile, cancel))
    except DiskError as error:
        # A body may be as large as a disk: so it is to blame, or it would take down one worker after another.
        shop.folders.drop(infile)
        raise BroughtNothingError(
            f"its body of {count_bytes(lease)} bytes cannot be kept here: {error.strerror}"
        ) from None
