"""Where may a crash hurt? Every moment between a write, an act and its confirmation, by name.

A process reaches a point by `reach(name)`. Under the test variables it kills itself there; otherwise nothing happens.
"""

import os
import signal

CRASH_POINTS = {
    "site.submit.intended": "the journal holds the intent, nothing was submitted",
    "site.submit.acted": "the cluster exists, the journal does not know its id",
    "site.submit.recorded": "the journal knows the cluster, the service was not told",
    "site.submit.confirmed": "the service was told, the journal does not know that",
    "site.stop.intended": "the journal holds that the cluster is to be removed, nothing was done",
    "site.stop.acted": "the cluster is gone, the service was not told",
    "site.stop.confirmed": "the service was told of the removal, the journal does not know that",
    "site.complete.observed": "the last proc has ended, the service was not told",
    "site.complete.confirmed": "the service was told of the end, the journal still holds the taskforce",
    "pool.submit.directory": "a local cluster's directory exists, no worker was started",
    "pool.submit.first": "the first worker of a local cluster was started, the others were not",
    "condor.submit.folder": "a cluster's folder exists, HTCondor has not heard of it",
    "condor.submit.sent": "HTCondor has the cluster, its number is not on disk",
    "condor.submit.noted": "the cluster's number is on disk, the journal does not know it",
    "condor.remove.asked": "HTCondor was told to remove a cluster, nobody has seen that it is gone",
    "condor.remove.gone": "a cluster has left the queue, that is not on disk",
    "worker.enrol.answered": "the worker is enrolled and has not taken a lease",
    "worker.lease.answered": "the worker holds leases and has started no task",
    "worker.task.ended": "a task has ended, its result was not handed in",
    "worker.finish.sent": "results were handed in, the answer was not read",
    "worker.file.sent": "a large result is in the file store, its attempt was not handed in",
    "server.file.promised": "a file is promised, the answer was not sent",
    "server.file.put": "a file's bytes are in the file store, its row does not say so",
    "server.file.stored": "a file's row says that it is there, the answer was not sent",
    "server.step.committed": "a step is committed, its answer was not sent",
    "server.publish.committed": "events are published, the answer was not sent",
    "server.replay.committed": "a batch of dead letters went back, and the workflow is active; the others of the replay did not",
    "server.workflow.committed": "a workflow is stored, the answer was not sent",
    "server.add-workers.committed": "a further taskforce is stored, the answer was not sent",
    "server.deactivate.committed": "a workflow is deactivated, the answer was not sent",
    "server.brake.committed": "a workflow is paused, drained or resumed, the answer was not sent",
    "server.revise.committed": "a task has a new revision, and new taskforces for it, the answer was not sent",
    "server.trust.committed": "a host is trusted, the answer was not sent",
    "server.claim.committed": "taskforces are claimed, the answer was not sent",
    "server.report.committed": "a site's report is stored, the answer was not sent",
    "server.activate.moved": "a workflow is in hand and its taskforces have moved, nothing is committed",
    "server.activate.committed": "taskforces were activated, launch control was not woken",
    "server.reap.committed": "expired leases went back, nobody was woken",
}
"""Name → what is true at that moment. Tests walk all of it, and fail on a `reach` that is not here."""

_wanted = os.environ.get("MUSTER_TEST_CRASH", "")


def reach(name: str) -> None:
    """Pass a crash point. Raises KeyError for a name that is not listed."""
    if name not in CRASH_POINTS:
        raise KeyError(name)
    if name == _wanted:
        _crash_if_any_left(os.environ["MUSTER_TEST_CRASH_FILE"])


def _crash_if_any_left(path: str) -> None:
    """Take one from the number in the file and die; go on when it is 0. The file outlives the process, so it counts them all."""
    import fcntl

    with open(path, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        left = int(file.read() or 0)
        if left <= 0:
            return
        file.seek(0)
        file.truncate()
        file.write(str(left - 1))
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
