"""How does a run account for what it skipped? Every skip is printed with its reason, and counted.

Under `MUSTER_TEST_STRICT=1` a skip that does not stand in `tests/allowed-skips.txt` makes the run red: what cannot be had on
some machine may be skipped there, but never silently, and never on the machines that can have it.
"""

import fnmatch
import os
from pathlib import Path

import pytest

ALLOWED = Path(__file__).parent / "tests" / "allowed-skips.txt"
SKIPPED = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPPED] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and _config is not None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _config.stash[SKIPPED].append((report.nodeid, reason.removeprefix("Skipped: ")))


_config: pytest.Config | None = None


def pytest_sessionstart(session: pytest.Session) -> None:
    global _config
    _config = session.config


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = config.stash[SKIPPED]
    terminalreporter.section("skips")
    terminalreporter.write_line(f"{len(skipped)} tests were skipped")
    reasons: dict[str, int] = {}
    for _, reason in skipped:
        reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"  {count} x {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("MUSTER_TEST_STRICT") != "1":
        return
    allowed = [line.strip() for line in ALLOWED.read_text().splitlines() if line.strip() and not line.startswith("#")]
    refused = [
        nodeid
        for nodeid, _ in session.config.stash[SKIPPED]
        if not any(fnmatch.fnmatch(nodeid, one) for one in allowed)
    ]
    if refused:
        print(f"\nMUSTER_TEST_STRICT: {len(refused)} skips are not on {ALLOWED.name}: {', '.join(refused[:20])}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
