"""What is the schedd asked through HTCondor's own bindings? Calls that block, with plain values in and out, for `schedd.Schedd`.

The bindings have one error for everything (htcondor-notes.md 1). So whoever changes something and is answered by an error cannot know
whether it was done: `UnavailableError` says so, and the caller asks the queue. What the schedd itself refused is told by what it says.
"""

import contextlib
import re
import warnings
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import classad2
import htcondor2

from muster.domain.errors import RejectedError, UnavailableError
from muster.site.adapters.htcondor.classads import Values, read_ads

BY_REQUIREMENT = "Unable to commit transaction, SCHEDD:"
NO_FACTORIES = "Failed to send submit digest"
SUBMIT_REFUSED = (
    "Failed to create job ad",
    "expected next ProcId",
    "Failed to create new proc",
    "Failed to create new cluster.SCHEDD:",  # the user is disabled, say, or MAX_JOBS_SUBMITTED is reached
    "errmsg=Submit",
    BY_REQUIREMENT,
    NO_FACTORIES,
)
"""What stands in HTCondor's text when a description, the number of procs, or the user was refused: then nothing was placed. A commit of
which nobody has said that it failed is none of these. Nor is a user without the right to submit (DENIED): an operator mends that."""
_SAID = re.compile(r"SCHEDD:\d+:\s*(.+)")


def identify(name: str) -> tuple[str, tuple[str, ...]]:
    """See `Schedd.identify`: the schedd's own name, and the users for whom it may take us. `name`, here and below: of the schedd."""
    with schedd_errors("ping", name):
        ad = _locate_ad(name)
        identity = str(htcondor2.ping(ad, "WRITE").get("MyRemoteUserName") or "")
        if not identity:
            raise UnavailableError(f"the schedd {name or 'of this machine'} does not say for whom it takes this agent")
        # One that is older says `User` of a job by the account and its own domain, whatever the domain of the identity.
        of_domain = f"{identity.partition('@')[0]}@{_find_domain(ad)}"
        return str(ad.get("Name", "")), tuple(dict.fromkeys((identity, of_domain)))


def submit(name: str, description: Mapping[str, str], count: int) -> int:
    """See `Schedd.submit`."""
    with schedd_errors("submit", name):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a requirement that only warns; it was placed
                return int(_locate(name).submit(htcondor2.Submit(dict(description)), count=count).cluster())
        except htcondor2.HTCondorException as error:
            text = str(error)
            if any(words in text for words in SUBMIT_REFUSED):
                raise RejectedError(explain_refusal(text, count)) from error
            raise


