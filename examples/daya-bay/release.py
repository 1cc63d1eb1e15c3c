"""What does the data release say? Every number of the analysis that was measured, read once.

Source: Daya Bay Collaboration, "Full Data Release of the Daya Bay Reactor Neutrino Experiment", v1.0.0,
doi:10.5281/zenodo.17587229, as the package `dayabay-data-official`. Its README describes each file; where the two
differ (`iav_matrix`, `neutrino_rate_per_s`, no spectra of the whole period) the files are followed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml
from dayabay_data_official import get_path_data
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

PERIODS = ("6AD", "8AD", "7AD")  # in order of time; the digit is the number of detectors that took data
REACTORS = ("R1", "R2", "R3", "R4", "R5", "R6")
ISOTOPES = ("U235", "U238", "Pu239", "Pu241")
BACKGROUNDS = ("accidentals", "lithium_helium", "fast_neutrons", "amc", "alpha_neutron")
LSNL_PULLS = ("pull0", "pull1", "pull2", "pull3")
SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class DetectorPeriod:
    """One detector in one period: the unit in which spectra are published. There are 21."""

    detector: str  # "AD34" is the fourth detector in the third (far) hall
    period: str

    @property
    def hall(self) -> str:
        return self.detector[2]


@dataclass(frozen=True, slots=True)
class Uncertainties:
    """Standard deviations, relative to the value they belong to."""

    efficiency: float
    energy_scale: float
    efficiency_scale_correlation: float
    iav_offdiagonal: float
    thermal_power: float
    snf: float
    fission_fractions: FloatArray  # covariance, 4 isotopes x 4 isotopes
    backgrounds: Mapping[str, FloatArray]  # one a detector-period, (21,), for each kind


@dataclass(frozen=True, slots=True)
class Release:
    """The released data, in counts a bin where it is a spectrum; energies in MeV, lengths in m, times in s.

    Attributes:
        units: the 21 detector-periods; the order of every array with 21 rows.
        erec_edges: edges of the 26 bins of reconstructed (prompt) energy, (27,).
        observed: candidates, (21, 26).
        backgrounds: expected background candidates for each kind, (21, 26).
        exposure: antineutrinos emitted while the detector was live and efficient, by reactor, (21, 6).
        baseline: detector to reactor, (21, 6).
        protons: target protons, (21,).
        iav: column j says where energy of bin j goes when part of it is left in the acrylic vessel, (240, 240).
        lsnl_energy, lsnl: visible over deposited energy: where it is given, (458,), and its curves, (458,) each.
        resolution: a, b, c of sigma(E)/E = sqrt(a^2 + b^2/E + c^2/E^2).
        knots: neutrino energies between which the reactor spectrum is free, (19,).
        spectra, nonequilibrium, snf: columns of neutrino energy and value, (n, 2), by isotope, isotope and reactor.
        fission_fractions, energy_per_fission: by isotope, (4,), the second in MeV.
        neutron, proton, electron: masses, MeV.
        dm2_21: eV^2.
    """

    units: tuple[DetectorPeriod, ...]
    erec_edges: FloatArray
    observed: FloatArray
    backgrounds: Mapping[str, FloatArray]
    exposure: FloatArray
    baseline: FloatArray
    protons: FloatArray
    iav: FloatArray
    lsnl_energy: FloatArray
    lsnl: Mapping[str, FloatArray]
    resolution: tuple[float, float, float]
    knots: FloatArray
    spectra: Mapping[str, FloatArray]
    nonequilibrium: Mapping[str, FloatArray]
    snf: Mapping[str, FloatArray]
    fission_fractions: FloatArray
    energy_per_fission: FloatArray
    neutron: float
    proton: float
    electron: float
    sin2_2theta12: float
    dm2_21: float
    uncertainties: Uncertainties


def load_release(folder: Path | None = None) -> Release:
    """Read the release from `folder`, by default the one that `dayabay-data-official` installs."""
    folder = folder or Path(get_path_data("npz"))
    edges = np.loadtxt(folder / "parameters/final_erec_bin_edges.tsv", skiprows=1)
    units, observed = _observed(folder, edges)
    live = _LiveTime.load(folder, units)
    rates = _parameters(folder, "background_rates_correlated") | _parameters(folder, "background_rates_uncorrelated")
    baselines = _parameters(folder, "baselines")["baseline"]
    corrections = _parameters(folder, "detector_n_protons_correction")["n_protons_correction"]
    protons = _parameters(folder, "detector_n_protons_nominal")["n_protons_nominal_ad"]
    eres = _parameters(folder, "detector_eres")["eres"]
    fractions = _parameters(folder, "reactor_fission_fractions")["fission_fractions"]
    energies = _parameters(folder, "reactor_energy_per_fission")["energy_per_fission"]
    lsnl = _graphs(folder / "detector_lsnl_curves.npz")
    particles = _parameters(folder, "pdg2024")
    solar = _parameters(folder, "survival_probability_solar")
    with np.load(folder / "detector_iav_matrix.npz") as file:
        iav = file["iav_matrix"]
    return Release(
        units=units,
        erec_edges=edges,
        observed=observed,
        backgrounds=_backgrounds(folder, units, edges, live, rates),
        exposure=live.exposure(folder),
        baseline=np.array([[baselines[unit.detector][reactor] for reactor in REACTORS] for unit in units]),
        protons=protons * np.array([corrections[unit.detector] for unit in units]),
        iav=iav,
        lsnl_energy=lsnl["nominal"][:, 0],
        lsnl={name: curve[:, 1] for name, curve in lsnl.items()},
        resolution=(eres["a_nonuniform"][0], eres["b_stat"][0], eres["c_noise"][0]),
        knots=np.loadtxt(folder / "parameters/reactor_antineutrino_spectrum_edges.tsv", skiprows=1),
        spectra=_graphs(folder / "reactor_antineutrino_spectra_hm.npz"),
        nonequilibrium=_graphs(folder / "nonequilibrium_correction.npz"),
        snf=_graphs(folder / "snf_correction.npz"),
        fission_fractions=np.array([fractions[isotope] for isotope in ISOTOPES]),
        energy_per_fission=np.array([energies[isotope][0] for isotope in ISOTOPES]),
        neutron=particles["NeutronMass"],
        proton=particles["ProtonMass"],
        electron=particles["ElectronMass"],
        sin2_2theta12=solar["SinSq2Theta12"][0],
        dm2_21=solar["DeltaMSq21"][0],
        uncertainties=_uncertainties(folder, units, rates),
    )


@dataclass(frozen=True, slots=True)
class _LiveTime:
    """When the detectors measured: one row a detector-period, one column a day since 2011-12-24."""

    effective_s: FloatArray  # live time x efficiency of muon veto and multiplicity cut
    accidentals: FloatArray  # a day

    @classmethod
    def load(cls, folder: Path, units: Sequence[DetectorPeriod]) -> Self:
        effective, accidentals = [], []
        with np.load(folder / "dayabay_dataset/dayabay_daily_detector_data.npz") as file:
            tables = {detector: file[detector] for detector in file.files}
        for unit in units:
            table = tables[unit.detector]
            in_period = table["n_det"] == int(unit.period[0])
            effective.append(np.where(in_period, table["eff_livetime"], 0.0))
            accidentals.append(table["rate_accidentals"])
        return cls(np.array(effective), np.array(accidentals))

    def exposure(self, folder: Path) -> FloatArray:
        """Sum over days of effective live time x the reactor's rate of that week: antineutrinos, (21, 6)."""
        rate = np.zeros((self.effective_s.shape[1], len(REACTORS)))
        with np.load(folder / "neutrino_rate.npz") as file:
            for column, reactor in enumerate(REACTORS):
                for week in file[reactor]:
                    first = int(week["day"])
                    rate[first : first + int(week["n_days"]), column] = week["neutrino_rate_per_s"]
        return self.effective_s @ rate


