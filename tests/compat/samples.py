"""Which requests do clients send? Whole bodies that both versions accept, to be changed a field at a time.

Source: wms.md sections 4.3, 14.1, 14.2 and 20.
"""

import json
import secrets
import time
from typing import Any

from compat.exact import Json

PRINTED_EXAMPLE: Json = json.loads("""
{"public_queue_aliases": ["input-queue", "output-queue"],
 "tasks": [{"cluster_locations": ["sub-2"],
            "input_queue_aliases": ["input-queue"], "output_queue_aliases": ["output-queue"],
            "task_image": "/cvmfs/icecube.opensciencegrid.org/containers/path/to/my-apptainer-container:1.2.3",
            "task_args": "cp {{INFILE}} {{OUTFILE}}",
            "n_workers": 1000,
            "worker_config": {"do_transfer_worker_stdouterr": true, "max_worker_runtime": 600, "n_cores": 1,
                              "priority": 99, "worker_disk": "512M", "worker_memory": "512M"}}]}
""")
"""The request of section 20, as it is printed."""


def worker_config(**changes: Any) -> Json:
    config = {
        "do_transfer_worker_stdouterr": True,
        "max_worker_runtime": 600,
        "n_cores": 1,
        "priority": 99,
        "worker_disk": "512M",
        "worker_memory": "1G",
        "condor_requirements": "",
    }
    return {**config, **changes}


def pilot_config(version: str, **changes: Any) -> Json:
    """A whole `pilot_config`; `image_source` is a field of `/v1` alone."""
    config: Json = {"tag": "latest", "environment": {}, "input_files": []}
    if version == "v1":
        config["image_source"] = "cvmfs"
    return {**config, **changes}


def task(**changes: Any) -> Json:
    one = {
        "cluster_locations": ["test-alpha"],
        "task_image": "example/image:1",
        "task_args": "cp {{INFILE}} {{OUTFILE}}",
        "input_queue_aliases": ["in"],
        "output_queue_aliases": ["out"],
        "worker_config": worker_config(),
        "n_workers": 3,
    }
    return {**one, **changes}


def request(*tasks: Json, **changes: Any) -> Json:
    return {"tasks": list(tasks) or [task()], "public_queue_aliases": ["in", "out"], **changes}


def without(body: Json, *names: str) -> Json:
    return {name: value for name, value in body.items() if name not in names}


def submit_report(**changes: Any) -> Json:
    """What a TMS reports after a submit; the cluster's number is made up."""
    report = {
        "cluster_id": 1 + secrets.randbelow(2**31 - 1),
        "n_workers": 3,
        "submit_dict": {"universe": "container", "request_cpus": 1},
        "job_event_log_fpath": "/scratch/ewms/2026-11-29.tms.jel",
    }
    return {**report, **changes}


def unknown_ids() -> dict[str, str]:
    """Ids of the right form that nothing has, by the name of the path's variable."""
    born, pieces = f"{int(time.time()):x}", [secrets.token_hex(4) for _ in range(3)]
    return {
        "workflow_id": f"WF-{born}-{pieces[0]}",
        "task_id": f"TK-{born}-{pieces[0]}-{pieces[1]}",
        "taskforce_uuid": f"TF-{born}-{pieces[0]}-{pieces[1]}-{pieces[2]}",
        "mqid": f"a{secrets.token_hex(10)}",
    }
