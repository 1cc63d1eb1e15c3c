"""Slots would take a job, and it does not run: whose turn is it? Room, quotas, limits, and who matches, in sentences."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from muster.site.adapters.htcondor.classads import Values
from muster.site.adapters.htcondor.collector import PoolLook
from muster.site.adapters.htcondor.matching import Matching
from muster.site.adapters.htcondor.resources import RESOURCES

USERS_MAX = 3
"""Users that one sentence names."""
PATIENCE_S = 60.0
"""Seconds for which nothing is said of a job that may run and was not matched yet."""
REJECTED_S = 600.0
"""Seconds for which the negotiator's last word counts."""
_OUT_OF_TURN = frozenset({"submitter limit exceeded", "insufficient priority"})
"""The negotiator's words where a share is used up."""


@dataclass(frozen=True)
class Waiting:
    """What the schedd says of the idle procs of a cluster.

    Args:
        job: the ad of one of them.
        since: when the first one that waits became idle, seconds since the epoch.
        rejection: why the negotiator gave no slot to one like them, in its words, and when; the latest.
        matched_at: when one like them was matched last.
    """

    job: Values
    since: float
    rejection: tuple[str, float] = ("", 0.0)
    matched_at: float = 0.0


def explain_turn(waiting: Waiting, matching: Matching, look: PoolLook, *, now: float, patience_s: float) -> list[str]:
    """Why it was not their turn yet, where a slot would take them; none where nothing is known to keep them but a moment."""
    sentences = [
        *explain_negotiator(look),
        *_explain_schedd(waiting, look),
        *_explain_quota(waiting, matching, look),
        *_explain_rejection(waiting, now),
    ]
    if not matching.free:
        sentences.append(_explain_busy(waiting, matching))
    elif not sentences and abs(waited_s := now - waiting.since) >= patience_s:
        sentences.append(_explain_wait(waiting, matching, waited_s))
    return sentences


def explain_negotiator(look: PoolLook) -> list[str]:
    """There is none."""
    if look.negotiators:
        return []
    sentence = (
        f"Nobody matches jobs with slots: the collector {look.host} knows no negotiator; ask the pool's operator to start it "
        "(condor_negotiator)."
    )
    return [sentence]


def explain_no_slots(look: PoolLook) -> list[str]:
    """The pool is empty."""
    sentence = (
        f"The pool has no slots: no execution point tells the collector {look.host} of any; ask the pool's operator (where "
        f"glide-ins come on "
        "demand, the first may be on its way)."
    )
    return [sentence, *explain_negotiator(look)]


def _explain_schedd(waiting: Waiting, look: PoolLook) -> list[str]:
    name = str(waiting.job.get("globaljobid", "")).partition("#")[0]
    schedd = next((one for one in look.schedds if one.get("name") == name), {})
    running, most = schedd.get("totalrunningjobs"), schedd.get("maxjobsrunning")
    if not isinstance(running, int) or not isinstance(most, int) or running < most:
        return []
    sentence = (
        f"The access point {name} runs as many jobs as it may, {running} of {most}, of all its users together; wait, or ask "
        f"its operator for "
        "more (MAX_JOBS_RUNNING)."
    )
    return [sentence]


def _explain_quota(waiting: Waiting, matching: Matching, look: PoolLook) -> list[str]:
    """The group's own quota, or that of one that it is in."""
    asked = str(waiting.job.get("acctgroup") or "")
    groups = {str(one.get("name")): one for one in look.accounts if one.get("isaccountinggroup") is True}
    cores = matching.requests.get("cpus", 1.0)
    while asked:
        if (group := groups.get(asked)) is not None:
            used, quota = _amount(group, "weightedresourcesused"), _amount(group, "effectivequota")
            if used + cores > quota:
                sentence = (
                    f"The accounting group {asked} has used up its quota: {used:g} of {quota:g} cores, and a worker asks for "
                    f"{cores:g}; wait, "
                    f"or ask the pool's operator for more (GROUP_QUOTA_{asked}), or that of this agent for another group "
                    "(MUSTER_SITE_CONDOR_ACCOUNTING_GROUP)."
                )
                return [sentence]
        asked = asked.rpartition(".")[0]
    return []


