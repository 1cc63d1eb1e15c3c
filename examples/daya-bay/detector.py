"""Which prompt energy does a detector report? From deposited energy to the 26 bins of the analysis.

Deposited energy loses a little in the inner acrylic vessel (IAV), the scintillator's light is not proportional to
what is left (LSNL), and the photosensors see it with a resolution. Source: Daya Bay, Phys. Rev. D 95 (2017) 072006;
the numbers are those of the data release.
"""

import math

import numpy as np

from release import FloatArray, Release

BIN_MEV = 0.05  # width of the 240 bins, from 0, in which the release gives the IAV matrix

_erf = np.vectorize(math.erf, otypes=[np.float64])  # numpy has none


def bin_centres(release: Release) -> FloatArray:
    """Centres of the bins of deposited energy, MeV, (240,)."""
    return BIN_MEV * (np.arange(len(release.iav), dtype=np.float64) + 0.5)


def response(
    release: Release, *, lsnl: FloatArray, energy_scale: float = 1.0, iav_offdiagonal: float = 1.0
) -> FloatArray:
    """Build the probability that energy deposited in a bin is reconstructed in another.

    Args:
        release: the data release.
        lsnl: visible over deposited energy at `release.lsnl_energy`, (458,).
        energy_scale: factor on the visible energy.
        iav_offdiagonal: factor on what the IAV matrix moves away from the diagonal.

    Returns:
        26 bins of reconstructed energy x 240 of deposited energy. Columns sum to less than 1: below 0.7 MeV is cut.
    """
    visible = energy_scale * _visible_energy(bin_centres(release), release.lsnl_energy, lsnl)
    iav = iav_offdiagonal * (release.iav - np.diag(np.diag(release.iav)))
    iav += np.diag(release.iav.sum(axis=0) - iav.sum(axis=0))
    return _smear(visible, release.erec_edges, release.resolution) @ iav


def _visible_energy(energy: FloatArray, curve_energy: FloatArray, curve: FloatArray) -> FloatArray:
    """E f(E); straight on below the first point of the curve, which is two photons of 0.511 MeV."""
    visible = curve_energy * curve
    slope = (visible[1] - visible[0]) / (curve_energy[1] - curve_energy[0])
    below = visible[0] + slope * (energy - curve_energy[0])
    return np.where(energy < curve_energy[0], below, np.interp(energy, curve_energy, visible))


def _smear(visible: FloatArray, edges: FloatArray, resolution: tuple[float, float, float]) -> FloatArray:
    """Integrate a Gaussian around each visible energy over each bin, (26, 240)."""
    a, b, c = resolution
    safe = np.maximum(visible, BIN_MEV / 2)  # a straight line may end below zero, far below the cut
    sigma = safe * np.sqrt(a**2 + b**2 / safe + c**2 / safe**2)
    cumulative = 0.5 * _erf((edges[:, np.newaxis] - visible) / (math.sqrt(2.0) * sigma))
    return np.diff(cumulative, axis=0)
