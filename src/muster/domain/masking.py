"""What of a text may be shown that may be, or hold, an address? Not the password in it.

The time that it takes grows with the text's length alone: what is shown may be anything that somebody put into a variable.
"""

import re

MASK = "***"
_WITH_SCHEME = re.compile(r"://[^:]*:")
_WITHOUT_SCHEME = re.compile(r"\A[^\s:@/\"'\[{]*:(?!//)")
"""`user:password@host`, as the broker's address is written, and others by mistake."""
_WORD = re.compile(r"[^\s\"']+")
_IN_WORD = re.compile(r":(?!//)")
_IN_QUERY = re.compile(
    r"""
    (?P<name>(?<![\w.-])[\w.-]*(?:password|passphrase|passfile|token|secret|api[_-]?key)\s*=\s*)
    (?:"(?:[^"\\]|\\.)*+"?+|'(?:[^'\\]|\\.)*+'?+)?+  # in quotes, as PostgreSQL's libraries read it
    (?:[^&\s\\]|\\.?)*+
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""`password=…` of a query, or of a list of such settings: also `sslpassword`, `access_token`, `client_secret`."""


def mask_address(text: str) -> str:
    """The text without the passwords of the addresses in it; any other text is as it was."""
    text = _mask_behind(_WITH_SCHEME, text)
    text = _mask_behind(_WITHOUT_SCHEME, text)
    # The same inside of a longer text, JSON mostly, where a password with a blank or a quote has no end that could be told.
    text = _WORD.sub(lambda word: _mask_behind(_IN_WORD, word[0]), text)
    return _IN_QUERY.sub(rf"\g<name>{MASK}", text)


def _mask_behind(user: re.Pattern[str], text: str) -> str:
    """Mask what is between a user and the last @: a password may have signs in it that it should not."""
    end = text.rfind("@")
    found = None if end < 0 else user.search(text, 0, end)
    return text if found is None else f"{text[: found.end()]}{MASK}{text[end:]}"