def query(name: str, constraint: str, attributes: Sequence[str], limit: int, factories: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - positions cross the border
    """See `Schedd.query`."""
    options = htcondor2.QueryOpt.IncludeClusterAd if factories else htcondor2.QueryOpt.Default
    with schedd_errors("query", name):
        return _plain(_locate(name).query(constraint, list(attributes), limit=limit, opts=options), attributes)


def query_numbers(name: str, constraint: str, attributes: Sequence[str]) -> bytes:
    """See `Schedd.query_numbers`: the bytes of an array of them."""
    with schedd_errors("query", name):
        ads = _locate(name).query(constraint, list(attributes))
    values = (ad.get(attribute) for ad in ads for attribute in attributes)
    return array("q", (int(value) if isinstance(value, (int, float)) else 0 for value in values)).tobytes()


def find_whole(name: str, constraint: str) -> Values | None:
    """See `Schedd.find_whole`."""
    with schedd_errors("query", name):
        return next(iter(read_ads(_locate(name).query(constraint, limit=1))), None)


def history(name: str, constraint: str, attributes: Sequence[str], match: int, since: str) -> list[dict[str, Any]]:
    """See `Schedd.history`."""
    further = {"since": since} if since else {}
    with schedd_errors("history", name):
        return _plain(_locate(name).history(constraint, list(attributes), match=match, **further), attributes)


def act(name: str, action: str, constraint: str, reason: str, code: int) -> tuple[int, int, int]:
    """See `Schedd.act`. `action`: as `htcondor2.JobAction` has it. Returns how many it was done to, who forbid it, and that refused it."""
    with schedd_errors(action, name):
        # A plain text would be lost: the bindings pass on only a pair (htcondor-notes.md 4).
        told = _locate(name).act(htcondor2.JobAction[action], constraint, reason=(reason, str(code)))
        refused = int(told["TotalBadStatus"]) + int(told["TotalError"])
        return int(told["TotalSuccess"]), int(told["TotalPermissionDenied"]), refused


def find_programs() -> str:
    """The folder of HTCondor's own programs, by its configuration."""
    return str(htcondor2.param.get("BIN", ""))


def check_expression(text: str) -> str | None:
    """Why a text is no ClassAd expression; None: it is one."""
    try:
        classad2.ExprTree(text)
    except classad2.ClassAdException as error:
        return str(error)
    return None


@contextlib.contextmanager
def schedd_errors(what: str, name: str) -> Iterator[None]:
    """HTCondor's errors in; UnavailableError out, naming the call and the schedd."""
    try:
        yield
    except (htcondor2.HTCondorException, OSError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnavailableError(f"{what}: the schedd {name or 'of this machine'} says: {said}") from error


def explain_refusal(text: str, count: int) -> str:
    """HTCondor's words in one line, and what they mean where they do not say it."""
    said = " ".join(text.split())
    if "expected next ProcId" in said or "Failed to create new proc" in said:
        return (
            f"n_workers {count}: the schedd takes no more procs in one submission, or of one owner: MAX_JOBS_PER_SUBMISSION and "
            f"MAX_JOBS_PER_OWNER of its configuration (it says: {said})"
        )
    if NO_FACTORIES in said:
        return (
            f"n_workers {count}: the schedd takes no clusters that are made bit by bit: SCHEDD_ALLOW_LATE_MATERIALIZE of its "
            f"configuration, or a larger MUSTER_SITE_CONDOR_FACTORY_FROM (it says: {said})"
        )
    words = _SAID.search(said)
    if words is None:
        return said
    by = " by its SUBMIT_REQUIREMENT_NAMES" if BY_REQUIREMENT in said else ""
    return f"the schedd refuses it{by}: {words[1]}"


def _locate(name: str) -> htcondor2.Schedd:
    """Made anew for each call: it remembers an address, and a schedd that was started again has another."""
    return htcondor2.Schedd(_locate_ad(name)) if name else htcondor2.Schedd()


def _locate_ad(name: str) -> Any:
    collector, kind = htcondor2.Collector(), htcondor2.DaemonType.Schedd
    found = collector.locate(kind, name) if name else collector.locate(kind)
    if not found:
        raise UnavailableError(
            f"the collector knows no schedd {name or 'of this machine'!r}: MUSTER_SITE_CONDOR_SCHEDD"
        )
    return found


def _find_domain(ad: Any) -> str:
    try:
        return str(htcondor2.RemoteParam(ad).get("UID_DOMAIN") or "")
    except htcondor2.HTCondorException:  # not told to everybody
        return ""


def _plain(ads: Sequence[Any], attributes: Sequence[str]) -> list[dict[str, Any]]:
    plain: list[dict[str, Any]] = []
    for ad in ads:
        values = ((name, _unwrap(ad.get(name))) for name in attributes)
        plain.append({name: value for name, value in values if isinstance(value, (str, int, float, bool, dict))})
    return plain


def _unwrap(value: object) -> object:
    """An ad within an ad becomes a dictionary of its plain values."""
    if not isinstance(value, classad2.ClassAd):
        return value
    inner = ((str(name), value.get(name)) for name in value)
    return {name: one for name, one in inner if isinstance(one, (str, int, float, bool))}
