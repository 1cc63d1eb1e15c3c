"""Do the logs keep secrets to themselves, and harm nobody when they cannot be written?"""

import io
import json
import logging
import resource
import signal
import sys
from pathlib import Path

import structlog

from muster.cli.logs import log_to, logging_to_file


def test_a_traceback_shows_the_place_and_no_values() -> None:
    stream = io.StringIO()
    log_to(stream, "info")

    try:
        _fail("t0p-s3cret")
    except RuntimeError:
        structlog.get_logger().exception("broken")
        logging.getLogger("library").exception("broken as well")
    finally:
        log_to(sys.stderr, "info")

    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["exception"][0]["exc_value"] for line in lines] == ["as it must", "as it must"]
    assert "_fail" in stream.getvalue()
    assert "t0p-s3cret" not in stream.getvalue()


def test_a_line_that_cannot_be_written_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "muster.log"
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(
        signal.SIGXFSZ, signal.SIG_IGN
    )  # a file that grows too large is an OSError, like a full disk
    try:
        with logging_to_file(log, "info"):
            structlog.get_logger().info("one")
            resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 10, allowed[1]))
            for _ in range(3):
                structlog.get_logger().info("two")
                logging.getLogger("library").error("two")
            resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
            structlog.get_logger().info("three")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
        signal.signal(signal.SIGXFSZ, before)
        log_to(sys.stderr, "info")

    one, torn, three = log.read_text().splitlines()
    assert [json.loads(one)["event"], len(torn), json.loads(three)["event"]] == ["one", 10, "three"]


def _fail(token: str) -> None:
    assert token
    raise RuntimeError("as it must")
