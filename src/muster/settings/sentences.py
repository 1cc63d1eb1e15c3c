"""What does each setting mean? The sentence that stands below it in the source.

It is read when somebody asks, and where the source is there. Pydantic can read all of them as it makes the classes, which takes a
twentieth of every command's start.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping

from pydantic import BaseModel


def read_sentences(settings: type[BaseModel]) -> Mapping[str, str]:
    """By the settings' names, on one line each; a setting without a sentence is missing."""
    classes = [
        one for one in reversed(settings.__mro__) if issubclass(one, BaseModel) and one.__module__.startswith("muster.")
    ]
    return {name: sentence for one in classes for name, sentence in _read_own(one).items()}


def _read_own(settings: type[BaseModel]) -> dict[str, str]:
    try:
        source = inspect.getsource(settings)
    except OSError:  # an installation may have the compiled modules alone
        return {}
    [found] = ast.parse(textwrap.dedent(source)).body
    assert isinstance(found, ast.ClassDef)
    sentences: dict[str, str] = {}
    for setting, after in zip(found.body, found.body[1:], strict=False):
        match setting, after:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                sentences[name] = " ".join(text.split())
            case _:
                pass
    return sentences
