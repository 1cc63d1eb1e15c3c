"""What is asked of the service about files? Their bytes do not stand in these calls: the shells stream them (`file_transfer`)."""

from muster.client.call import Call
from muster.client.making import BASE, nothing, part, post, reader
from muster.client.shapes.files import FileView, NewFile

OCTETS = "application/octet-stream"


def promise_file(workflow_id: str, promise: NewFile) -> Call[FileView]:
    """Say what will be sent. `upload_file` of the clients does all of it."""
    return post(f"/workflows/{part(workflow_id)}/files", promise, FileView)


def send_file(workflow_id: str, file: str, *, size_bytes: int) -> Call[FileView]:
    """Send the bytes of a file that was promised."""
    headers = {"Content-Type": OCTETS, "Content-Length": str(size_bytes)}
    return Call("PUT", _path(workflow_id, file), reader(FileView), headers=headers)


def fetch_file(workflow_id: str, file: str) -> Call[None]:
    """The bytes of a file. `download_file` of the clients writes them to a disk."""
    headers = {"Accept": f"{OCTETS}, application/json", "Accept-Encoding": "identity"}
    return Call("GET", _path(workflow_id, file), nothing, headers=headers)


def _path(workflow_id: str, file: str) -> str:
    return f"{BASE}/workflows/{part(workflow_id)}/files/{part(file)}"
