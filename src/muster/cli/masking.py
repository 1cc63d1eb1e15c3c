"""What of a setting may be shown? Not its secrets."""

import re

MASK = "***"
SECRET = re.compile(r".*(_secret|_password|_passphrase|_key)|secret|password|token")
"""Fields that hold nothing but a secret. One that names a file of it does not."""
_IN_ADDRESS = re.compile(r"://(?P<user>[^:@]*):.*@", re.DOTALL)
"""Up to the last @: a password may have signs in it that it should not."""
_IN_QUERY = re.compile(r"(?P<name>[?&\s](password|passfile|token|secret|sslpassword)=)[^&\s]*", re.IGNORECASE)


def mask(field: str, text: str) -> str:
    """A setting's value, without the secrets in it."""
    if SECRET.fullmatch(field):
        return MASK if text else ""
    return _IN_QUERY.sub(rf"\g<name>{MASK}", _IN_ADDRESS.sub(rf"://\g<user>:{MASK}@", text))
