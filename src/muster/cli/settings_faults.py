"""What is wrong with the settings? A fault of pydantic's as one of ours, each setting by the name of its variable."""

from pydantic import ValidationError

from muster.domain.errors import Finding, InvalidError


def render_faults(error: ValidationError, *, prefix: str) -> InvalidError:
    """The findings of a settings class whose variables begin with the prefix."""
    findings = []
    for one in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in one["loc"]]
        name = prefix + path[0].upper() if path else "the settings"
        # A value is shown, since no setting holds a secret: tokens stand in files.
        findings.append(Finding(".".join([name, *path[1:]]), f"{one['msg']} (it is {str(one['input'])[:100]!r})"))
    return InvalidError(findings)
