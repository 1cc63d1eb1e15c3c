"""Who holds the token of this folder? The person who started the service: everything is theirs.

For a laptop, a CI job, a demonstration: one file, readable by its owner alone, and one caller.
"""

import getpass
import hmac
import os
import secrets
from pathlib import Path

from muster.domain.caller import Caller, Role
from muster.domain.errors import MusterError, UnauthenticatedError

TOKEN_CHARS_MIN = 16


class TokenFileError(MusterError):
    """The token's file cannot be used."""


def read_or_make_token(path: Path) -> str:
    """The token in a file, which is made (0600) where it is missing, as is its folder (0700).

    Raises:
        TokenFileError: others may read the file, or what it holds is no token.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_token(path)
    with os.fdopen(descriptor, "w") as file:
        token = secrets.token_urlsafe(32)
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def check_token(path: Path) -> None:
    """Is a token that is there one that can be used? Raises TokenFileError; one that is missing is made at the start."""
    try:
        _read_token(path)
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise TokenFileError(f"{path} cannot be read: {reason}") from error


def _read_token(path: Path) -> str:
    with path.open() as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise TokenFileError(
                f"others may read {path}: say `chmod 600 {path}`, or delete it to have a new token made"
            )
        token = file.read().strip()
    if len(token) < TOKEN_CHARS_MIN or not token.isascii() or any(one.isspace() for one in token):
        raise TokenFileError(f"{path} holds no token: delete it to have a new one made")
    return token


class LocalToken:
    """One token, one caller with every role."""

    def __init__(self, token: str, *, name: str | None = None) -> None:
        """`name` None: the user of the operating system."""
        self._token = token.encode()
        self._caller = Caller(name or _user_name(), frozenset(Role), issuer="local")

    async def identify(self, token: str) -> Caller:
        """Raises UnauthenticatedError. Takes as long for a wrong token as for a right one."""
        if not hmac.compare_digest(self._token, token.encode("utf-8", "surrogateescape")):
            raise UnauthenticatedError(
                "the token is not that of this service; the right one stands in the service's token file"
            )
        return self._caller

    async def refresh(self) -> None:
        """Nothing changes while the service runs."""


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid{os.getuid()}"
