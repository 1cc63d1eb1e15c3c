"""How is a secret written? To a file that its owner alone may read, whole or not at all."""

import os
import secrets
from pathlib import Path

from muster.domain.errors import Finding, InvalidError


def write_secret(path: Path, text: str) -> None:
    """Write a line, in place of what the file had. The file is made anew (0600), so that no one who has the old one open sees it.

    Raises:
        InvalidError: the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "is a folder")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text + "\n")
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidError([Finding(str(path), f"cannot be written: {error.strerror or error}")]) from error
