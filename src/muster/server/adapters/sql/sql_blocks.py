"""Which statements does a `.sql` file hold? Named blocks: each `-- name: <name>` opens one, which ends at the next."""

import re
from collections.abc import Mapping
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def read_blocks(file_name: str) -> Mapping[str, str]:
    """The blocks of a file beside this module, by name, without their closing semicolons."""
    _, *parts = _NAME.split(files(__package__).joinpath(file_name).read_text(encoding="utf-8"))
    return {name: text.strip().removesuffix(";") for name, text in zip(parts[::2], parts[1::2], strict=True)}
