"""How do files look on our door?"""

from muster.client.shapes.files import FileView, NewFile
from muster.domain.errors import Finding, InvalidError, NotFoundError
from muster.domain.file import CHECKSUM, FILE_ID, Content, FileRef
from muster.server.ports.file_rows import FileRow


def read_promise(message: NewFile) -> FileRef:
    """What will be sent, as yet without an id. Raises InvalidError."""
    if CHECKSUM.fullmatch(message.checksum) is None:
        raise InvalidError([Finding("checksum", "must be `sha256:` and 64 hex digits in lower case, of all its bytes")])
    return FileRef("", message.size_bytes, message.checksum, Content(message.content))


def parse_file_id(text: str) -> str:
    """Raises NotFoundError for what cannot be one."""
    if FILE_ID.fullmatch(text) is None:
        raise NotFoundError("no file is named so")
    return text


def render_file(row: FileRow) -> FileView:
    """A file, without its bytes."""
    return FileView(
        file=row.ref.file,
        workflow_id=row.workflow_id,
        size_bytes=row.ref.size_bytes,
        checksum=row.ref.checksum,
        content=row.ref.content.value,
        state=row.state.value,
    )
