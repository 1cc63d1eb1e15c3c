"""Do the logs keep secrets to themselves, also when something breaks?"""

import io
import json
import logging
import sys

import structlog

from muster.cli.logs import log_to


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


def _fail(token: str) -> None:
    assert token
    raise RuntimeError("as it must")
