"""Who did what? One line for every call of a person or a program that may change something, that hands out a queue's token, or that was
not theirs to make.

Written when the answer is made and before it is sent, in one place, for all doors: the guard has noted who called, the framework which
route, and a route may note what it made. A stream of the log of its own (`"stream": "audit"`), which no level turns off. It has names,
never tokens or bodies. What workers do under their own tokens is not in it: that is the account's.
"""

import logging
from collections.abc import Iterable, MutableMapping
from typing import Any, TypeAlias, cast

import msgspec
import structlog
from litestar import Request

from muster.domain.caller import Caller
from muster.server.services.queue_tokens import ShownProfile

READS = {"reads": True}
"""In a route's `opt`, for one that is a POST and changes nothing."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MADE, _REFUSAL, _TOKENS = "muster_made", "muster_refusal", "muster_tokens"

AnyScope: TypeAlias = MutableMapping[str, Any]

_log = structlog.wrap_logger(
    None,
    wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    stream="audit",
)


class _Named(msgspec.Struct):
    workflow_id: str


class _Wrapped(msgspec.Struct):
    workflow: _Named


def note_made(request: Request[Any, Any, Any], answer: bytes) -> None:
    """A route made a workflow, or gave the answer of one made earlier: its id, which no path names, is the object of the line."""
    try:
        made = msgspec.json.decode(answer, type=_Named).workflow_id
    except msgspec.ValidationError:  # the door for EWMS clients puts it into an object of its own
        made = msgspec.json.decode(answer, type=_Wrapped).workflow.workflow_id
    cast("AnyScope", request.scope)[_MADE] = made


def note_refusal(request: Request[Any, Any, Any], reason: str) -> None:
    """The caller is known and may not do this."""
    cast("AnyScope", request.scope)[_REFUSAL] = reason


def note_tokens(request: Request[Any, Any, Any], shown: Iterable[ShownProfile]) -> None:
    """The answer holds the tokens of these queues, where they have one: whoever has it can use the queue, so it is told whose it was."""
    queues = [f"{one.grouped.group.workflow_id}/{one.grouped.profile.alias}" for one in shown if one.token is not None]
    if queues:
        cast("AnyScope", request.scope)[_TOKENS] = queues


def write_audit(scope: AnyScope, *, status: int | None, at: float) -> None:
    """Write the line of a request, if it is to have one.

    Args:
        status: HTTP status of its answer; 500 for one that gets none, None for one that is cut off because the service stops.
        at: when the request came, seconds since the epoch.
    """
    caller, refusal, queues = scope.get("user"), scope.get(_REFUSAL), scope.get(_TOKENS)
    if not isinstance(caller, Caller) or (refusal is None and queues is None and _is_harmless(scope)):
        return
    _log.info(
        "call",
        name=caller.name,
        issuer=caller.issuer,
        action=f"{scope['method']} {scope.get('path_template') or scope['path']}",
        object=scope.get(_MADE) or _name_object(scope),
        outcome=_name_outcome(status, is_refused=refusal is not None),
        status=status,
        reason=refusal,
        request_id=scope.get("request_id"),
        at=round(at, 3),
        **({} if queues is None else {"tokens_of": queues}),
    )


def _is_harmless(scope: AnyScope) -> bool:
    handler = scope.get("route_handler")
    return scope["method"] in _SAFE or (handler is not None and handler.opt.get("reads", False))


def _name_object(scope: AnyScope) -> str:
    """What the path names, the largest first: `WF-…/in`."""
    return "/".join(str(one)[:200] for one in (scope.get("path_params") or {}).values())


def _name_outcome(status: int | None, *, is_refused: bool) -> str:
    if is_refused:
        return "refused"
    if status is None:
        return "cut off"
    return "done" if status < 400 else "rejected" if status < 500 else "failed"
