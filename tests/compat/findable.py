"""On which objects are queries tried? One workflow of three tasks, its four taskforces in different phases.

Everything is given a letter; a query is tried within the workflow, and what it finds is told in letters.
"""

from dataclasses import dataclass, field
from typing import Any

from compat.exact import Json
from compat.parties import Desk
from compat.samples import request, task, worker_config


@dataclass
class Findable:
    """The workflow.

    Args:
        directives: `A`, `B`, `C` → the object.
        taskforces: `A` (submitted), `Ba` and `Bb` (ready), `C` (ready, after one failed submit) → the object.
    """

    desk: Desk
    workflow: Json
    directives: dict[str, Json] = field(default_factory=dict)
    taskforces: dict[str, Json] = field(default_factory=dict)

    def find_taskforces(self, query: Json) -> str:
        """The letters of the taskforces that are found, in the order of the answer."""
        return self._find("taskforces", "taskforce_uuid", self.taskforces, query)

    def find_directives(self, query: Json) -> str:
        return self._find("task-directives", "task_id", self.directives, query)

    def refuse(self, query: Any, kind: str = "taskforces") -> str:
        """The text with which a query is refused; it stands beside a condition that is right."""
        whole = {"workflow_id": self.workflow["workflow_id"], **query} if isinstance(query, dict) else query
        return self.desk.user.post(f"/query/{kind}", {"query": whole}, status=400).error

    def _find(self, kind: str, key: str, objects: dict[str, Json], query: Json) -> str:
        letters = {one[key]: letter for letter, one in objects.items()}
        found = self.desk.find(kind, {"workflow_id": self.workflow["workflow_id"], **query})
        return " ".join(letters[one[key]] for one in found)


def make_findable(desk: Desk) -> Findable:
    created = desk.create(
        request(
            task(task_image="repo/alpha:1", n_workers=1),
            task(
                task_image="repo/beta.2",
                cluster_locations=["test-alpha", "test-beta"],
                n_workers=5,
                worker_config=worker_config(n_cores=2, do_transfer_worker_stdouterr=False),
                input_queue_aliases=["in", "more"],
                output_queue_aliases=[],
            ),
            task(task_image="Other/gamma", cluster_locations=["test-beta"], n_workers=10, input_queue_aliases=[]),
        )
    )
    a, ba, bb, c = desk.ready_all(created["taskforces"])
    desk.confirm_submit(
        a["taskforce_uuid"],
        cluster_id=101,
        n_workers=1,
        submit_dict={"universe": "vanilla", "request_cpus": 4},
        job_event_log_fpath="/scratch/a.jel",
    )
    desk.fail_submit(c["taskforce_uuid"], "no room")
    findable = Findable(desk, created["workflow"])
    findable.directives = dict(zip("ABC", created["task_directives"], strict=True))
    uuids = {letter: one["taskforce_uuid"] for letter, one in {"A": a, "Ba": ba, "Bb": bb, "C": c}.items()}
    findable.taskforces = {letter: desk.taskforce(uuid) for letter, uuid in uuids.items()}
    return findable
