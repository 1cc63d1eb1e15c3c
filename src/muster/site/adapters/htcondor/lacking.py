"""Which files of a cluster's workers are lost, can they be made again, and what becomes of its procs where they cannot?

The folder of a cluster that is in the queue may be damaged, or gone. What was moved aside comes back to the place that HTCondor knows;
script, program and names are made again; settings and enrolment came with the order, and nobody has them any more. A proc that starts
without them is held again and again; so those that wait are held at once, by a subcode of ours, until the files are back.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from muster.site.adapters.durable import write_file
from muster.site.adapters.htcondor import launcher
from muster.site.adapters.htcondor.folder import TaskforceFolder, Workers
from muster.site.adapters.htcondor.hold_policy import BY_HAND, LACKING_SUBCODE
from muster.site.adapters.htcondor.queue import JobStatus, name_cluster
from muster.site.adapters.htcondor.schedd import Action, Schedd

_OF_ORDERS = (launcher.SETTINGS, launcher.ENROL)
_FACTORY = "ProcId =?= undefined"


@dataclass(frozen=True)
class Wanted:
    """What HTCondor brings to a cluster's workers: paths. `inputs`: the user's, under the names that workers see."""

    launcher: str = ""
    own: Sequence[str] = ()
    inputs: Sequence[str] = ()

    @property
    def of_agent(self) -> list[str]:
        """What the agent has made."""
        return [*filter(None, [self.launcher]), *self.own]


async def find_wanted(schedd: Schedd, cluster: int, tag: str) -> Wanted:
    """As its description says. Raises UnavailableError."""
    ads = await schedd.query(
        await name_cluster(schedd, cluster, tag), ["Cmd", "TransferInput"], limit=1, factories=True
    )
    ad = ads[0] if ads else {}
    paths = [path for path in str(ad.get("TransferInput", "")).split(",") if path]
    own = [path for path in paths if PurePath(path).name.startswith(launcher.OWN_PREFIX)]
    return Wanted(str(ad.get("Cmd", "")), own, [path for path in paths if path not in own])


def make_again(folder: TaskforceFolder, place: Path, wanted: Wanted, workers: Workers) -> None:
    """Make what can be made of a cluster whose folder is to be at `place`; what is there stays. Raises OSError."""
    for path in map(PurePath, wanted.of_agent):
        if path.parent != place or is_whole(folder.path / path.name):
            continue
        file = folder.path / path.name
        if path.name == folder.launcher.name:
            write_file(file, launcher.render_launcher(workers.site, workers.hidden).encode())
            file.chmod(0o700)
        elif path.name == launcher.BUNDLE:
            file.unlink(missing_ok=True)
            file.hardlink_to(workers.bundle)
        elif path.name == launcher.INPUTS:
            write_file(file, "".join(f"{PurePath(one).name}\n" for one in wanted.inputs).encode())
        elif path.name == launcher.CA and workers.ca_file is not None:
            shutil.copyfile(workers.ca_file, file)


def list_lacking(paths: Iterable[str]) -> list[str]:
    """Those that are not there, or not what they should be."""
    return [path for path in paths if not is_whole(Path(path))]


def is_whole(file: Path) -> bool:
    """Is it there, with JSON in it where that is to be, as far as this user can see?"""
    if file.name not in _OF_ORDERS:
        return file.is_file()
    try:
        return isinstance(json.loads(file.read_bytes()), dict)
    except (OSError, ValueError):
        return False


async def hold_lacking(schedd: Schedd, cluster: int, tag: str, lacking: Sequence[str]) -> None:
    """Have those that wait not start in vain, and a factory make no more. Raises UnavailableError."""
    waiting = f"{await name_cluster(schedd, cluster, tag)} && (JobStatus == {JobStatus.IDLE:d} || {_FACTORY})"
    await schedd.act(
        Action.HOLD, waiting, reason=f"lost at the access point: {', '.join(lacking)}", code=LACKING_SUBCODE
    )


async def release_lacking(schedd: Schedd, cluster: int, tag: str, *, is_held_whole: bool) -> None:
    """The files are back. `is_held_whole`: somebody wants it held, so it makes no further procs. Raises UnavailableError."""
    ours = f"HoldReasonCode =?= {BY_HAND} && HoldReasonSubCode =?= {LACKING_SUBCODE}"
    factory = "" if is_held_whole else f" || {_FACTORY}"
    cluster_of_tag = await name_cluster(schedd, cluster, tag)
    await schedd.act(Action.RELEASE, f"{cluster_of_tag} && (({ours}){factory})", reason="files are back")


def explain_lacking(cluster: int, tag: str, lacking: Sequence[str]) -> str:
    """What an operator is to do."""
    return (
        f"cluster {cluster} (taskforce {tag}): {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} lost, and cannot be made again: "
        f"its workers that wait are held; put {'it' if len(lacking) == 1 else 'them'} back from a backup, or end the cluster (condor_rm "
        f"{cluster}) and start other workers (muster task add-workers)"
    )
