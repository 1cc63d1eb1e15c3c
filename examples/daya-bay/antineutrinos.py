"""How many antineutrinos of which energy interact in a detector? Reactors, the way, and inverse beta decay.

Sources: Huber, Phys. Rev. C 84 (2011) 024617, and Mueller et al., Phys. Rev. C 83 (2011) 054615, for the spectra;
Vogel and Beacom, Phys. Rev. D 60 (1999) 053003, for inverse beta decay; Daya Bay, Phys. Rev. Lett. 130
(2023) 161802, for the survival probability.
"""

import math
from dataclasses import dataclass

import numpy as np

from release import ISOTOPES, REACTORS, FloatArray, Release

HBAR_C = 1.973269804e-13  # MeV m; CODATA 2018
PHASE = 1e-12 / (4 * HBAR_C)  # of oscillation, in radians, for dm2 in eV^2 x L in m / E in MeV: 1.2669


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the plane that is scanned: the amplitude, and the mass splitting in eV^2."""

    sin2_2theta13: float
    dm2_32: float

    def __post_init__(self) -> None:
        if not (0 <= self.sin2_2theta13 <= 1 and math.isfinite(self.dm2_32)):
            raise ValueError(f"not a point of the plane: {self}")


NO_MIXING = Point(sin2_2theta13=0.0, dm2_32=0.0)
"""No oscillation by theta13. The slow one by theta12 stays; it takes away 0.2 % in the far hall."""


def neutrino_energy(deposited: FloatArray, release: Release) -> FloatArray:
    """Find the neutrino energy that deposits `deposited`: the positron's energy and its annihilation; MeV.

    Source: Vogel and Beacom, first order in 1/M, averaged over the direction of the positron.
    """
    delta = release.neutron - release.proton
    mass = (release.neutron + release.proton) / 2
    neutrino = np.linspace(delta, 20.0, 4001)
    recoil = (delta**2 - release.electron**2) / (2 * mass)
    positron = (neutrino - delta) * (1 - neutrino / mass) - recoil
    return np.interp(deposited, positron + release.electron, neutrino)


def cross_section(deposited: FloatArray, release: Release) -> FloatArray:
    """Momentum x energy of the positron, MeV^2, to which the cross-section of inverse beta decay is proportional."""
    positron = deposited - release.electron
    result: FloatArray = positron * np.sqrt(np.maximum(positron**2 - release.electron**2, 0.0))
    return result


def isotope_spectra(energy: FloatArray, release: Release) -> FloatArray:
    """Antineutrinos a fission a MeV, each isotope with its correction for a reactor not in equilibrium, (4, E)."""
    rows = []
    for isotope in ISOTOPES:
        mesh, density = release.spectra[isotope].T
        row = np.exp(np.interp(energy, mesh, np.log(density)))
        if isotope in release.nonequilibrium:
            mesh, correction = release.nonequilibrium[isotope].T
            row = row * (1 + np.interp(energy, mesh, correction, left=0.0, right=0.0))
        rows.append(row)
    return np.array(rows)


def spent_fuel(energy: FloatArray, release: Release) -> FloatArray:
    """Antineutrinos from spent fuel beside each reactor, relative to the reactor's, (6, E)."""
    graphs = [release.snf[reactor].T for reactor in REACTORS]
    return np.array([np.interp(energy, mesh, share, left=0.0, right=0.0) for mesh, share in graphs])


def spectrum_pieces(energy: FloatArray, release: Release) -> FloatArray:
    """Triangles around the knots, (19, E), which add to 1: the free factor on the spectrum is linear between knots."""
    return np.array([np.interp(energy, release.knots, unit) for unit in np.eye(len(release.knots))])


class Survival:
    """The probability that an electron antineutrino is still one, for given baselines and energies."""

    def __init__(self, baseline: FloatArray, energy: FloatArray, release: Release) -> None:
        """Take baselines in m, (n, 6), and energies in MeV, (E,)."""
        self._phase = PHASE * baseline[:, :, np.newaxis] / energy
        self._sin2_12 = (1 - np.sqrt(1 - release.sin2_2theta12)) / 2
        self._dm2_21 = release.dm2_21
        self._solar = release.sin2_2theta12 * np.sin(self._phase * release.dm2_21) ** 2

    def at(self, point: Point) -> FloatArray:
        """Give the probability for the normal ordering of masses, (n, 6, E). Source: PRL 130, 161802."""
        fast = self._sin2_12 * np.sin(self._phase * point.dm2_32) ** 2
        fast += (1 - self._sin2_12) * np.sin(self._phase * (point.dm2_32 + self._dm2_21)) ** 2
        cos2_13 = (1 + np.sqrt(1 - point.sin2_2theta13)) / 2
        result: FloatArray = 1 - point.sin2_2theta13 * fast - cos2_13**2 * self._solar
        return result
