"""What did a failed attempt print, as it travels? The beginning and the end of each stream, compressed."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Dict, Optional

from muster.worker.capture import Capture
from muster.worker.protocol import OUTPUT_BYTES_MAX


def render_printed(stdout: Capture, stderr: Capture) -> Optional[bytes]:
    """As `output` of an attempt carries it; None: it printed nothing."""
    if not stdout.size_bytes and not stderr.size_bytes:
        return None
    return json.dumps({"stdout": _render(stdout), "stderr": _render(stderr)}).encode()


def _render(capture: Capture) -> "Optional[Dict[str, object]]":
    if not capture.size_bytes:
        return None
    return {"data": base64.b64encode(pack(capture)).decode("ascii"), "size_bytes": capture.size_bytes}


def pack(capture: Capture, bytes_max: int = OUTPUT_BYTES_MAX) -> bytes:
    """As much of its beginning and end as fits into so many bytes, compressed."""
    content = capture.content()
    kept = len(content)
    packed = zlib.compress(content)
    while len(packed) > bytes_max:  # text that is cut compresses about as well, so this seldom goes round twice
        kept = kept * bytes_max * 9 // (len(packed) * 10)
        packed = zlib.compress(capture.content(kept))
    return packed
