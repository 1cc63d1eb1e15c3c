"""What did processes take that have ended? The kernel tells whoever awaits one, with what that one awaited itself."""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass
class Spent:
    """What some processes took in sum. `memory_bytes`: the largest single one at its largest."""

    cpu_s: float = 0.0
    memory_bytes: int = 0

    def add(self, told: resource.struct_rusage) -> None:
        """What the kernel told of one that was awaited."""
        self.add_spent(Spent(told.ru_utime + told.ru_stime, told.ru_maxrss * 1024))

    def add_spent(self, other: "Spent") -> None:
        """The same of others."""
        self.cpu_s += other.cpu_s
        self.memory_bytes = max(self.memory_bytes, other.memory_bytes)