def _observed(folder: Path, edges: FloatArray) -> tuple[tuple[DetectorPeriod, ...], FloatArray]:
    prefix = "ibd_spectrum_"
    units, counts = [], []
    for period in PERIODS:
        with np.load(folder / f"dayabay_dataset/dayabay_ibd_spectra_{period}.npz") as file:
            for name in sorted(file.files):
                units.append(DetectorPeriod(name.removeprefix(prefix), period))
                counts.append(_rebin(file[name], edges))
    return tuple(units), np.array(counts)


def _backgrounds(
    folder: Path, units: Sequence[DetectorPeriod], edges: FloatArray, live: _LiveTime, rates: Mapping[str, Any]
) -> Mapping[str, FloatArray]:
    days = live.effective_s / SECONDS_A_DAY
    counts = {"accidentals": np.sum(days * live.accidentals, axis=1)}
    for kind in BACKGROUNDS[1:]:
        rate = np.array([rates[kind][unit.period][unit.detector][0] for unit in units])
        counts[kind] = rate * days.sum(axis=1)
    shapes: dict[str, list[FloatArray]] = {kind: [] for kind in BACKGROUNDS}
    for period in PERIODS:
        with np.load(folder / f"dayabay_dataset/dayabay_background_spectra_{period}.npz") as file:
            for unit in units:
                if unit.period == period:
                    for kind in BACKGROUNDS:
                        shapes[kind].append(_rebin(file[f"spectrum_shape_{kind}_{unit.detector}"], edges))
    return {kind: counts[kind][:, np.newaxis] * np.array(shapes[kind]) for kind in BACKGROUNDS}


