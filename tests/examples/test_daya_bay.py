"""Does the Daya Bay example find what was published, and what was put in? And does it refuse half a scan?"""

import importlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "daya-bay"
PUBLISHED = {"sin2_2theta13": (0.0851, 0.0024), "dm2_32": (2.466e-3, 0.060e-3)}

Results = list[dict[str, float]]


class Example:
    """The example's modules by name: `example.report` is `examples/daya-bay/report.py`."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        # What matplotlib and the fonts it looks for keep would go to the home folder.
        patch.setenv("MPLCONFIGDIR", str(cache / "matplotlib"))
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.syspath_prepend(EXAMPLE)
        yield Example()
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent == EXAMPLE:
            del sys.modules[name]


@pytest.fixture(scope="module")
def release(example: Any) -> Any:
    return example.release.load_release()


@pytest.fixture(scope="module")
def analysis(example: Any, release: Any) -> Any:
    return example.analysis.Analysis(release)


@pytest.fixture(scope="module")
def results(example: Any, analysis: Any) -> Results:
    return scan(example, analysis, side=15)


def scan(example: Any, analysis: Any, *, side: int) -> Results:
    return [{**point, "chi2": analysis.chi2(example.analysis.Point(**point))} for point in example.points.grid(side)]


def test_the_release_holds_the_events_that_were_published(release: Any, analysis: Any) -> None:
    assert len(release.units) == 21
    assert release.observed.shape == (21, 26)
    assert release.observed.sum() == 5_546_118
    assert analysis.background.sum() == pytest.approx(81_273, abs=1)
    assert analysis.degrees_of_freedom == 546 - 19 - 2


def test_a_small_scan_finds_the_published_values(example: Any, results: Results) -> None:
    fit = example.report.best_fit(results)

    for name, (value, sigma) in PUBLISHED.items():
        assert abs(getattr(fit, name).value - value) < sigma / 2
        assert getattr(fit, name).sigma == pytest.approx(sigma, rel=0.1)


def test_the_figures_of_the_readme_are_those_of_the_scan(example: Any, results: Results) -> None:
    fit = example.report.best_fit(results)

    assert fit.sin2_2theta13.value == pytest.approx(0.08547, abs=2e-5)
    assert fit.sin2_2theta13.sigma == pytest.approx(0.002250, abs=3e-6)
    assert fit.dm2_32.value == pytest.approx(2.4668e-3, abs=2e-7)
    assert fit.dm2_32.sigma == pytest.approx(0.0560e-3, abs=1e-7)
    assert fit.chi2 == pytest.approx(578.67, abs=0.03)


@pytest.mark.parametrize(("sin2_2theta13", "dm2_32"), [(0.0830, 2.52e-3), (0.0890, 2.40e-3)])
def test_data_made_at_a_point_lead_back_to_it(example: Any, analysis: Any, sin2_2theta13: float, dm2_32: float) -> None:
    asimov = analysis.with_asimov_data(example.analysis.Point(sin2_2theta13, dm2_32))

    fit = example.report.best_fit(scan(example, asimov, side=20))

    assert fit.sin2_2theta13.value == pytest.approx(sin2_2theta13, abs=1e-5)
    assert fit.dm2_32.value == pytest.approx(dm2_32, abs=2e-7)
    assert fit.chi2 == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(("without", "dm2_32", "chi2"), [("lsnl", 2.376e-3, 578.7 + 35), ("iav", 2.422e-3, 578.5)])
def test_a_detector_that_is_modelled_less_well_moves_the_mass_splitting(
    example: Any, release: Any, without: str, dm2_32: float, chi2: float
) -> None:
    options = example.analysis.Options(**{without: False})

    fit = example.report.best_fit(scan(example, example.analysis.Analysis(release, options=options), side=15))

    assert fit.dm2_32.value == pytest.approx(dm2_32, abs=4e-6)
    assert fit.chi2 == pytest.approx(chi2, abs=2)


def test_the_data_are_not_described_without_mixing(example: Any, analysis: Any) -> None:
    assert analysis.chi2(example.analysis.NO_MIXING) == pytest.approx(1910, abs=2)


def test_the_far_hall_lacks_most_antineutrinos_near_2_7_mev(example: Any, analysis: Any) -> None:
    dip = example.far_hall.measure_dip(analysis, example.analysis.Point(0.0855, 2.467e-3))

    assert dip.total == pytest.approx(0.933, abs=0.001)
    assert dip.observed.min() == pytest.approx(0.916, abs=0.001)
    assert dip.centres[dip.observed.argmin()] == pytest.approx(2.675)
    assert np.abs((dip.observed - dip.expected) / dip.sigma).max() < 4


def test_survival_is_the_formula_of_the_publication(example: Any, release: Any) -> None:
    length_m, energy_mev, sin2_2theta13, dm2_32 = 1663.0, 3.7, 0.0851, 2.466e-3
    survival = example.antineutrinos.Survival(np.array([[length_m]]), np.array([energy_mev]), release)

    def wave(dm2: float) -> float:
        return math.sin(1.26693 * dm2 * length_m / energy_mev) ** 2

    sin2_12 = math.sin(math.asin(math.sqrt(0.851)) / 2) ** 2
    cos4_13 = math.cos(math.asin(math.sqrt(sin2_2theta13)) / 2) ** 4
    fast = sin2_12 * wave(dm2_32) + (1 - sin2_12) * wave(dm2_32 + 7.53e-5)
    expected = 1 - sin2_2theta13 * fast - cos4_13 * 0.851 * wave(7.53e-5)
    assert survival.at(example.analysis.Point(sin2_2theta13, dm2_32)).item() == pytest.approx(expected, abs=1e-7)


def test_a_positron_at_rest_comes_from_a_neutrino_at_threshold(example: Any, release: Any) -> None:
    threshold = ((release.neutron + release.electron) ** 2 - release.proton**2) / (2 * release.proton)

    energy = example.antineutrinos.neutrino_energy(np.array([2 * release.electron]), release)

    assert energy.item() == pytest.approx(threshold, abs=2e-3)


def test_the_response_loses_nothing_but_what_is_below_the_first_bin(example: Any, release: Any) -> None:
    response = example.detector.response(release, lsnl=release.lsnl["nominal"])

    reconstructed = response.sum(axis=0)
    deposited = example.detector.bin_centres(release)
    assert reconstructed.max() <= 1 + 1e-9
    assert reconstructed[(deposited > 2) & (deposited < 9)].min() > 0.985


def test_no_point_outside_the_plane_is_accepted(example: Any) -> None:
    with pytest.raises(ValueError, match="not a point of the plane"):
        example.analysis.Point(1.2, 2.4e-3)


def test_the_grid_has_every_pair_once_with_the_corners(example: Any) -> None:
    points = list(example.points.grid(100))

    assert len({(point["sin2_2theta13"], point["dm2_32"]) for point in points}) == 10_000
    assert points[0] == {"sin2_2theta13": 0.075, "dm2_32": 2.25e-3}
    assert points[-1] == {"sin2_2theta13": 0.096, "dm2_32": 2.70e-3}


def test_a_paraboloid_is_measured_exactly(example: Any) -> None:
    def chi2(sin2_2theta13: float, dm2_32: float) -> float:
        u, v = (sin2_2theta13 - 0.0847) / 0.0021, (dm2_32 - 2.481e-3) / 0.051e-3
        return 500 + (u * u - 2 * 0.3 * u * v + v * v) / (1 - 0.3**2)

    fit = example.report.best_fit([{**point, "chi2": chi2(**point)} for point in example.points.grid(12)])

    assert (fit.sin2_2theta13.value, fit.dm2_32.value, fit.chi2) == pytest.approx((0.0847, 2.481e-3, 500))
    assert (fit.sin2_2theta13.sigma, fit.dm2_32.sigma) == pytest.approx((0.0021, 0.051e-3))


def test_the_order_of_the_results_does_not_matter(example: Any, results: Results) -> None:
    shuffled = random.Random(13).sample(results, len(results))

    assert example.report.best_fit(shuffled) == example.report.best_fit(results)


def test_a_scan_with_a_missing_point_is_refused(example: Any, results: Results) -> None:
    with pytest.raises(example.surface.ScanError, match="missing: 2 of the points, the first at"):
        example.report.best_fit(results[:100] + results[102:])


def test_a_scan_with_a_doubled_point_is_refused(example: Any, results: Results) -> None:
    with pytest.raises(example.surface.ScanError, match="doubled: 1 of the points"):
        example.report.best_fit([*results, results[7]])


def test_a_missing_row_is_seen_inside_the_grid_by_its_gap_and_at_the_edge_by_what_was_asked(
    example: Any, results: Results
) -> None:
    with pytest.raises(example.surface.ScanError, match="missing: the steps of sin2_2theta13 are uneven"):
        example.report.best_fit(results[:45] + results[60:])
    with pytest.raises(example.surface.ScanError, match="missing: 15 of the points"):
        example.surface.assemble(results[15:], asked=example.points.grid(15))


def test_a_chi2_that_is_no_number_is_refused(example: Any, results: Results) -> None:
    with pytest.raises(example.surface.ScanError, match="no finite chi2: 1"):
        example.report.best_fit([{**results[0], "chi2": math.nan}, *results[1:]])


def test_a_minimum_at_the_edge_is_refused(example: Any, results: Results) -> None:
    below = [result for result in results if result["sin2_2theta13"] < 0.082]

    with pytest.raises(example.surface.ScanError, match="at the edge of the grid in sin2_2theta13"):
        example.report.best_fit(below)


def test_the_report_prints_the_answer_and_writes_both_figures(
    example: Any, results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_lines(tmp_path / "results.jsonl", results)

    example.report.main([str(written), "--output", str(tmp_path / "report")])

    printed = capsys.readouterr().out.splitlines()
    assert "0.0855 ± 0.0023     0.0851 ± 0.0024" in printed[1]
    assert "2.467 ± 0.056       2.466 ± 0.060" in printed[2]
    assert "578.7 / 525" in printed[3]
    assert max(len(line) for line in printed if str(tmp_path) not in line) <= 78
    for figure in ("contour.png", "dip.png"):
        assert (tmp_path / "report" / figure).read_bytes().startswith(b"\x89PNG")


def test_the_report_for_programs_is_one_json_object(
    example: Any, results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_lines(tmp_path / "results.jsonl", results)

    example.report.main([str(written), "--output", str(tmp_path), "--json"])

    summary = json.loads(capsys.readouterr().out)
    assert (summary["points"], summary["degrees_of_freedom"]) == (225, 525)
    assert summary["sin2_2theta13"]["pull"] == pytest.approx(0.155, abs=0.01)
    assert summary["dm2_32"]["pull"] == pytest.approx(0.013, abs=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"sin2_2theta13": 0.08, "dm2_32": 0.0024}\n', "line 1 needs sin2_2theta13, dm2_32, chi2 as numbers"),
        ("\n[1, 2]\n", "line 2 needs"),
        ("", "there are no results"),
    ],
)
def test_the_report_says_what_is_wrong_with_a_file(example: Any, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text(text)

    with pytest.raises(SystemExit, match=message):
        example.report.main([str(file), "--output", str(tmp_path)])


def test_the_bare_loop_gives_what_the_function_gives(results: Results, tmp_path: Path) -> None:
    points = [{name: result[name] for name in PUBLISHED} for result in results[::75]]
    written = write_lines(tmp_path / "points.jsonl", points)

    with written.open() as lines:
        done = run(EXAMPLE / "bare_loop.py", stdin=lines)

    answers = [json.loads(line) for line in done.splitlines()]
    assert answers == [pytest.approx(result, rel=1e-9) for result in results[::75]]


def test_the_task_runs_with_the_files_that_the_workflow_names(analysis: Any, example: Any, tmp_path: Path) -> None:
    workflow = yaml.safe_load((EXAMPLE / "workflow.yaml").read_text(encoding="utf-8"))
    for name in workflow["tasks"][0]["input_files"]:
        shutil.copy(EXAMPLE / name, tmp_path)
    point = {"sin2_2theta13": 0.0851, "dm2_32": 0.002466}
    infile, outfile = tmp_path / "in.json", tmp_path / "out.json"
    infile.write_text(json.dumps(point))

    run(tmp_path / "chi2.py", EWMS_TASK_INFILE=str(infile), EWMS_TASK_OUTFILE=str(outfile))

    expected = {**point, "chi2": analysis.chi2(example.analysis.Point(**point))}
    assert json.loads(outfile.read_text()) == pytest.approx(expected, rel=1e-9)


def write_lines(path: Path, values: Results) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def run(script: Path, *, stdin: Any = None, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        stdin=stdin,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
