"""What of a setting may be shown? Not its secrets."""

import re

import msgspec

from muster.domain.masking import MASK, mask_address

SECRET = re.compile(r".*(_secret|_password|_passphrase|_key)|secret|password|token")
"""Fields that hold nothing but a secret. One that names a file of it does not."""
REQUEST = "oidc_request"
"""A field with names and values that a program sends to its identity provider: some providers want a secret among them."""
_SHOWN_IN_REQUEST = frozenset({"scope", "audience", "resource", "grant_type"})


def mask(field: str, text: str) -> str:
    """A setting's value, without the secrets in it. `text`: also one that is not valid."""
    if SECRET.fullmatch(field):
        return MASK if text else ""
    return _mask_request(text) if field == REQUEST else mask_address(text)


def _mask_request(text: str) -> str:
    """Whatever is not known to be harmless is masked; all of it, where that cannot be told."""
    try:
        request = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError:
        return MASK if text else ""
    shown = {name: value if name in _SHOWN_IN_REQUEST else MASK for name, value in request.items()}
    return mask_address(msgspec.json.encode(shown).decode())
