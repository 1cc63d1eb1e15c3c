"""What did the collaboration publish? For comparison only; nothing is computed from it.

Source: F. P. An et al. (Daya Bay), Phys. Rev. Lett. 130 (2023) 161802, normal ordering of masses.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    value: float
    sigma: float


SIN2_2THETA13 = Published(0.0851, 0.0024)
DM2_32 = Published(2.466e-3, 0.060e-3)  # eV^2
