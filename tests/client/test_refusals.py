"""Which error does an answer become?"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.client.refusals import ERROR_OF_CODE, RETRIED, ServiceFailedError, read_refusal
from muster.client.shapes.message import FindingView, Problem
from muster.domain.errors import (
    Finding,
    InvalidError,
    MusterError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)


@pytest.mark.parametrize("code", sorted(ERROR_OF_CODE))
def test_a_problem_becomes_the_class_of_its_code(code: str) -> None:
    error = read_refusal(418, msgspec.json.encode(Problem(code, "the reason")), subject="GET /x")

    assert type(error) is ERROR_OF_CODE[code]
    assert "the reason" in str(error)


def test_every_finding_is_kept() -> None:
    findings = [FindingView("tasks[0].n_workers", "must be 1 to 9"), FindingView("name", "is too long")]
    error = read_refusal(422, msgspec.json.encode(Problem("invalid", "two faults", findings)), subject="POST /x")

    assert isinstance(error, InvalidError)
    assert error.findings == (Finding("tasks[0].n_workers", "must be 1 to 9"), Finding("name", "is too long"))


def test_a_fault_of_the_service_names_the_request() -> None:
    error = read_refusal(500, msgspec.json.encode(Problem("internal", "internal error", [], "r-17")), subject="GET /x")

    assert isinstance(error, ServiceFailedError)
    assert "r-17" in str(error)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (301, RejectedError),
        (400, RejectedError),
        (401, UnauthenticatedError),
        (404, NotFoundError),
        (413, TooLargeError),
        (500, ServiceFailedError),
        (502, UnavailableError),
        (503, UnavailableError),
        (504, UnavailableError),
    ],
)
def test_an_answer_of_another_program_is_read_by_its_status(status: int, wanted: type[MusterError]) -> None:
    error = read_refusal(status, b"<html>Bad gateway</html>", subject="GET /x")

    assert type(error) is wanted
    assert str(status) in str(error)


@given(st.integers(300, 599), st.binary(max_size=200))
def test_any_answer_becomes_some_error_of_ours(status: int, body: bytes) -> None:
    error = read_refusal(status, body, subject="GET /x")

    assert isinstance(error, MusterError)
    assert str(error)
    assert status not in RETRIED or isinstance(error, UnavailableError | MusterError)
