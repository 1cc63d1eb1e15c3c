"""Which spectra does a point predict? A matrix for the 21 x 26 bins, linear in the spectrum of the reactors."""

from dataclasses import dataclass

import numpy as np

from antineutrinos import (
    Point,
    Survival,
    cross_section,
    isotope_spectra,
    neutrino_energy,
    spectrum_pieces,
    spent_fuel,
)
from detector import bin_centres, response
from release import FloatArray, Release

DEPOSITED_MAX_MEV = 9.6  # above it 4 candidates in 10^4


@dataclass(frozen=True, slots=True)
class Options:
    """What the model takes into account. Switching a part off shows what it is good for."""

    lsnl: bool = True
    """The light of the scintillator is not proportional to energy."""
    iav: bool = True
    """Energy is lost in the inner acrylic vessel."""


class Prediction:
    """The model, with all that does not depend on the point computed once. E counts energies, about 170."""

    def __init__(self, release: Release, options: Options) -> None:
        self.release = release
        self.lsnl = release.lsnl["nominal"] if options.lsnl else np.ones_like(release.lsnl_energy)
        self._iav = float(options.iav)
        centres = bin_centres(release)
        self._inside = (centres > 2 * release.electron) & (centres < DEPOSITED_MAX_MEV)
        deposited = centres[self._inside]
        self.energy = neutrino_energy(deposited, release)
        self.snf = spent_fuel(self.energy, release)
        self.isotopes = isotope_spectra(self.energy, release)
        self._emitted = self._emission(deposited)
        self._detectors, self._row = np.unique([unit.detector for unit in release.units], return_inverse=True)
        first = [int(np.flatnonzero(self._row == index)[0]) for index in range(len(self._detectors))]
        self._survival = Survival(release.baseline[first], self.energy, release)
        self.nominal_response = self.response()
        pieces = spectrum_pieces(self.energy, release)
        self._folded = np.einsum("be,ke->ebk", self.nominal_response, pieces).reshape(len(self.energy), -1)

    def _emission(self, deposited: FloatArray) -> FloatArray:
        """Interactions without oscillation, in arbitrary units, (21, 6, E)."""
        release = self.release
        spectrum = release.fission_fractions @ self.isotopes * cross_section(deposited, release)
        spectrum = spectrum * np.gradient(self.energy, deposited)
        weight = release.protons[:, np.newaxis] * release.exposure / release.baseline**2
        result: FloatArray = weight[:, :, np.newaxis] * spectrum * (1 + self.snf)
        return result

    def response(
        self, *, lsnl: FloatArray | None = None, energy_scale: float = 1.0, iav_offdiagonal: float = 1.0
    ) -> FloatArray:
        """Build the detector's response for the energies of the model, (26, E); arguments as `detector.response`."""
        full = response(
            self.release,
            lsnl=self.lsnl if lsnl is None else lsnl,
            energy_scale=energy_scale,
            iav_offdiagonal=iav_offdiagonal * self._iav,
        )
        return full[:, self._inside]

    def interactions(self, point: Point) -> FloatArray:
        """Give the interactions by reactor and energy, with the spectrum of Huber and Mueller, (21, 6, E)."""
        result: FloatArray = self._emitted * self._survival.at(point)[self._row]
        return result

    def templates(self, point: Point) -> FloatArray:
        """Give what each of the 19 pieces of the spectrum adds to each of the 21 x 26 bins, (546, 19)."""
        interactions = self.interactions(point).sum(axis=1)
        result: FloatArray = (interactions @ self._folded).reshape(-1, len(self.release.knots))
        return result
