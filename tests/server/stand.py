"""What is under test? The whole service over a real database, called as its users, agents and workers call it."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx

from muster.domain.caller import Caller, Role
from muster.domain.errors import UnauthenticatedError
from muster.domain.location import TEST_LOCATIONS, Agent, Location, index_locations
from muster.domain.queue_token import Broker
from muster.server.adapters.folder.files import open_folder
from muster.server.adapters.sql.database import open_database
from muster.server.app import make_app
from muster.server.ports.identity import Identity
from muster.server.ports.mq import QueueKeys
from muster.server.services.activate_workflows import activate_workflows
from muster.server.services.launch_taskforces import launch_taskforces
from muster.server.services.parts import Parts
from muster.server.services.worker_token import enrolment_secret
from muster.settings.parts import ServerSettings
from muster.worker import protocol

USER, STRANGER, OPERATOR, TMS, WMS = "ada", "eve", "olga", "tms", "wms"
KEY = bytes(range(32))
LOCATIONS = (
    Location("local", schedd="local", aliases=("here",)),
    Location("beside", schedd="local", agent=Agent.UPSTREAM, collector="cm.example.org"),
    Location("far", schedd="far"),
    *TEST_LOCATIONS,
)
Json = Any

NEW_TASK: Json = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cat {{INFILE}}",
    "input_queue_aliases": ["in"],
    "output_queue_aliases": ["out"],
    "n_workers": 2,
}
NEW: Json = {"name": "sums", "public_queue_aliases": ["in", "out"], "tasks": [NEW_TASK]}

EWMS_TASK: Json = {
    **NEW_TASK,
    "cluster_locations": ["test-alpha"],
    "task_image": "icecube/my-image:1.2.3",
    "worker_config": {
        "do_transfer_worker_stdouterr": True,
        "max_worker_runtime": 600,
        "n_cores": 1,
        "priority": 99,
        "worker_disk": "512M",
        "worker_memory": 536870912,
        "condor_requirements": "HasX",
    },
    "pilot_config": {
        "tag": "latest",
        "image_source": "auto",
        "environment": {"A": "1", "B": 2, "C": ["x", "y"]},
        "input_files": ["/data/x"],
    },
}
EWMS_NEW: Json = {"public_queue_aliases": ["in", "out"], "tasks": [EWMS_TASK]}


class People:
    """An Identity of people and programs whose tokens are their names."""

    async def identify(self, token: str) -> Caller:
        known = {
            USER: {Role.USER},
            STRANGER: {Role.USER},
            OPERATOR: {Role.USER, Role.OPERATOR},
            TMS: {Role.SYSTEM_TMS},
            WMS: {Role.SYSTEM_WMS},
        }
        if token not in known:
            raise UnauthenticatedError("this token is not known")
        return Caller(token, frozenset(known[token]))

    async def refresh(self) -> None:
        """They stay who they are."""


@dataclass
class Stand:
    """The service, and ways to call it. Paths are given from the root."""

    http: httpx.AsyncClient
    parts: Parts

    async def ask(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        by: str | None = USER,
        headers: Mapping[str, str] = {},
    ) -> httpx.Response:
        """Call a route. `body`: bytes as they are, anything else but None as JSON."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **headers}
        if by is not None:
            sent["authorization"] = f"Bearer {by}"
        return await self.http.request(method, path, content=content, headers=sent)

    async def get(self, path: str, *, by: str = USER) -> Json:
        return ok(await self.ask("GET", path, by=by))

    async def post(self, path: str, body: Json = None, *, by: str = USER, headers: Mapping[str, str] = {}) -> Json:
        return ok(await self.ask("POST", path, {} if body is None else body, by=by, headers=headers))

    # -- our door ------------------------------------------------------------------------------------------------

    async def submit(self, new: Json = NEW, *, by: str = USER) -> Json:
        return await self.post("/muster/v1/workflows", new, by=by)

    async def show(self, workflow: Json) -> Json:
        return await self.get(f"/muster/v1/workflows/{workflow['workflow_id']}")

    async def end(self, workflow: Json, how: str) -> Json:
        return await self.post(f"/muster/v1/workflows/{workflow['workflow_id']}/actions/{how}")

    async def advance(self) -> None:
        """Do what the daemons do with new taskforces."""
        await activate_workflows(self.parts)
        await launch_taskforces(self.parts)

    async def claim(self, agent: str = "site-a", *, held: Sequence[str] = (), **changes: Json) -> Json:
        claim = {"agent": agent, "locations": ["local"], "wait_s": 0, "lease_s": 30, "held": [*held], **changes}
        return await self.post("/muster/v1/site/claims", claim, by=TMS)

    async def report(self, order: Json, what: str, *, agent: str = "site-a", **fields: Json) -> Json:
        return ok(await self.try_report(order, what, agent=agent, **fields))

    async def try_report(self, order: Json, what: str, *, agent: str = "site-a", **fields: Json) -> httpx.Response:
        body = {"agent": agent, "fence": order["fence"], **fields}
        return await self.ask("POST", f"/muster/v1/site/taskforces/{order['taskforce_uuid']}/{what}", body, by=TMS)

    async def start(self, workflow: Json, *, cluster_id: int = 7) -> Json:
        """Bring a workflow's only taskforce to its cluster; returns the order."""
        await self.advance()
        [order] = [one for one in (await self.claim())["start"] if one["workflow_id"] == workflow["workflow_id"]]
        await self.report(order, "submitted", cluster_id=cluster_id, n_workers=2)
        return order

    async def publish(self, workflow: Json, *bodies: Json, close: bool = False) -> Json:
        path = f"/muster/v1/workflows/{workflow['workflow_id']}/queues/in/events"
        return await self.post(path, {"events": [{"body": body} for body in bodies], "close": close})

    # -- workers -------------------------------------------------------------------------------------------------

    async def enrol(self, taskforce_uuid: str, *, proc: int = 0, host: str = "node-1", site: str = "local") -> Json:
        return await self.post(
            protocol.ENROL,
            {
                "protocol": protocol.VERSION,
                "taskforce": taskforce_uuid,
                "secret": enrolment_secret(KEY, taskforce_uuid),
                "cluster": "7",
                "proc": proc,
                "start": 1,
                "host": host,
                "site": site,
                "worker_version": "0.1.0",
            },
        )

    async def step(self, worker: Json, call: int, *, finished: Json = (), want: int = 0) -> Json:
        body = {"call": call, "finished": list(finished), "want": want, "wait_s": 0}
        return await self.post(protocol.STEP, body, by=worker["token"])


def ok(response: httpx.Response) -> Json:
    assert response.is_success, (response.status_code, response.text)
    return response.json()


@contextlib.asynccontextmanager
async def open_stand(
    database_url: str,
    *,
    broker: Broker | None = None,
    queue_keys: QueueKeys | None = None,
    identity: Identity | None = None,
    locations: tuple[Location, ...] = LOCATIONS,
    **settings: Any,
) -> AsyncIterator[Stand]:
    """A service over a database of its own, or, on PostgreSQL, a further one over the same; `identity` None is `People`."""
    chosen = ServerSettings(database_url=database_url, park_s_max=5.0, **settings)
    async with open_database(chosen.database_url, hot_connections=2) as database:
        parts = Parts(
            settings=chosen,
            store=database.store,
            engine=database.engine,
            waking=database.waking,
            identity=identity or People(),
            locations=index_locations(locations),
            worker_key=KEY,
            version="0.1.0",
            broker=broker,
            queue_keys=queue_keys,
            files=None
            if chosen.files_dir is None
            else open_folder(chosen.files_dir, reserve_bytes=chosen.file_reserve_bytes),
        )
        app = make_app(parts)
        transport = httpx.ASGITransport(app=cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://muster.test") as http:
            yield Stand(http, parts)
