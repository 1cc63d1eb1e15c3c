"""How does a command end? One table from our errors to exit codes, and how an error is told."""

from collections.abc import Mapping

from muster.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    MusterError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
PIPE_CLOSED = 141

EXIT_CODES: Mapping[type[MusterError], int] = {
    NotFoundError: 3,
    ConflictError: 4,
    InvalidError: 4,
    TooLargeError: 4,
    RejectedError: 4,
    UnavailableError: 5,
    UnauthenticatedError: 6,
    ForbiddenError: 6,
}

MEANINGS: Mapping[int, str] = {
    OK: "done",
    FAILED: "done, and the outcome is bad (`watch`: the workflow was aborted, or finished with events dead, waiting or in work; `account`: "
    "it does not add up), or an unforeseen failure",
    USAGE: "the command line itself is wrong",
    3: "what was named does not exist",
    4: "refused: the input breaks a rule, or the object is not in a state that allows this",
    5: "the service does not answer, or no service is known",
    6: "not allowed: no valid token, or not yours",
    INTERRUPTED: "interrupted by Ctrl-C",
    PIPE_CLOSED: "the reader of the output went away",
}
"""For the documentation."""


class UsageError(MusterError):
    """Options that do not go together."""


def exit_code_of(error: MusterError) -> int:
    """The exit code of the first of the error's classes that stands in the table."""
    if isinstance(error, UsageError):
        return USAGE
    return next((EXIT_CODES[one] for one in type(error).__mro__ if one in EXIT_CODES), FAILED)


def render_error(error: MusterError) -> str:
    """What, where, remedy; every finding on a line of its own."""
    if isinstance(error, InvalidError) and len(error.findings) > 1:
        return "\n".join(["these things are wrong:", *(f"  {one}" for one in error.findings)])
    text = str(error) or type(error).__name__
    if isinstance(error, UnauthenticatedError):
        text += (
            "\nName the file that holds your token with --token-file or MUSTER_TOKEN_FILE; "
            "`muster up` keeps one in its folder, `token`."
        )
    return text
