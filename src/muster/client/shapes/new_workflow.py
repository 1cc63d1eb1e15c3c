"""What does a person send to begin a workflow? Source of the words: wms.md sections 4, 5 and 14."""

from typing import Literal

import msgspec

from muster.client.shapes.message import Request


class WorkerConfig(Request):
    """What each worker asks of its execution point. Sizes: bytes, or text such as `512M` (binary units)."""

    n_cores: int = 1
    worker_memory: int | str = "512M"
    worker_disk: int | str = "1G"
    max_worker_runtime: int = 24 * 3600
    priority: int = 0
    do_transfer_worker_stdouterr: bool = True
    condor_requirements: str = ""


class PilotConfig(Request):
    """Which pilot runs, with which variables and files."""

    tag: str = "latest"
    image_source: Literal["auto", "cvmfs"] = "auto"
    environment: dict[str, str | int | list[str]] = msgspec.field(default_factory=dict)
    input_files: list[str] = msgspec.field(default_factory=list)


class NewTask(Request):
    """One task of a new workflow.

    `task_args` for an empty `task_image` is the command itself. `timeout_s` null: no limit. `retry_s`: seconds before an event
    whose first attempt failed is tried again, twice as many after each further one. `slots`: events at once a worker. `output`: what of a
    task's output is one event of its output queues: all of it, or each line (each item of a list that `muster.task` gives).
    `max_events`: events that one warm process serves. `brake_attempts`, `brake_share`: the workflow stops itself when of its last
    so many attempts more than this share have failed; 0 attempts: it never does. `input_files`: files at the location's access
    point that appear in the task's working directory.
    """

    cluster_locations: list[str]
    task_image: str
    task_args: str
    input_queue_aliases: list[str]
    output_queue_aliases: list[str] = msgspec.field(default_factory=list)
    n_workers: int = 1
    task_env: dict[str, str] = msgspec.field(default_factory=dict)
    init_image: str = ""
    init_args: str = ""
    init_env: dict[str, str] = msgspec.field(default_factory=dict)
    worker_config: WorkerConfig = msgspec.field(default_factory=WorkerConfig)
    pilot_config: PilotConfig = msgspec.field(default_factory=PilotConfig)
    input_files: list[str] = msgspec.field(default_factory=list)
    attempts: int = 5
    retry_s: float = 2.0
    timeout_s: float | None = None
    warm: bool = False
    max_events: int = 10_000
    infile_ext: str = "in"
    outfile_ext: str = "out"
    output: Literal["file", "lines"] = "file"
    slots: int = 1
    lease_s: float = 60.0
    brake_attempts: int = 100
    brake_share: float = 0.5


class NewWorkflow(Request):
    """POST /muster/v1/workflows. `group`: one of the caller's, whose members may then do what its owner may."""

    tasks: list[NewTask]
    public_queue_aliases: list[str] = msgspec.field(default_factory=list)
    name: str = ""
    priority: int = 50
    finish_when_done: bool = False
    group: str = ""
