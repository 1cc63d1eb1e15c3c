"""How far may the counts be from the prediction? The covariance of the 21 x 26 bins.

Statistics after Ji et al., Nucl. Instrum. Meth. A 961 (2020) 163677 ("combined Neyman-Pearson"). Every systematic
uncertainty is a shift of the prediction by one standard deviation, J, and adds J J^T. All of it is taken once, at one
point, with the spectrum of Huber and Mueller scaled to the number of events.
"""

from collections.abc import Iterator

import numpy as np

from antineutrinos import Point
from prediction import Prediction
from release import BACKGROUNDS, LSNL_PULLS, FloatArray, Release

CORRELATED_IN_A_HALL = ("lithium_helium", "fast_neutrons")
UNCORRELATED = ("accidentals", "alpha_neutron")
COMMON = "amc"


def build_covariance(prediction: Prediction, counts: FloatArray, *, at: Point) -> FloatArray:
    """Add the statistical and the systematic covariance, in counts squared, (546, 546).

    Args:
        prediction: the model.
        counts: candidates, background included, (21, 26).
        at: where the shifts are computed.
    """
    release = prediction.release
    background = np.sum([release.backgrounds[kind] for kind in BACKGROUNDS], axis=0)
    interactions = prediction.interactions(at)
    signal = interactions.sum(axis=1) @ prediction.nominal_response.T
    scale = (counts - background).sum() / signal.sum()
    shifts = [
        *_detector_shifts(prediction, scale * interactions.sum(axis=1)),
        *_reactor_shifts(prediction, scale * interactions),
        *_background_shifts(release),
    ]
    systematic = np.array([shift.ravel() for shift in shifts])
    covariance: FloatArray = systematic.T @ systematic
    covariance += np.diag(_cnp_variance(counts, scale * signal + background).ravel())
    return covariance


def _cnp_variance(counts: FloatArray, expected: FloatArray) -> FloatArray:
    return 3 / (1 / counts + 2 / expected)


def _detector_shifts(prediction: Prediction, interactions: FloatArray) -> Iterator[FloatArray]:
    """Shift efficiency, energy scale and IAV detector by detector, and the LSNL for all; (21, 26) each."""
    release, sigma = prediction.release, prediction.release.uncertainties
    nominal = interactions @ prediction.nominal_response.T
    efficiency = sigma.efficiency * nominal
    energy = interactions @ prediction.response(energy_scale=1 + sigma.energy_scale).T - nominal
    iav = interactions @ prediction.response(iav_offdiagonal=1 + sigma.iav_offdiagonal).T - nominal
    correlation = sigma.efficiency_scale_correlation
    for detector in sorted({unit.detector for unit in release.units}):
        own = np.array([[unit.detector == detector] for unit in release.units])
        yield own * (efficiency + correlation * energy)  # the two columns of the Cholesky factor of their 2 x 2 matrix
        yield own * (np.sqrt(1 - correlation**2) * energy)
        yield own * iav
    for name in LSNL_PULLS:
        curve = prediction.lsnl + release.lsnl[name] - release.lsnl["nominal"]
        yield interactions @ prediction.response(lsnl=curve).T - nominal


def _reactor_shifts(prediction: Prediction, interactions: FloatArray) -> Iterator[FloatArray]:
    """Shift power, fission fractions (4 combinations) and spent fuel, reactor by reactor; (21, 26) each."""
    release, sigma = prediction.release, prediction.release.uncertainties
    response = prediction.nominal_response.T
    fuel = np.linalg.cholesky(sigma.fission_fractions).T
    changes = [_fuel_change(prediction, release.fission_fractions * (1 + step)) for step in fuel]
    for reactor in range(interactions.shape[1]):
        own = interactions[:, reactor]
        yield sigma.thermal_power * own @ response
        yield own * (sigma.snf * prediction.snf[reactor] / (1 + prediction.snf[reactor])) @ response
        for change in changes:
            yield own * change @ response


def _fuel_change(prediction: Prediction, fractions: FloatArray) -> FloatArray:
    """Relative change of the spectrum with the fission fractions, at the same thermal power, (E,)."""
    release = prediction.release

    def spectrum(of: FloatArray) -> FloatArray:
        result: FloatArray = of @ prediction.isotopes / (of @ release.energy_per_fission)
        return result

    return spectrum(fractions) / spectrum(release.fission_fractions) - 1


def _background_shifts(release: Release) -> Iterator[FloatArray]:
    """Shift the rate of each background, as far as it is correlated; (21, 26) each."""
    shift = {
        kind: release.uncertainties.backgrounds[kind][:, np.newaxis] * release.backgrounds[kind] for kind in BACKGROUNDS
    }
    for kind in UNCORRELATED:
        for row in np.eye(len(release.units)):
            yield row[:, np.newaxis] * shift[kind]
    for kind in CORRELATED_IN_A_HALL:
        for place in sorted({(unit.hall, unit.period) for unit in release.units}):
            own = np.array([[(unit.hall, unit.period) == place] for unit in release.units])
            yield own * shift[kind]
    yield shift[COMMON]