def _uncertainties(folder: Path, units: Sequence[DetectorPeriod], rates: Mapping[str, Any]) -> Uncertainties:
    relative = _document(folder, "detector_relative")
    fractions = _document(folder, "reactor_fission_fractions_scale")
    sigma = np.array([fractions["parameters"]["fission_fractions_scale"][isotope][1] for isotope in ISOTOPES]) / 100
    correlation = np.array(fractions["correlations"]["fission_fractions_scale"]["matrix"])
    accidentals = _parameters(folder, "background_rate_scale_accidentals")["accidentals"][1] / 100
    backgrounds = {"accidentals": np.full(len(units), accidentals)}
    for kind in BACKGROUNDS[1:]:
        rate, rate_sigma = np.array([rates[kind][unit.period][unit.detector] for unit in units]).T
        backgrounds[kind] = rate_sigma / rate
    return Uncertainties(
        efficiency=relative["parameters"]["detector_relative"]["efficiency_factor"][1] / 100,
        energy_scale=relative["parameters"]["detector_relative"]["energy_scale_factor"][1] / 100,
        efficiency_scale_correlation=relative["correlations"]["detector_relative"]["matrix"][0][1],
        iav_offdiagonal=_parameters(folder, "detector_iav_offdiag_scale")["iav_offdiag_scale_factor"][1],
        thermal_power=_parameters(folder, "reactor_thermal_power_uncertainty")["thermal_power_scale"][1] / 100,
        snf=_parameters(folder, "reactor_snf")["snf_scale"][1] / 100,
        fission_fractions=correlation * np.outer(sigma, sigma),
        backgrounds=backgrounds,
    )


def _rebin(histogram: NDArray[np.void], edges: FloatArray) -> FloatArray:
    """Sum bins of 50 keV into those of the analysis, (26,); an edge of ours is an edge of theirs."""
    cumulative = np.concatenate([[0.0], np.cumsum(histogram["N"])])
    fine = np.append(histogram["E_min_MeV"], histogram["E_max_MeV"][-1])
    result: FloatArray = np.diff(np.interp(edges, fine, cumulative))
    return result


def _graphs(path: Path) -> Mapping[str, FloatArray]:
    """Each table of two columns as an array, (n, 2)."""
    with np.load(path) as file:
        tables = {name: file[name] for name in file.files}
    return {name: np.column_stack([table[column] for column in table.dtype.names]) for name, table in tables.items()}


def _parameters(folder: Path, name: str) -> dict[str, Any]:
    parameters: dict[str, Any] = _document(folder, name)["parameters"]
    return parameters


def _document(folder: Path, name: str) -> dict[str, Any]:
    with (folder / f"parameters/{name}.yaml").open(encoding="utf-8") as file:
        document: dict[str, Any] = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return document
