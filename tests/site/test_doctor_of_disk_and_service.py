"""Does the doctor see what is wrong with the agent's folder, its token, clocks and locations, and what mends it?"""

import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.client.shapes.service import LocationView, TaskforceCounts, Whoami
from muster.settings.parts import SiteSettings
from muster.site.doctor.disk import (
    find_mount,
    judge_open_files,
    judge_room,
    look_directory,
)
from muster.site.doctor.service import (
    Answered,
    judge_caller,
    judge_clock,
    judge_locations,
    judge_service,
    look_service,
    look_token_file,
)
from muster.site.ports.checks import Check, Verdict

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:27 / /net rw,relatime shared:2 - nfs4 server:/net rw,vers=4.2
31 22 0:28 / /srv/with\040blank rw - tmpfs tmpfs rw
32 22 0:29 / /data rw - fuse.sshfs me@there: rw
33 22 0:30 / /data rw master:7 - xfs /dev/sdb1 rw
"""
COUNTS = TaskforceCounts(waiting=2, running=1, stopping=0, held=0)


def location(
    name: str, *, schedd: str = "ap.example", agent: str = "muster", aliases: tuple[str, ...] = ()
) -> LocationView:
    return LocationView(
        name=name, aliases=[*aliases], schedd=schedd, agent=agent, agents=[], taskforces=COUNTS, workers=0
    )


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/var/lib/muster", ("ext4", False)),
        ("/net/muster/.muster", ("nfs4", True)),
        ("/srv/with blank/site", ("tmpfs", False)),
        ("/data/site", ("xfs", False)),  # what was mounted there later hides what was there
        ("/nets", ("ext4", False)),
    ],
)
def test_where_a_path_is_kept_is_the_deepest_mount_and_of_those_the_last(path: str, kept: tuple[str, bool]) -> None:
    mount = find_mount(Path(path), MOUNTS)
    assert mount is not None
    assert (mount.type, mount.is_shared) == kept


def test_lines_that_are_no_mounts_are_passed_over() -> None:
    assert find_mount(Path("/"), "\nnonsense\n1 2 - \n") is None


def verdicts(checks: Iterator[Check]) -> dict[str, Verdict]:
    return {one.what: one.verdict for one in checks}


def test_a_folder_that_can_be_made_is_fine_and_is_not_made(tmp_path: Path) -> None:
    place = tmp_path / "a" / "site"
    assert verdicts(look_directory(place))["directory"] is Verdict.OK
    assert not (tmp_path / "a").exists()


def test_a_file_in_the_folders_place_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "site").touch()
    [check] = look_directory(tmp_path / "site")
    assert check.verdict is Verdict.ERROR
    assert "MUSTER_SITE_DIRECTORY" in check.remedy


def test_a_folder_in_which_others_can_write_is_warned_of(tmp_path: Path) -> None:
    place = tmp_path / "site"
    place.mkdir()
    place.chmod(0o777)
    check = next(look_directory(place))
    assert (check.verdict, check.remedy) == (Verdict.WARNING, f"chmod 700 {place}")
    place.chmod(0o700)
    assert next(look_directory(place)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("free", "verdict"), [(1 << 20, Verdict.ERROR), (500 << 20, Verdict.WARNING), (5 << 30, Verdict.OK)]
)
def test_a_disk_that_is_nearly_full_is_told(free: int, verdict: Verdict) -> None:
    assert judge_room(Path("/d"), free).verdict is verdict


def test_open_files_must_do_for_every_worker_of_this_machine() -> None:
    settings = SiteSettings(workers_max=1000)
    few = judge_open_files(settings, 1024)
    assert few.verdict is Verdict.WARNING
    assert "LimitNOFILE=1256" in few.remedy
    assert judge_open_files(settings, 2000).verdict is Verdict.OK
    assert judge_open_files(settings, resource.RLIM_INFINITY).verdict is Verdict.OK
    assert judge_open_files(SiteSettings(pool="htcondor"), 1024).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [
        (0.3, Verdict.OK),
        (-5.5, Verdict.WARNING),
        (59.0, Verdict.WARNING),
        (-61.0, Verdict.ERROR),
        (None, Verdict.WARNING),
    ],
)
def test_clocks_that_differ_are_warned_of_and_then_an_error(ahead_s: float | None, verdict: Verdict) -> None:
    assert judge_clock(ahead_s).verdict is verdict


def test_a_service_of_another_version_is_warned_of() -> None:
    assert judge_service("https://m", Answered("99.1.0", 0.1, 0.0)).verdict is Verdict.WARNING
    fine = judge_service("https://m", Answered("0.1.7", 0.1, 0.0))
    assert fine.verdict is Verdict.OK
    assert "TLS" in fine.found


def test_a_token_without_the_agents_role_and_one_that_ends_soon_are_told() -> None:
    settings = SiteSettings()
    assert judge_caller(Whoami("me", ["user"]), settings, now=0.0).verdict is Verdict.ERROR
    assert judge_caller(Whoami("me", ["system-tms"]), settings, now=0.0).verdict is Verdict.OK
    soon = judge_caller(Whoami("me", ["system-tms"], expires_at=600.0), settings, now=0.0)
    assert soon.verdict is Verdict.WARNING
    assert "10 min" in soon.found


def test_locations_must_be_known_and_served_by_a_muster_agent_and_of_this_schedd() -> None:
    known = [location("lab", aliases=("here",)), location("old", agent="upstream"), location("far", schedd="other")]
    checks = [*judge_locations(["lab", "here", "old", "far", "typo"], known, schedd="ap.example")]
    assert [one.verdict for one in checks] == [
        Verdict.OK,
        Verdict.OK,
        Verdict.ERROR,
        Verdict.WARNING,
        Verdict.ERROR,
    ]
    assert "2 taskforces wait" in checks[0].found
    assert "MUSTER_SITE_CONDOR_SCHEDD=other" in checks[3].remedy
    assert "far, here, lab, old" in checks[4].found


def test_a_token_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    token.chmod(0o640)
    [check] = look_token_file(SiteSettings(token_file=token))
    assert (check.verdict, check.remedy) == (Verdict.WARNING, f"chmod 600 {token}")


@pytest.mark.anyio
async def test_a_service_that_does_not_answer_ends_the_looks_at_it(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        checks = [one async for one in look_service(SiteSettings(url=url, token_file=tmp_path / "none"))]
    assert [(one.what, one.verdict) for one in checks] == [("token", Verdict.ERROR), ("service", Verdict.ERROR)]


@pytest.mark.anyio
async def test_plain_http_to_another_machine_is_an_error_in_words(tmp_path: Path) -> None:
    settings = SiteSettings(url="http://muster.example.org", token_file=tmp_path / "none")
    checks = [one async for one in look_service(settings)]
    assert "plain HTTP would show your token" in checks[-1].found
