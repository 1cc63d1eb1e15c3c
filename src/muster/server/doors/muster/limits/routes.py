"""Which limits does this service have, and how much of each is in use?"""

from collections.abc import Sequence

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from muster.client.shapes.service import Limits, LimitView
from muster.server.doors.access import ANYONE, SignedIn
from muster.server.services.parts import Parts
from muster.server.services.read_limits import LimitNow, read_limits


@get("/limits", opt={"access": ANYONE})
async def limits(request: SignedIn, parts: NamedDependency[Parts]) -> Limits:
    """The limits in force, with what is in use of each: by who asks, and to operators by all together."""
    found = await read_limits(parts, request.user)
    return Limits(request.user.name, [_render(one) for one in found])


def _render(one: LimitNow) -> LimitView:
    return LimitView(one.setting, one.what, "owner" if one.is_own else "all", one.at_most, one.in_use)


handlers: Sequence[HTTPRouteHandler] = (limits,)
