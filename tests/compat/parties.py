"""Who takes part in a workflow's life, and what does each of them do? User, starter, stopper and watcher, on one version.

Each step calls as its party does and holds the answer to its shape. Steps that may be refused are called by hand in the
tests.

Source: wms.md sections 1, 4, 8 and 13; tms.md section 3.1.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import requests

from compat.caller import Answer, Caller, Service
from compat.dialects import COLLECTORS, DIALECTS, LogLine
from compat.exact import Json, check
from compat.mqs_shapes import MQGroupObject, MQProfileObject, PublicProfiles, Reserved
from compat.samples import request, submit_report, task
from compat.wms_shapes import Confirmed, Deactivated
from harness.waiting import wait_for

SOON_S = 20.0
"""Within this time the daemons have surely done what they do within a second."""

ROUNDS_MAX = 2000

CONNECTION = ("_AUTH_TOKEN", "_BROKER_TYPE", "_BROKER_ADDRESS")
"""How variables end that say how to reach a queue."""


class Desk:
    """Every party of one service, over one connection.

    Args:
        version: whose routes to use; None means the service's.
    """

    def __init__(self, service: Service, version: str | None = None) -> None:
        self.service = service
        self.dialect = DIALECTS[version or service.version]
        self.session = requests.Session()
        self.user = self.call_as("user")
        self.stranger = self.call_as("stranger")
        self.operator = self.call_as("operator")
        self.tms = self.call_as("system-tms")
        self.wms = self.call_as("system-wms")
        self.nobody = self.call_with(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    @property
    def version(self) -> str:
        return self.dialect.version

    def call_as(self, role: str) -> Caller:
        return self.call_with(f"Bearer {self.service.token(role)}")

    def call_with(self, authorization: str | None, *, prefix: str | None = None) -> Caller:
        """A caller with this header; it speaks this version unless a prefix says otherwise."""
        prefix = f"/{self.version}" if prefix is None else prefix
        return Caller(self.service.url, self.session, prefix, authorization)

    # -- the user ----------------------------------------------------------------------------------------------

    def create(self, body: Json | None = None) -> Json:
        """Create a workflow; the answer, with keys `workflow`, `task_directives` and `taskforces`."""
        answer = self.user.post("/workflows", request() if body is None else body)
        return self._shaped(answer, self.dialect.shapes.created)

    def workflow(self, workflow_id: str) -> Json:
        return self._shaped(self.user.get(f"/workflows/{workflow_id}"), self.dialect.shapes.workflow)

    def directive(self, task_id: str) -> Json:
        return self._shaped(self.user.get(f"/task-directives/{task_id}"), self.dialect.shapes.task_directive)

    def deactivate(self, workflow_id: str, action: str) -> int:
        """Abort or finish; how many taskforces that moved."""
        answer = self.user.post(f"/workflows/{workflow_id}/actions/{action}")
        said = check(answer.body, Deactivated)
        assert said.workflow_id == workflow_id
        return said.n_taskforces

    def add_workers(self, task_id: str, location: str, n_workers: int, *, caller: Caller | None = None) -> Json:
        body = {"cluster_location": location, "n_workers": n_workers}
        answer = (caller or self.user).post(f"/task-directives/{task_id}/actions/add-workers", body)
        return self._shaped(answer, self.dialect.shapes.taskforce)

    def find(self, kind: str, query: Json, *, caller: Caller | None = None) -> list[Json]:
        """Everything of a kind (`workflows`, `task-directives`, `taskforces`) that a query finds, page by page."""
        key, found, after = kind.replace("-", "_"), list[Json](), dict[str, str]()
        for _ in range(ROUNDS_MAX):
            answer = (caller or self.user).post(f"/query/{kind}", {"query": query, **after})
            page = self._shaped(answer, self.dialect.shapes.found[key])
            found += page[key]
            if not page.get("next_after"):
                return found
            after = {"after": page["next_after"]}
        raise AssertionError("the pages do not end")

    # -- anybody -----------------------------------------------------------------------------------------------

    def taskforce(self, uuid: str) -> Json:
        """The taskforce as a TMS reads it."""
        return self._shaped(self.tms.get(f"/taskforces/{uuid}"), self.dialect.shapes.taskforce)

    def found(self, taskforce: Json) -> Json:
        """What a query shows of a taskforce that a TMS has read: on /v0 the queues' connections are for who starts and stops it."""
        config = taskforce["pilot_config"]
        kept = {name: value for name, value in config["environment"].items() if not name.endswith(CONNECTION)}
        return {**taskforce, "pilot_config": {**config, "environment": kept}}

    def log(self, uuid: str) -> list[LogLine]:
        return self.dialect.read_log(self.taskforce(uuid))

    def wait_for_phase(self, uuid: str, phase: str) -> Json:
        """The taskforce, once it has come to this phase."""
        wait_for(lambda: self.taskforce(uuid)["phase"] == phase, f"{uuid} comes to {phase}", deadline_s=SOON_S)
        return self.taskforce(uuid)

    # -- the starter and the stopper ---------------------------------------------------------------------------

    def ask_for(self, what: str, schedd: str, *, caller: Caller | None = None) -> Json | None:
        """The whole answer of `pending-starter` or `pending-stopper`; None when there is nothing to do."""
        query = {"schedd": schedd, "collector": COLLECTORS.get(schedd, "NOWHERE")}
        answer = (caller or self.tms).get(f"/tms/{what}/taskforces", query)
        if answer.body == {}:
            return None
        shapes = self.dialect.shapes
        return self._shaped(answer, shapes.offer if what == "pending-starter" else shapes.taskforce)

    def to_start(self, schedd: str) -> Json | None:
        """The taskforce that the starter is given."""
        offer = self.ask_for("pending-starter", schedd)
        if offer is None or self.version == "v0":
            return offer
        taskforce: Json = offer["taskforce"]
        return taskforce

    def to_stop(self, schedd: str) -> Json | None:
        """The taskforce that the stopper is given."""
        return self.ask_for("pending-stopper", schedd)

    def confirm_submit(self, uuid: str, **changes: Any) -> Json:
        """Confirm a submit; what was reported."""
        report = submit_report(**changes)
        self._confirm(f"/tms/condor-submit/taskforces/{uuid}", uuid, report)
        return report

    def fail_submit(self, uuid: str, error: str) -> None:
        self._confirm(f"/tms/condor-submit/taskforces/{uuid}/failed", uuid, {"error": error})

    def confirm_removal(self, uuid: str) -> None:
        self._confirm(f"/tms/condor-rm/taskforces/{uuid}", uuid, {})

    def fail_removal(self, uuid: str, error: str | None = None) -> None:
        """Report a failed removal; without a text as the TMS does it, with `{}`."""
        self._confirm(f"/tms/condor-rm/taskforces/{uuid}/failed", uuid, {} if error is None else {"error": error})

    # -- the watcher -------------------------------------------------------------------------------------------

    def confirm_complete(self, uuid: str, ended_at: int = 1_790_000_000) -> None:
        self._confirm(f"/tms/condor-complete/taskforces/{uuid}", uuid, {"condor_complete_ts": ended_at})

    # -- the queue service -------------------------------------------------------------------------------------

    def reserve(self, workflow_id: str, aliases: list[str], public: list[str]) -> Json:
        body = {"queue_aliases": aliases, "public": public}
        answer = self.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/reservation", body)
        return self._shaped(answer, Reserved)

    def activate(self, workflow_id: str, priority: int | None = 10) -> Json:
        criteria = None if priority is None else {"priority": priority}
        answer = self.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/activation", {"criteria": criteria})
        return self._shaped(answer, Reserved)

    def group(self, workflow_id: str) -> Json:
        return self._shaped(self.wms.get(f"/mqs/workflows/{workflow_id}/mq-group"), MQGroupObject)

    def profile(self, mqid: str) -> Json:
        return self._shaped(self.wms.get(f"/mqs/mq-profiles/{mqid}"), MQProfileObject)

    def public_profiles(self, workflow_id: str) -> list[Json]:
        answer = self.user.get(f"/mqs/workflows/{workflow_id}/mq-profiles/public")
        profiles: list[Json] = self._shaped(answer, PublicProfiles)["mqprofiles"]
        return profiles

    # -- together ----------------------------------------------------------------------------------------------

    def empty_the_schedds(self) -> None:
        """Leave nothing to start or to stop, so that what is offered afterwards is this test's."""
        for workflow in self.find("workflows", {"deactivated": None}):
            path = f"/workflows/{workflow['workflow_id']}/actions/abort"
            if self.user.post(path, status={200, 403, 404}).status == 403:
                self.operator.post(path, status={200, 404})
        for schedd in COLLECTORS:
            for _ in range(ROUNDS_MAX):
                taskforce = self.to_stop(schedd)
                if taskforce is None:
                    break
                self.confirm_removal(taskforce["taskforce_uuid"])
            assert self.to_start(schedd) is None
            assert self.to_stop(schedd) is None

    def ready(self, **changes: Any) -> Json:
        """A workflow's only taskforce, ready to start; `changes` are its task's."""
        return self.ready_all(self.create(request(task(**changes)))["taskforces"])[0]

    def ready_all(self, taskforces: Iterable[Json]) -> list[Json]:
        return [self.wait_for_phase(one["taskforce_uuid"], "pending-starter") for one in taskforces]

    def bring_to(self, phase: str) -> Json:
        """A workflow's only taskforce, brought to a phase from `pending-starter` on: stopped by an abort, or completed by itself."""
        taskforce = self.ready()
        uuid = taskforce["taskforce_uuid"]
        if phase != "pending-starter":
            self.confirm_submit(uuid)
        if phase in {"pending-stopper", "condor-rm"}:
            assert self.deactivate(taskforce["workflow_id"], "abort") == 1
        if phase == "condor-rm":
            self.confirm_removal(uuid)
        if phase == "condor-complete":
            self.confirm_complete(uuid)
        reached = self.taskforce(uuid)
        assert reached["phase"] == phase
        return reached

    def _confirm(self, path: str, uuid: str, body: Json) -> None:
        answer = self.tms.post(path, body)
        assert check(answer.body, Confirmed).taskforce_uuid == uuid

    @staticmethod
    def _shaped(answer: Answer, shape: type[Any]) -> Json:
        check(answer.body, shape)
        body: Json = answer.body
        return body
