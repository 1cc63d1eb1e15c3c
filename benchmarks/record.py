"""How is a measurement kept? As JSON beside the benchmark: machine, commit, every run; the page in docs is made from it."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
MEASURED = (":(top)", ":(top,exclude)benchmarks/results", ":(top,exclude)docs")
"""Files whose changes could change a figure: those of the results and of the pages made from them could not."""


@dataclass
class Series:
    """The runs of one side of a comparison; `unit` e.g. `events/s`."""

    name: str
    unit: str
    runs: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.runs)


@dataclass
class Record:
    """One claim's measurement. `ratios`: name → (value, what the goal says)."""

    name: str
    claim: str
    command: str
    settings: str
    series: list[Series]
    ratios: dict[str, float]
    goal: str
    limit: str = ""
    machine: str = ""
    commit: str = ""


def alternate(sides: Mapping[str, Callable[[], float]], *, rounds: int, unit: str) -> list[Series]:
    """Run each side in turn, `rounds` times over, so that a noisy machine is noisy to all of them."""
    series = {name: Series(name, unit) for name in sides}
    for number in range(rounds):
        for name, measure in sides.items():
            value = measure()
            series[name].runs.append(value)
            print(f"  round {number + 1}: {name}: {value:,.4g} {unit}", flush=True)
    return list(series.values())


def keep(record: Record) -> None:
    """Write the record, and say it."""
    record.machine = describe_machine()
    record.commit = describe_commit(RESULTS.parent)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{record.name}.json").write_text(json.dumps(asdict(record), indent=1) + "\n")
    for series in record.series:
        print(f"{record.name}: {series.name}: median {series.median:,.4g} {series.unit} of {len(series.runs)}")
    for name, value in record.ratios.items():
        print(f"{record.name}: {name}: {value:.3g}   (goal: {record.goal})", flush=True)


def describe_commit(folder: Path) -> str:
    """The commit that is checked out around a folder, with `-dirty` where what is measured differs from it; empty where git knows none."""

    def ask(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
        ).stdout.strip()

    commit = ask("describe", "--always")
    is_dirty = bool(ask("status", "--porcelain", "--untracked-files=no", "--", *MEASURED))
    return f"{commit}-dirty" if commit and is_dirty else commit


def describe_machine() -> str:
    """Cores, processor and versions; nothing that names the machine itself."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return (
        f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}, Linux {platform.release().split('-')[0]}"
    )


def ratio(series: Sequence[Series], above: str, below: str) -> float:
    """Median of one side over median of the other."""
    medians = {one.name: one.median for one in series}
    return medians[above] / medians[below]
