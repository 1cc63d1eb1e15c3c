"""The same two figures as text: no colour, 38 columns each, side by side in 78."""

from itertools import zip_longest

import numpy as np

import published
from far_hall import Dip
from surface import BestFit, FloatArray, Surface, delta_chi2

WIDTH, HEIGHT = 31, 14  # of the field, in characters; the axis takes 6 more columns
LEFT = 6
SHADES = "█▓░"  # inside 1, 2, 3 sigma
BRAILLE = 0x2800
DOT = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bit of each of 4 x 2 dots in a character


def render_contours(surface: Surface, fit: BestFit) -> list[str]:
    """Shade the plane by the number of sigmas; lines of 38 columns at most."""
    x = np.linspace(surface.sin2_2theta13[0], surface.sin2_2theta13[-1], WIDTH)
    y = np.linspace(surface.dm2_32[0], surface.dm2_32[-1], HEIGHT)
    in_columns = np.array([np.interp(x, surface.sin2_2theta13, row) for row in surface.chi2.T])
    rise = np.array([np.interp(y, surface.dm2_32, column) for column in in_columns.T]).T - fit.chi2
    field = np.full((HEIGHT, WIDTH), " ")
    for sigmas in (3, 2, 1):
        field[rise < delta_chi2(sigmas)] = SHADES[sigmas - 1]
    for mark, (sin2_2theta13, dm2_32) in (
        ("o", (published.SIN2_2THETA13.value, published.DM2_32.value)),
        ("+", (fit.sin2_2theta13.value, fit.dm2_32.value)),
    ):
        field[_cell(dm2_32, y), _cell(sin2_2theta13, x)] = mark
    return [
        "Δm²₃₂ (10⁻³ eV²)",
        *_frame(field, f"{y[-1] * 1e3:.2f}", f"{y[0] * 1e3:.2f}"),
        _below(f"{x[0]:.3f}", "sin²2θ₁₃", f"{x[-1]:.3f}"),
        "  █ 1σ  ▓ 2σ  ░ 3σ  + fit  o published",
    ]


def render_dip(dip: Dip) -> list[str]:
    """Draw the ratio without its last, wide bin: points where observed, a line of dots for the best fit."""
    x, observed, expected = dip.centres[:-1], dip.observed[:-1], dip.expected[:-1]
    low, high = 0.9, 1.0
    fine = np.linspace(x[0], x[-1], 2 * WIDTH)
    codes = np.full((HEIGHT, WIDTH), BRAILLE)
    for column, value in enumerate(np.interp(fine, x, expected)):
        dot = _row(float(value), low, high, 4 * HEIGHT)
        codes[dot // 4, column // 2] |= DOT[3 - dot % 4][column % 2]
    field = np.array([[" " if code == BRAILLE else chr(code) for code in line] for line in codes])
    for energy, value in zip(x, observed, strict=True):
        column = _row(float(energy), float(x[0]), float(x[-1]), WIDTH)
        field[_row(float(value), low, high, HEIGHT), column] = "●"
    return [
        "far hall, observed / no mixing",
        *_frame(field, f"{high:.2f}", f"{low:.2f}"),
        _below(f"{x[0]:.1f}", "prompt energy (MeV)", f"{x[-1]:.1f}"),
        "  ● observed  ⠤⠤ best fit",
    ]


def beside(left: list[str], right: list[str]) -> str:
    """Set two blocks of lines side by side."""
    width = LEFT + WIDTH + 3
    return "\n".join(f"{a:{width}}{b}".rstrip() for a, b in zip_longest(left, right, fillvalue=""))


def _frame(field: np.ndarray[tuple[int, int], np.dtype[np.str_]], top: str, bottom: str) -> list[str]:
    """Draw the axis on the left; the first row of the field is the lowest."""
    labels = {0: bottom, len(field) - 1: top}
    return [f"{labels.get(row, ''):>{LEFT - 1}}│{''.join(field[row])}" for row in reversed(range(len(field)))]


def _below(first: str, middle: str, last: str) -> str:
    gap = WIDTH - len(first) - len(last)
    return f"{'':{LEFT}}{first}{middle:^{gap}}{last}"


def _cell(value: float, axis: FloatArray) -> int:
    return int(np.abs(axis - value).argmin())


def _row(value: float, low: float, high: float, cells: int) -> int:
    return int(np.clip((value - low) / (high - low) * cells, 0, cells - 1))
