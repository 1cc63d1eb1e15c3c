"""What does the scan look like? Two figures: the contours around the best fit, and the dip in the far hall."""

from pathlib import Path

from matplotlib.figure import Figure

import published
from far_hall import Dip
from surface import BestFit, Surface, delta_chi2

SIGMAS = (1, 2, 3)


def draw_contours(surface: Surface, fit: BestFit, *, path: Path) -> None:
    """Draw where chi2 encloses the truth with 1, 2 and 3 sigma, two parameters together, as PNG."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
    rise = (surface.chi2 - fit.chi2).T
    levels = [delta_chi2(sigmas) for sigmas in SIGMAS]
    x, y = surface.sin2_2theta13, surface.dm2_32 * 1e3
    axes.contourf(x, y, rise, levels=[0.0, *levels], colors=["#2166ac", "#67a9cf", "#d1e5f0"], extend="min")
    lines = axes.contour(x, y, rise, levels=levels, colors="black", linewidths=0.8)
    names = {level: f"{sigmas}σ" for level, sigmas in zip(levels, SIGMAS, strict=True)}
    axes.clabel(lines, fmt=names, colors=["white", "black", "black"])
    axes.plot(fit.sin2_2theta13.value, fit.dm2_32.value * 1e3, "+", color="white", ms=12, mew=2, label="this scan")
    axes.errorbar(
        published.SIN2_2THETA13.value,
        published.DM2_32.value * 1e3,
        xerr=published.SIN2_2THETA13.sigma,
        yerr=published.DM2_32.sigma * 1e3,
        fmt="o",
        color="#b2182b",
        ms=4,
        lw=1.2,
        label="published, PRL 130, 161802",
    )
    axes.set_xlabel("sin²2θ₁₃")
    axes.set_ylabel("Δm²₃₂ (10⁻³ eV²)")
    axes.set_title("Daya Bay, 3158 days, nGd: oscillation parameters")
    axes.legend(loc="upper right", facecolor="#67a9cf", framealpha=0.6)
    figure.savefig(path, dpi=150)


def draw_dip(dip: Dip, *, path: Path) -> None:
    """Draw the far hall's spectrum over the one without mixing, as PNG."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(1.0, color="grey", lw=1, ls="--", label="no mixing")
    axes.stairs(dip.expected, dip.edges, baseline=None, color="#2166ac", lw=1.6, label="best fit")
    half_width = (dip.edges[1:] - dip.edges[:-1]) / 2
    axes.errorbar(
        dip.centres, dip.observed, xerr=half_width, yerr=dip.sigma, fmt="o", color="black", ms=3, lw=1, label="observed"
    )
    axes.set_xlim(dip.edges[0], dip.edges[-1])
    axes.set_xlabel("prompt energy (MeV)")
    axes.set_ylabel("observed / expected without mixing")
    axes.set_title("Far hall: the antineutrinos that are missing")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
