"""What did the scan find? Best fit, errors and figures from the results, beside the published values."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import published
from analysis import Analysis, Point
from far_hall import measure_dip
from plots import draw_contours, draw_dip
from surface import BestFit, Measurement, ScanError, assemble, best_fit, locate_minimum
from terminal_plot import beside, render_contours, render_dip

__all__ = ["best_fit", "main"]

PUBLISHED = {"sin2_2theta13": published.SIN2_2THETA13, "dm2_32": published.DM2_32}
POINT = ("sin2_2theta13", "dm2_32")
RESULT = (*POINT, "chi2")


def read_lines(path: str, *, names: tuple[str, ...]) -> list[dict[str, float]]:
    """Read one JSON object a line, with these names in it; `-` is standard input. Raises ScanError, OSError."""
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                value = json.loads(line)
                found.append({name: float(value[name]) for name in names})
            except (LookupError, TypeError, ValueError) as error:
                what = f"needs {', '.join(names)} as numbers"
                raise ScanError(f"{path}, line {number} {what}: {line[:80]}") from error
    return found


def summarise(fit: BestFit, *, points: int, degrees_of_freedom: int) -> dict[str, Any]:
    """Put the answer into a JSON object; pulls are in published standard deviations."""

    def beside_published(name: str, here: Measurement) -> dict[str, float]:
        there = PUBLISHED[name]
        return {
            "value": here.value,
            "sigma": here.sigma,
            "low": here.low,
            "high": here.high,
            "published": there.value,
            "published_sigma": there.sigma,
            "pull": (here.value - there.value) / there.sigma,
        }

    return {
        "sin2_2theta13": beside_published("sin2_2theta13", fit.sin2_2theta13),
        "dm2_32": beside_published("dm2_32", fit.dm2_32),
        "chi2": fit.chi2,
        "degrees_of_freedom": degrees_of_freedom,
        "points": points,
    }


def render_table(summary: Mapping[str, Any]) -> str:
    lines = [f"{'':20}{'this scan':>18}{'published':>20}{'pull':>10}"]
    for label, name, unit, digits in (
        ("sin²2θ₁₃", "sin2_2theta13", 1.0, 4),
        ("Δm²₃₂ (10⁻³ eV²)", "dm2_32", 1e3, 3),
    ):
        row = summary[name]
        here = f"{row['value'] * unit:.{digits}f} ± {row['sigma'] * unit:.{digits}f}"
        there = f"{row['published'] * unit:.{digits}f} ± {row['published_sigma'] * unit:.{digits}f}"
        lines.append(f"{label:20}{here:>18}{there:>20}{row['pull']:>+8.2f} σ")
    quality = f"{summary['chi2']:.1f} / {summary['degrees_of_freedom']}"
    lines.append(f"{'χ² / degrees':20}{quality:>18}")
    lines.append(f"{'points':20}{summary['points']:>18,}")
    return "\n".join(lines)


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Find the best fit in the results of the scan, and draw it.")
    parser.add_argument("results", help="JSON lines, in any order; - for standard input")
    parser.add_argument("--points", help="the points that were asked for: then none may lack or be too many")
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder of the figures (default: report)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args(None if arguments is None else list(arguments))
    try:
        asked = read_lines(options.points, names=POINT) if options.points else None
        surface = assemble(read_lines(options.results, names=RESULT), asked=asked)
        fit = locate_minimum(surface)
    except (ScanError, OSError) as error:
        sys.exit(f"report: {error}")
    analysis = Analysis.load()
    dip = measure_dip(analysis, Point(fit.sin2_2theta13.value, fit.dm2_32.value))
    options.output.mkdir(parents=True, exist_ok=True)
    draw_contours(surface, fit, path=options.output / "contour.png")
    draw_dip(dip, path=options.output / "dip.png")
    summary = summarise(fit, points=surface.chi2.size, degrees_of_freedom=analysis.degrees_of_freedom)
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        figures = beside(render_contours(surface, fit), render_dip(dip))
        drawn = f"{options.output / 'contour.png'}  {options.output / 'dip.png'}"
        show("\n\n".join([render_table(summary), figures, drawn]))


def show(text: str) -> None:
    """Print, also to a terminal that lacks the characters."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, errors="replace").decode(encoding))


if __name__ == "__main__":
    main()
