"""Where do files go in and out? For people under their workflows, for workers under their token; bytes pass through, a piece at a time."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from litestar import Request, get, post, put
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from muster.client.shapes.files import FileView, NewFile
from muster.domain.ids import WORKFLOW_ID
from muster.server.doors.access import CHECKED_BY_ROUTE, PUBLIC, SignedIn, read_bearer
from muster.server.doors.documents import sends_bytes, takes, takes_bytes
from muster.server.doors.file_stream import FileStream
from muster.server.doors.muster.files.views import parse_file_id, read_promise, render_file
from muster.server.doors.reading import parse_id, read_body
from muster.server.ports.file_rows import FileRow
from muster.server.services.keep_files import (
    as_owner,
    as_worker,
    find_file,
    find_held_file,
    promise_file,
    read_file,
    store_file,
)
from muster.server.services.parts import Parts
from muster.server.services.worker_token import WorkerClaims, parse_token

MEDIA_TYPE = "application/octet-stream"
_TOKEN = {"access": PUBLIC, CHECKED_BY_ROUTE: True}


@post("/workflows/{workflow_id:str}/files", status_code=201, operation_class=takes(NewFile))
async def promise(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> FileView:
    """Say what will be sent. The same promise again gives the same file; one that is `stored` need not be sent."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    promised = read_promise(await read_body(request, NewFile))
    return render_file(await promise_file(parts, as_owner(request.user, workflow_id), promised))


@put(
    "/workflows/{workflow_id:str}/files/{file:str}",
    status_code=200,
    request_max_body_size=None,
    operation_class=takes_bytes(MEDIA_TYPE),
)
async def send(
    request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str], file: FromPath[str]
) -> FileView:
    """Send the bytes of a file that was promised; what is not what was promised is refused."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    row = await store_file(parts, as_owner(request.user, workflow_id), parse_file_id(file), _read(request))
    return render_file(row)


@get("/workflows/{workflow_id:str}/files/{file:str}", responses=sends_bytes(MEDIA_TYPE))
async def fetch(
    request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str], file: FromPath[str]
) -> ASGIApp:
    """The bytes of a file. An answer that ends before its length is of a damaged file."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    return _stream(parts, await find_file(parts, request.user, workflow_id, parse_file_id(file)))


@post("/worker/files", status_code=201, opt=_TOKEN, operation_class=takes(NewFile))
async def promise_result(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> FileView:
    """A worker says what result it will send; as for people."""
    claims = _claims(request, parts)
    promised = read_promise(await read_body(request, NewFile))
    return render_file(await promise_file(parts, as_worker(claims), promised))


@put(
    "/worker/files/{file:str}",
    status_code=200,
    opt=_TOKEN,
    request_max_body_size=None,
    operation_class=takes_bytes(MEDIA_TYPE),
)
async def send_result(request: Request[Any, Any, Any], parts: NamedDependency[Parts], file: FromPath[str]) -> FileView:
    """A worker sends the bytes of its result."""
    claims = _claims(request, parts)
    return render_file(await store_file(parts, as_worker(claims), parse_file_id(file), _read(request)))


@get("/worker/files/{file:str}", opt=_TOKEN, responses=sends_bytes(MEDIA_TYPE))
async def fetch_input(request: Request[Any, Any, Any], parts: NamedDependency[Parts], file: FromPath[str]) -> ASGIApp:
    """The bytes of an event that the worker holds."""
    claims = _claims(request, parts)
    return _stream(parts, await find_held_file(parts, claims, parse_file_id(file)))


handlers: Sequence[HTTPRouteHandler] = (promise, send, fetch, promise_result, send_result, fetch_input)


def _claims(request: Request[Any, Any, Any], parts: Parts) -> WorkerClaims:
    return parse_token(parts.worker_key, read_bearer(request), now_s=parts.desk.clock())


def _read(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    return request.stream()


def _stream(parts: Parts, row: FileRow) -> ASGIApp:
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(row.ref.size_bytes),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Muster-Checksum": row.ref.checksum,
    }
    return FileStream(read_file(parts, row.ref), headers, subject=row.ref.file)
