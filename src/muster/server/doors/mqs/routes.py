"""Where do workflow services reserve and activate queues, people find theirs, and the broker the keys? (mqs.md section 4)

The older version's routes are the same; it only looks less closely at what is sent (mqs.md section 11).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.domain.caller import Role
from muster.domain.queue_token import ISSUER_PATH
from muster.server.doors.access import PUBLIC, SignedIn, roles
from muster.server.doors.audit import note_tokens
from muster.server.doors.documents import find_documents, gives, takes
from muster.server.doors.ewms.naming import said
from muster.server.doors.mq_profiles import MQProfileObject, render_profile
from muster.server.doors.mqs.shapes import (
    Activation,
    GroupAnswer,
    KeySetObject,
    MQGroupObject,
    OldActivation,
    OldReservation,
    PublicAnswer,
    Reservation,
    TryAgainLater,
)
from muster.server.doors.mqs.views import check_reservation, render_group, render_keys, render_shown_group
from muster.server.doors.reading import read_body
from muster.server.services import read_queues
from muster.server.services.activate_queues import NO_PROFILES, activate_queues
from muster.server.services.parts import Parts
from muster.server.services.publish_keys import list_published_keys
from muster.server.services.reserve_queues import reserve_queues

OK = 200
EITHER = {"access": roles(Role.USER, Role.SYSTEM_WMS)}
USERS = {"access": roles(Role.USER)}
SERVICE = {"access": roles(Role.SYSTEM_WMS)}
NO_GROUP, NO_PROFILE = "MQGroup not found", "MQProfile not found"
FRESH = "public, max-age=0, must-revalidate"
"""A broker that meets a key it does not know asks for the set that very moment: a set from before would make it refuse a good token."""


@get(f"/{ISSUER_PATH}/.well-known/jwks.json", opt={"access": PUBLIC}, responses=gives(OK, KeySetObject))
async def list_keys(parts: NamedDependency[Parts]) -> Response[KeySetObject]:
    """4.8"""
    return Response(render_keys(await list_published_keys(parts)), headers={"Cache-Control": FRESH})


@dataclass(frozen=True)
class Version:
    """One version of the door, and how closely it looks at what is sent.

    Args:
        number: what its description calls it.
        may_be_empty: a group may have no queue.
        around: routes that have no version, by their prefix.
    """

    prefix: str
    number: str
    reservation_type: type[OldReservation]
    activation_type: type[Activation | OldActivation]
    may_be_empty: bool
    around: Mapping[str, Sequence[HTTPRouteHandler]]


VERSIONS = (
    Version("/v1/mqs", "1", Reservation, Activation, may_be_empty=False, around={"/": [list_keys]}),
    Version("/v0/mqs", "0.0.0", OldReservation, OldActivation, may_be_empty=True, around={}),
)


def make_handlers(version: Version) -> Sequence[HTTPRouteHandler]:
    """The routes of a version."""

    @get("/", opt=EITHER)
    async def root() -> dict[str, str]:
        """4.1"""
        return {}

    @get("/schema/openapi", opt=EITHER, sync_to_thread=False)
    def openapi(request: SignedIn) -> dict[str, Any]:
        """4.2: the description of this door."""
        return find_documents(request.app).get(version.prefix)

    @post(
        "/workflows/{workflow_id:str}/mq-group/reservation",
        status_code=OK,
        opt=SERVICE,
        operation_class=takes(version.reservation_type),
    )
    async def reserve(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> GroupAnswer:
        """4.3"""
        with said(NO_GROUP, workflow_id):
            wanted = await read_body(request, version.reservation_type)
            check_reservation(workflow_id, wanted, may_be_empty=version.may_be_empty)
            shown = await reserve_queues(
                parts, request.user, workflow_id, aliases=wanted.queue_aliases, public=frozenset(wanted.public)
            )
            note_tokens(request, shown.profiles)
            return render_shown_group(shown)

    @post(
        "/workflows/{workflow_id:str}/mq-group/activation",
        status_code=OK,
        opt=SERVICE,
        operation_class=takes(version.activation_type),
    )
    async def activate(
        request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]
    ) -> GroupAnswer | TryAgainLater:
        """4.4"""
        with said(NO_PROFILES, workflow_id):
            criteria = (await read_body(request, version.activation_type)).criteria
            asked = None if criteria is None else {"priority": criteria.priority}
            shown = await activate_queues(parts, workflow_id, asked)
            if shown is None:
                return TryAgainLater()
            note_tokens(request, shown.profiles)
            return render_shown_group(shown)

    @get("/workflows/{workflow_id:str}/mq-group", opt=SERVICE)
    async def show_group(parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> MQGroupObject:
        """4.5"""
        with said(NO_GROUP, workflow_id):
            return render_group(await read_queues.get_group(parts, workflow_id))

    @get("/mq-profiles/{mqid:str}", opt=SERVICE)
    async def show_profile(request: SignedIn, parts: NamedDependency[Parts], mqid: FromPath[str]) -> MQProfileObject:
        """4.6"""
        with said(NO_PROFILE, mqid):
            shown = await read_queues.get_profile(parts, mqid)
            note_tokens(request, [shown])
            return render_profile(shown)

    @get("/workflows/{workflow_id:str}/mq-profiles/public", opt=USERS)
    async def list_public(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> PublicAnswer:
        """4.7"""
        with said(NO_PROFILES, workflow_id):
            shown = await read_queues.list_public_profiles(parts, request.user, workflow_id)
            note_tokens(request, shown)
            return PublicAnswer([render_profile(one) for one in shown])

    return (root, openapi, reserve, activate, show_group, show_profile, list_public)
