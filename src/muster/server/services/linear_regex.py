"""How is a regular expression searched for that a stranger wrote? By RE2, whose time grows with the text and nothing else.

It has no look-around and no back-references; `$` without the option `m` is the very end of the text. It lets go of the interpreter
while it searches, so that a long text holds up only who asked.
"""

from collections.abc import Callable

import re2

PATTERN_CHARS_MAX = 500
INSTRUCTIONS_MAX = 500
"""Of the program that a pattern becomes: a text of 100 kB is searched in at most some 50 ms."""
_MEMORY_BYTES = 1 << 19


def make_pattern(pattern: str, options: str) -> Callable[[str], bool]:
    """What finds a regular expression in a text.

    Args:
        pattern: RE2's syntax, which is Perl's without what cannot be searched for in linear time.
        options: letters of `i` (any case), `m` (`^` and `$` at every line), `s` (`.` is also a line's end).

    Raises:
        ValueError: it is none, it needs what RE2 has not, or it is too large; the text is fit for a user.
    """
    if len(pattern) > PATTERN_CHARS_MAX:
        raise ValueError(f"must have no more than {PATTERN_CHARS_MAX} characters")
    flags = "".join(sorted(set(options)))
    try:
        compiled = re2.compile(f"(?{flags}){pattern}" if flags else pattern, _make_options())
    except re2.error as error:
        raise ValueError(f"is no regular expression that can be searched for safely: {_tell(error)}") from None
    if compiled.programsize > INSTRUCTIONS_MAX:
        raise ValueError("is too large a regular expression: use fewer or smaller repetitions")

    def search(text: str) -> bool:
        return compiled.search(text.encode("utf-8", "replace")) is not None

    return search


def _make_options() -> re2.Options:
    options = re2.Options()
    options.never_capture = True  # groups cost time, and nobody asks for them
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    return options


def _tell(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
