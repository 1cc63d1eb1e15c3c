"""Which results does a task leave in its output file, and what is it told that it may leave there?"""

from __future__ import annotations

from typing import Dict, Sequence

from muster.worker.addressing import address, check_names, read_names
from muster.worker.child import Cancel
from muster.worker.courier import find_content, find_large
from muster.worker.lines import OUTPUT_BYTES_MAX, read_lines
from muster.worker.protocol import OUTPUT_LINES
from muster.worker.results import read_outfile
from muster.worker.workshop import Workshop

RESULT_BYTES_MAX = "MUSTER_RESULT_BYTES_MAX"
OUTPUTS = "MUSTER_TASK_OUTPUTS"


def read_results(path: str, cancel: Cancel, shop: Workshop) -> Sequence[bytes]:
    """The results in a task's output file, rendered, and addressed to their queues; a large one is sent to the service first.

    Raises ResultError, BrokenOffError.
    """
    names = read_names(path)
    check_names(names, shop.plan)  # before a large result is sent for nothing
    return address(_read_results(path, cancel, shop), names, shop.plan)


def _read_results(path: str, cancel: Cancel, shop: Workshop) -> Sequence[bytes]:
    extension, courier = shop.plan.outfile_ext, shop.courier
    if shop.plan.output == OUTPUT_LINES:
        return read_lines(path, extension)
    if courier is not None and courier.bytes_max and find_large(path):
        return (courier.send(path, find_content(path, extension), cancel),)
    result = read_outfile(path, extension)
    return () if result is None else (result,)


def tell_of_results(shop: Workshop) -> Dict[str, str]:
    """Variables for tasks: the queues that they may name, and how large an output file may be where that is more than 1 MiB."""
    plan, courier = shop.plan, shop.courier
    told = {OUTPUTS: " ".join(plan.outputs)} if plan.knows_outputs else {}
    if plan.output == OUTPUT_LINES:
        told[RESULT_BYTES_MAX] = str(OUTPUT_BYTES_MAX)
    elif courier is not None and courier.bytes_max:
        told[RESULT_BYTES_MAX] = str(courier.bytes_max)
    return told
