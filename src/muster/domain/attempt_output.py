"""What did a failed attempt print? The beginning and the end of each stream, as its worker packed them."""

import zlib
from dataclasses import dataclass

TEXT_BYTES_MAX = 4 << 20
"""Of one stream, unpacked. Workers keep less; who packs zeros by the gigabyte is no worker."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One of them. `packed`: by zlib; what was left out of it is said in it. `size_bytes`: of all that was printed."""

    packed: bytes
    size_bytes: int

    def unpack(self) -> bytes:
        """What was packed; nothing where that cannot be read."""
        try:
            return zlib.decompressobj().decompress(self.packed, TEXT_BYTES_MAX)
        except zlib.error:
            return b""


@dataclass(frozen=True, slots=True)
class AttemptOutput:
    """Of one attempt; None: it printed nothing there."""

    stdout: Stream | None
    stderr: Stream | None


@dataclass(frozen=True, slots=True)
class OutputsKept:
    """How many attempts' outputs are kept of a queue: of each cause (fingerprint), and in all."""

    per_cause: int
    per_queue: int

    @property
    def wants_any(self) -> bool:
        """Is anything kept at all?"""
        return self.per_cause > 0 and self.per_queue > 0