def _explain_rejection(waiting: Waiting, now: float) -> list[str]:
    reason, at = waiting.rejection
    if now - at > REJECTED_S or at < waiting.matched_at:
        return []
    if reason.startswith("concurrency limit"):
        sentence = (
            f"The pool runs no more of these workers at once: HTCondor says: {reason}; wait, or ask the pool's operator for "
            f"more, or that of "
            "this agent to do without (ConcurrencyLimits in MUSTER_SITE_CONDOR_ATTRIBUTES)."
        )
        return [sentence]
    if reason in _OUT_OF_TURN:
        sentence = (
            f"It is the turn of others: HTCondor says: {reason}; the share of the pool that is due to this agent's user is "
            f"used up for now: "
            "wait, or ask the pool's operator for a larger one (condor_userprio)."
        )
        return [sentence]
    return []


def _explain_busy(waiting: Waiting, matching: Matching) -> str:
    slots = matching.pick(matching.accepts)
    where = "The one slot that fits is" if len(slots) == 1 else f"All {len(slots)} slots that fit are"
    lack = _describe_lack(slots, matching)
    own = str(waiting.job.get("accountinggroup") or waiting.job.get("owner") or "").partition("@")[0]
    users = _count_cores(slots)
    mine = sum(cores for user, cores in users.items() if user.partition("@")[0] == own)
    others = [(user, cores) for user, cores in users.most_common() if user.partition("@")[0] != own]
    told = ", ".join(f"{user} {cores:g}" for user, cores in others[:USERS_MAX])
    by = f": this agent's user itself has {mine:g} cores there" if mine else ""
    if others:
        more = ", ..." if len(others) > USERS_MAX else ""
        by = f": jobs of others run there ({told}{more} cores; this agent's user: {mine:g})"
    return f"{where} busy now{lack and f' ({lack})'}{by}; wait, or ask for less (n_cores, worker_memory), so that more slots have room."


def _count_cores(slots: Sequence[Values]) -> Counter[str]:
    """Cores in use at these slots, by whom they are accounted to: a group with its user, where a job names one, else the user."""
    cores: Counter[str] = Counter()
    for slot in slots:
        of_children = [slot.get(name) for name in ("childaccountinggroup", "childremoteuser", "childcpus")]
        if all(isinstance(one, list) for one in of_children):
            parts = list(zip(*of_children, strict=False))
        else:
            parts = [(slot.get("accountinggroup"), slot.get("remoteuser"), slot.get("cpus"))]
        for group, user, count in parts:
            if isinstance(name := group or user, str) and isinstance(count, (int, float)):
                cores[name] += int(count)
    return cores


def _describe_lack(slots: Sequence[Values], matching: Matching) -> str:
    """Of what too little is left at each of the slots, where there is such a thing."""
    lacks = []
    for name, asked in matching.requests.items():
        left = max((_amount(slot, name) for slot in slots if slot.get("slottype") == "Partitionable"), default=asked)
        if left < asked:
            resource = RESOURCES[name]
            lacks.append(f"{resource.render_whole(left)} left at most, {resource.render(asked)} asked for")
    return "; ".join(lacks)


def _explain_wait(waiting: Waiting, matching: Matching, waited_s: float) -> str:
    n_free = matching.free.bit_count()
    fit = "1 slot fits and has" if n_free == 1 else f"{n_free} slots fit and have"
    if waited_s < 0:
        return (
            f"{fit} room, and the workers wait since before the access point's clock was set back, by {-waited_s:.0f} s or more: wait; "
            "where it lasts, ask the pool's operator to start the negotiator anew (condor_restart -negotiator)."
        )
    reason, at = waiting.rejection
    said = (
        f"HTCondor's last word is: {reason}"
        if reason and at >= waiting.since
        else "HTCondor has not considered them yet"
    )
    return (
        f"{fit} room, and the workers wait for the next match, since {waited_s:.0f} s; {said}: wait; where it lasts, ask the "
        f"pool's operator why "
        "the negotiator does not get to them (NegotiatorLog)."
    )


def _amount(ad: Values, name: str) -> float:
    value = ad.get(name, 0)
    return float(value) if isinstance(value, (int, float)) else 0.0
