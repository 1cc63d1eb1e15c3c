"""`muster workflow errors --by host` (or `site`), and `muster workflow trust`: which hosts fail what others can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from muster.cli.console import clean, put, put_json, put_table, render_time, say
from muster.cli.failure import OK
from muster.cli.lookup import get_workflow_id
from muster.cli.remedies import say_next
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.hosts import Hosts, HostView

EXAMPLES_OF_TRUST = """Examples:
  muster workflow trust latest c7.example.org

Which hosts rest, and why:
  muster workflow errors latest --by host"""


def trust(workflow: str, host: str, /, *, service: Service = HERE) -> int:
    """Give a host that rests events at once, and judge it afresh: what was wrong with it is mended, or it was not to blame.

    Args:
        workflow: its id, or `latest`.
        host: as `muster workflow errors --by host` names it.
    """
    with connect(service) as client:
        found = client.trust_host(get_workflow_id(client, workflow), host)
    if service.json:
        put_json(found)
    else:
        put(clean(f"{host} is given events again"))
    return OK


def put_places(found: Hosts, by: Literal["host", "site"], service: Service) -> int:
    """Write how each host does, or each site; returns the exit code."""
    if service.json:
        put_json(found if by == "host" else {"workflow_id": found.workflow_id, "sites": add_up_sites(found.hosts)})
    elif by == "host":
        put_hosts(found, service)
    else:
        put_sites(found)
    return OK


def put_hosts(found: Hosts, service: Service) -> None:
    """Write how each host does; for each task, where there are several."""
    if not found.hosts:
        say("no attempt has ended so far")
        return
    tasks = {one.task_id for one in found.hosts}
    put_table(
        (
            *(("task",) if len(tasks) > 1 else ()),
            *("host", "site", "done", "failed", "share", "others could do", "rests until", "last failure"),
        ),
        [
            (
                *((one.task_id,) if len(tasks) > 1 else ()),
                one.host,
                one.site or "-",
                one.done,
                one.failed,
                _render_share(one.done, one.failed),
                one.blamed,
                render_time(one.rests_until),
                one.fingerprint or "-",
            )
            for one in found.hosts
        ],
    )
    resting = [one for one in found.hosts if one.rests_until is not None]
    for one in resting:
        say(clean(f"{one.host} rests until {render_time(one.rests_until)}: {one.reason}"))
    if resting:
        say_next([f"muster workflow trust {found.workflow_id} {resting[0].host}    # if it is all right"], service)


def say_resting(found: Hosts | None) -> None:
    """Tell that hosts rest, if any do."""
    resting = {one.host for one in found.hosts if one.rests_until is not None} if found is not None else set()
    if found is not None and resting:
        what = f"{len(resting)} hosts fail" if len(resting) > 1 else "1 host fails"
        rest = "rest" if len(resting) > 1 else "rests"
        say(f"{what} what others can do, and {rest}: muster workflow errors {found.workflow_id} --by host")


def put_sites(found: Hosts) -> None:
    """Write how each site does."""
    if not found.hosts:
        say("no attempt has ended so far")
        return
    put_table(
        ("site", "hosts", "resting", "done", "failed", "share", "others could do"),
        [
            (
                one.site or "-",
                one.hosts,
                one.resting,
                one.done,
                one.failed,
                _render_share(one.done, one.failed),
                one.blamed,
            )
            for one in add_up_sites(found.hosts)
        ],
    )


@dataclass
class Site:
    """The hosts of a site, added up."""

    site: str
    hosts: int = 0
    resting: int = 0
    done: int = 0
    failed: int = 0
    blamed: int = 0


def add_up_sites(hosts: Sequence[HostView]) -> list[Site]:
    """By site, those with the most failures first; a host counts once, however many tasks it ran."""
    sites: dict[str, Site] = {}
    for one in hosts:
        site = sites.setdefault(one.site, Site(one.site))
        site.done, site.failed, site.blamed = site.done + one.done, site.failed + one.failed, site.blamed + one.blamed
    for name, site in sites.items():
        site.hosts = len({one.host for one in hosts if one.site == name})
        site.resting = len({one.host for one in hosts if one.site == name and one.rests_until is not None})
    return sorted(sites.values(), key=lambda one: (-one.failed, one.site))


def _render_share(done: int, failed: int) -> str:
    ended = done + failed
    return f"{100 * failed / ended:.0f} %" if ended else "-"
