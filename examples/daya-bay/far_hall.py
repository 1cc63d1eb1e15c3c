"""What does oscillation take away? The spectrum of the far hall beside the one without mixing."""

from dataclasses import dataclass

import numpy as np

from analysis import NO_MIXING, Analysis, Point
from release import FloatArray

FAR_HALL = "3"


@dataclass(frozen=True, slots=True)
class Dip:
    """Counts in the four far detectors over those expected without mixing, by bin of prompt energy.

    Attributes:
        edges: MeV, (27,).
        observed, sigma: background subtracted, and its statistical error, (26,).
        expected: the model at the point, (26,).
        total: observed over expected without mixing, all bins.
    """

    edges: FloatArray
    observed: FloatArray
    sigma: FloatArray
    expected: FloatArray
    total: float

    @property
    def centres(self) -> FloatArray:
        return (self.edges[1:] + self.edges[:-1]) / 2


def measure_dip(analysis: Analysis, point: Point) -> Dip:
    """Divide by the prediction without mixing, for the reactor spectrum that fits all detectors best at `point`."""
    spectrum = analysis.fit(point).spectrum
    far = np.array([unit.hall == FAR_HALL for unit in analysis.release.units])

    def in_far_hall(counts: FloatArray) -> FloatArray:
        result: FloatArray = counts[far].sum(axis=0)
        return result

    signal = in_far_hall(analysis.counts - analysis.background)
    without = in_far_hall(analysis.expected(NO_MIXING, spectrum))
    return Dip(
        edges=analysis.release.erec_edges,
        observed=signal / without,
        sigma=np.sqrt(in_far_hall(analysis.counts)) / without,
        expected=in_far_hall(analysis.expected(point, spectrum)) / without,
        total=float(signal.sum() / without.sum()),
    )
