"""What of a text may be shown that may be, or hold, an address? Not the password in it."""

import re

MASK = "***"
_WITH_SCHEME = re.compile(r"://(?P<user>[^:@]*):.*@", re.DOTALL)
"""Up to the last @: a password may have signs in it that it should not."""
_WITHOUT_SCHEME = re.compile(r"\A(?P<user>[^\s:@/\"'\[{]*):(?!//).*@", re.DOTALL)
"""`user:password@host`, as the broker's address is written, and others by mistake."""
_WITHIN = re.compile(r"(?P<user>[^\s:@/\"']*):(?!//)[^\s\"']*@")
"""The same inside of a longer text, JSON mostly, where a password with a blank or a quote has no end that could be told."""
_IN_QUERY = re.compile(r"(?P<name>[?&\s](password|passfile|token|secret|sslpassword)=)[^&\s]*", re.IGNORECASE)


def mask_address(text: str) -> str:
    """The text without the passwords of the addresses in it; any other text is as it was."""
    text = _WITH_SCHEME.sub(rf"://\g<user>:{MASK}@", text)
    text = _WITHOUT_SCHEME.sub(rf"\g<user>:{MASK}@", text)
    text = _WITHIN.sub(rf"\g<user>:{MASK}@", text)
    return _IN_QUERY.sub(rf"\g<name>{MASK}", text)
