"""How do files look whose bytes are too many for a message?"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from muster.client.shapes.message import Answer, Request

Content: TypeAlias = Literal["json", "text", "bytes"]
SizeBytes: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 53))]


class NewFile(Request):
    """POST /muster/v1/workflows/{id}/files: what will be sent. `checksum`: `sha256:` and 64 hex digits; `content`: what is in it."""

    size_bytes: SizeBytes
    checksum: str
    content: Content = "bytes"


class FileView(Answer):
    """A file of a workflow. `state`: promised (its bytes are to be sent), stored, or going (it is being removed)."""

    file: str
    workflow_id: str
    size_bytes: int
    checksum: str
    content: str
    state: str
