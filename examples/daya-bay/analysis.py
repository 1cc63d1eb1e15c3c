"""How well does a point describe the data? chi2 on the plane of sin^2(2 theta13) and dm2_32, spectrum profiled.

The reactor spectrum is free in 19 knots. The prediction is linear in them, so for each point the best spectrum is the
solution of a linear system; no minimiser is needed. Source of the method: PRL 130, 161802.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from antineutrinos import NO_MIXING, Point
from covariance import build_covariance
from prediction import Options, Prediction
from release import BACKGROUNDS, FloatArray, Release, load_release

__all__ = ["NO_MIXING", "Analysis", "Fit", "Options", "Point"]

REFERENCE = Point(sin2_2theta13=0.085, dm2_32=2.47e-3)  # where the covariance is computed; near the minimum is enough


@dataclass(frozen=True, slots=True)
class Fit:
    """The best spectrum at a point: its factor on Huber and Mueller at each knot, (19,), and the chi2 it reaches."""

    spectrum: FloatArray
    chi2: float


class Analysis:
    """The data, the model and the covariance, loaded once; after that a point takes about a millisecond."""

    def __init__(self, release: Release, *, options: Options | None = None, counts: FloatArray | None = None) -> None:
        """Prepare to fit `counts`, (21, 26), background included; by default those that were observed."""
        self.release = release
        self._options = options or Options()
        self._prediction = Prediction(release, self._options)
        self.counts = release.observed if counts is None else counts
        self.background: FloatArray = np.sum([release.backgrounds[kind] for kind in BACKGROUNDS], axis=0)
        covariance = build_covariance(self._prediction, self.counts, at=REFERENCE)
        identity = np.eye(len(covariance))
        self._whiten = np.linalg.solve(np.linalg.cholesky(covariance), identity)  # V^-1 = whiten^T whiten
        self._whitened_signal = self._whiten @ (self.counts - self.background).ravel()

    @classmethod
    def load(cls, *, options: Options | None = None) -> Self:
        """Prepare the analysis of the observed data; takes a few tenths of a second."""
        return cls(load_release(), options=options)

    @property
    def degrees_of_freedom(self) -> int:
        """Bins less knots less the two coordinates of the point."""
        return self.counts.size - len(self.release.knots) - 2

    def chi2(self, point: Point) -> float:
        """Give chi2 at the best spectrum for this point."""
        return self.fit(point).chi2

    def fit(self, point: Point) -> Fit:
        """Find the best spectrum at a point: a = (B^T V^-1 B)^-1 B^T V^-1 d."""
        whitened = self._whiten @ self._prediction.templates(point)
        spectrum = np.linalg.solve(whitened.T @ whitened, whitened.T @ self._whitened_signal)
        residual = self._whitened_signal - whitened @ spectrum
        return Fit(spectrum=spectrum, chi2=float(residual @ residual))

    def expected(self, point: Point, spectrum: FloatArray) -> FloatArray:
        """Predict the signal, without background, (21, 26)."""
        return (self._prediction.templates(point) @ spectrum).reshape(self.counts.shape)

    def with_asimov_data(self, point: Point) -> "Analysis":
        """Make the same analysis of data without fluctuations, as they would be if `point` were the truth."""
        counts = self.expected(point, self.fit(point).spectrum) + self.background
        return Analysis(self.release, options=self._options, counts=counts)
