"""How does a run account for what it skipped, and what does it spare itself? Every skip is printed with its reason, and counted.

Under `MUSTER_TEST_STRICT=1` a skip that does not stand in `tests/allowed-skips.txt` makes the run red: what cannot be had on
some machine may be skipped there, but never silently, and never on the machines that can have it. In a run of several processes the
one that hands out the tests hears of all of them, and it alone counts and judges.
"""

import fnmatch
import gc
import os
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what trio tells it of its random numbers, which then ended a run that was green
    import hypothesis  # noqa: F401 - before its plugin does, at the end of a run without properties

ALLOWED = Path(__file__).parent / "tests" / "allowed-skips.txt"


@dataclass(eq=False)
class Skips:
    """What was skipped: tests, and modules with all that is in them (node id → reason)."""

    found: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.found[report.nodeid] = reason.removeprefix("Skipped: ")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("skips")
        terminalreporter.write_line(f"{len(self.found)} tests were skipped")
        for reason, count in sorted(Counter(self.found.values()).items()):
            terminalreporter.write_line(f"  {count} x {reason}")
        refused = self._refused()
        if refused:
            terminalreporter.write_line(
                f"MUSTER_TEST_STRICT: {len(refused)} skips are not on {ALLOWED.name}: {', '.join(refused[:20])}",
                red=True,
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._refused() and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _refused(self) -> list[str]:
        if os.environ.get("MUSTER_TEST_STRICT") != "1":
            return []
        lines = [line.strip() for line in ALLOWED.read_text().splitlines()]
        allowed = [line for line in lines if line and not line.startswith("#")]
        return [nodeid for nodeid in self.found if not any(fnmatch.fnmatch(nodeid, one) for one in allowed)]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # not one of several processes that run what another hands out
        config.pluginmanager.register(Skips(), "skips")


def pytest_collection_finish() -> None:
    """Looking through all that was imported, again and again, took a fifth of a run: the collector looks less often."""
    gc.set_threshold(50_000, 20, 100)
