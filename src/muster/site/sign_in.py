"""How does the agent sign in: by the token in its file, or by those of an identity provider?"""

import stat
from pathlib import Path

import structlog

from muster.client.address import NOT_ONE, Token, is_token
from muster.client.client_credentials import ClientCredentials
from muster.domain.errors import Finding, InvalidError, NotFoundError
from muster.settings.parts import SiteSettings

log = structlog.get_logger("muster.site")

OTHERS_READ = stat.S_IRGRP | stat.S_IROTH


def find_token(settings: SiteSettings) -> tuple[Token, str]:
    """What signs the agent in, and where that is from, for messages.

    Raises:
        NotFoundError: the file of the token, or of the secret, is missing.
        InvalidError: it cannot be used.
    """
    if settings.oidc_client_id:
        credentials = ClientCredentials(settings)
        credentials.check()
        return credentials, f"the identity provider, for the client {settings.oidc_client_id}"
    path = settings.token_file
    try:
        token = path.read_text().strip()
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise NotFoundError(f"token file {path} is missing: name another with MUSTER_SITE_TOKEN_FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
        raise InvalidError([Finding("token_file", f"{path} cannot be read: {reason}")]) from error
    if not is_token(token):
        raise InvalidError([Finding("token_file", f"{path} {NOT_ONE}")])
    _mind_mode(path, mode)
    return token, f"MUSTER_SITE_TOKEN_FILE {path}"


def _mind_mode(path: Path, mode: int) -> None:
    # Told, and not refused: a secret that is mounted into a container may be its group's to read, and cannot be changed there.
    if mode & OTHERS_READ:
        log.warning("others can read the agent's token", file=str(path), mode=f"{mode:04o}", remedy=f"chmod 600 {path}")
