"""Where is the minimum, and how well is it known? From chi2 on a grid to a best fit with its errors."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Coordinates = tuple[float, float]  # sin2_2theta13, dm2_32


class ScanError(ValueError):
    """The results are not a whole grid, each point once, with a minimum inside."""


@dataclass(frozen=True, slots=True)
class Surface:
    """chi2, (n, m), at every pair of n values of sin2_2theta13 and m of dm2_32 (eV^2), both rising evenly."""

    sin2_2theta13: FloatArray
    dm2_32: FloatArray
    chi2: FloatArray


@dataclass(frozen=True, slots=True)
class Measurement:
    """A value and where chi2, minimised over the other coordinate, is 1 above its minimum."""

    value: float
    low: float
    high: float

    @property
    def sigma(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class BestFit:
    sin2_2theta13: Measurement
    dm2_32: Measurement
    chi2: float


def best_fit(results: Iterable[Mapping[str, float]]) -> BestFit:
    """Find the minimum among results in any order. Raises ScanError."""
    return locate_minimum(assemble(results))


def assemble(results: Iterable[Mapping[str, float]], *, asked: Iterable[Mapping[str, float]] | None = None) -> Surface:
    """Put results, in any order, in their places.

    Args:
        results: `sin2_2theta13`, `dm2_32`, `chi2` each.
        asked: the points that were to be computed. Without them a grid that lacks a whole row at its edge looks whole.

    Raises:
        ScanError: a point is missing, doubled or not asked for, a chi2 is not a number, or steps are uneven.
    """
    found = [(_coordinates(result), result["chi2"]) for result in results]
    if not found:
        raise ScanError("there are no results")
    times = Counter(place for place, _ in found)
    _refuse("doubled", [place for place, count in times.items() if count > 1])
    _refuse("no finite chi2", [place for place, chi2 in found if not math.isfinite(chi2)])
    columns = sorted({place[0] for place in times})
    rows = sorted({place[1] for place in times})
    expected = {(x, y) for x in columns for y in rows} if asked is None else {_coordinates(point) for point in asked}
    _refuse("missing", sorted(expected - times.keys()))
    _refuse("not asked for", sorted(times.keys() - expected))
    for name, values in (("sin2_2theta13", columns), ("dm2_32", rows)):
        if len(values) < 3:
            raise ScanError(f"a grid needs 3 values of {name} or more, there are {len(values)}")
        if not np.allclose(np.diff(values), (values[-1] - values[0]) / (len(values) - 1), rtol=1e-6, atol=0):
            raise ScanError(f"missing: the steps of {name} are uneven, so rows of the grid lack")
    chi2 = dict(found)
    if len(chi2) != len(columns) * len(rows):
        raise ScanError("the points are not a rectangular grid")
    return Surface(np.array(columns), np.array(rows), np.array([[chi2[x, y] for y in rows] for x in columns]))


def locate_minimum(surface: Surface) -> BestFit:
    """Refine the smallest chi2 by the paraboloid through the 3 x 3 points around it. Raises ScanError."""
    column, row = (int(index) for index in np.unravel_index(surface.chi2.argmin(), surface.chi2.shape))
    for name, index, size in (("sin2_2theta13", column, len(surface.chi2)), ("dm2_32", row, surface.chi2.shape[1])):
        if index in (0, size - 1):
            raise ScanError(f"chi2 is smallest at the edge of the grid in {name}: scan a larger range")
    u, v = (axis.ravel() for axis in np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], indexing="ij"))
    terms = np.stack([np.ones_like(u), u, v, u * u / 2, u * v, v * v / 2], axis=1)
    around = surface.chi2[column - 1 : column + 2, row - 1 : row + 2].ravel()
    constant, du, dv, duu, duv, dvv = np.linalg.lstsq(terms, around, rcond=None)[0]
    step_u, step_v = np.linalg.solve([[duu, duv], [duv, dvv]], [-du, -dv])
    chi2 = float(constant + (du * step_u + dv * step_v) / 2)
    x, y = surface.sin2_2theta13, surface.dm2_32
    return BestFit(
        sin2_2theta13=_measure(x, x[column] + step_u * (x[1] - x[0]), _profile(surface.chi2) - chi2, "sin2_2theta13"),
        dm2_32=_measure(y, y[row] + step_v * (y[1] - y[0]), _profile(surface.chi2.T) - chi2, "dm2_32"),
        chi2=chi2,
    )


def delta_chi2(sigmas: float) -> float:
    """Give the rise of chi2 that encloses two parameters as surely as `sigmas` do one: 2.30, 6.18, 11.83."""
    return -2 * math.log(math.erfc(sigmas / math.sqrt(2)))


def _profile(chi2: FloatArray) -> FloatArray:
    """Minimise each row, (n, m) to (n,), by the parabola through its smallest point and the two beside it."""
    n, m = chi2.shape
    smallest = chi2.argmin(axis=1)
    middle = np.clip(smallest, 1, m - 2)
    below, at, above = (chi2[np.arange(n), middle + step] for step in (-1, 0, 1))
    curvature = above - 2 * at + below
    inside = (smallest == middle) & (curvature > 0)
    refined = at - (above - below) ** 2 / (8 * np.where(inside, curvature, 1.0))
    result: FloatArray = np.where(inside, refined, chi2.min(axis=1))
    return result


def _measure(axis: FloatArray, value: float, rise: FloatArray, name: str) -> Measurement:
    """Find where the rise is 1, by interpolating its root: nearly a straight line on each side."""
    root = np.sqrt(np.maximum(rise, 0.0))

    def crossing(towards: int) -> float:
        side = np.flatnonzero((axis > value) if towards > 0 else (axis < value))[::towards]
        x, y = np.append(value, axis[side]), np.append(0.0, root[side])
        outside = np.flatnonzero(y >= 1)
        if len(outside) == 0:
            raise ScanError(f"chi2 does not rise by 1 inside the grid in {name}: scan a larger range")
        last = outside[0]
        share = (1 - y[last - 1]) / (y[last] - y[last - 1])
        return float(x[last - 1] + share * (x[last] - x[last - 1]))

    return Measurement(value=float(value), low=crossing(-1), high=crossing(+1))


def _coordinates(point: Mapping[str, float]) -> Coordinates:
    return point["sin2_2theta13"], point["dm2_32"]


def _refuse(what: str, places: list[Coordinates]) -> None:
    if places:
        sin2_2theta13, dm2_32 = places[0]
        first = f"sin2_2theta13 = {sin2_2theta13:.6g}, dm2_32 = {dm2_32:.6g}"
        raise ScanError(f"{what}: {len(places)} of the points, the first at {first}")
