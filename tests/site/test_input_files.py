"""From where may a workflow take input files, and which file is meant by a link?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from muster.domain.errors import RejectedError
from muster.settings.parts import SiteSettings
from muster.site.adapters.htcondor import folder as condor
from muster.site.adapters.processes import folder as processes
from muster.site.ports.pool import ClusterSpec

Make = Callable[[str, list[Path]], list[Path]]
"""Place a cluster with one input file, where files may be taken from these folders; returns what its workers are given."""


def make_condor(tmp_path: Path) -> Make:
    folder = condor.PoolFolder(tmp_path / "pool")
    folder.open()
    (tmp_path / "worker").touch()

    def make(given: str, inputs: list[Path]) -> list[Path]:
        workers = condor.Workers({}, tmp_path / "worker", inputs=inputs)
        spec = ClusterSpec(1, "s3cret", input_files=(given,))
        made = folder.make(spec, tag="TF-1", schedd="ap", workers=workers, now=0.0)
        return [Path(one) for one in made.read().input_files]

    return make


def make_processes(tmp_path: Path) -> Make:
    folder = processes.PoolFolder(tmp_path / "pool")
    folder.open()

    def make(given: str, inputs: list[Path]) -> list[Path]:
        made, _ = folder.make(ClusterSpec(1, "s3cret", input_files=(given,)), tag="TF-1", inputs=inputs)
        return list(made.inputs.iterdir())

    return make


@pytest.fixture(params=[make_condor, make_processes])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    made: Make = request.param(tmp_path)
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder from which files may be taken, with one, beside one with a secret."""
    for name in ("data", "private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "runs.csv").write_text(name)
    return tmp_path / "data"


def test_files_of_the_sites_folders_may_be_taken(make: Make, data: Path) -> None:
    [given] = make(str(data / "runs.csv"), [data])
    assert given.read_text() == "data"


def test_others_may_not_and_the_setting_is_named(make: Make, data: Path) -> None:
    for given in ("private/runs.csv", "data/../private/runs.csv", "data-2/runs.csv"):
        with pytest.raises(RejectedError, match=r"MUSTER_SITE_INPUT_FOLDERS"):
            make(str(data.parent / given), [data])
    with pytest.raises(RejectedError, match=r"\(none\)"):
        make(str(data / "runs.csv"), [])


def test_a_link_out_of_them_leads_nowhere(make: Make, data: Path) -> None:
    (data / "link.csv").symlink_to(data.parent / "private" / "runs.csv")
    (data / "folder").symlink_to(data.parent / "private", target_is_directory=True)
    for name in ("link.csv", "folder/runs.csv"):
        with pytest.raises(RejectedError, match=r"MUSTER_SITE_INPUT_FOLDERS"):
            make(str(data / name), [data])


def test_a_folder_that_is_named_by_a_link_is_that_folder(make: Make, data: Path) -> None:
    (data.parent / "link").symlink_to(data, target_is_directory=True)
    [given] = make(str(data.parent / "link" / "runs.csv"), [data.parent / "link"])
    assert given.read_text() == "data"


def test_a_link_that_is_swapped_after_the_check_is_not_followed_again(make: Make, data: Path) -> None:
    (data / "link.csv").symlink_to("runs.csv")
    [given] = make(str(data / "link.csv"), [data])
    assert given.name == "link.csv"

    (data / "link.csv").unlink()
    (data / "link.csv").symlink_to(data.parent / "private" / "runs.csv")

    assert given.read_text() == "data"


def test_everything_that_the_agent_can_read_may_be_taken_unless_the_operator_lists_folders() -> None:
    assert SiteSettings().input_folders == ("/",)
    assert SiteSettings(input_folders="/data,/cvmfs").input_folders == ("/data", "/cvmfs")  # type: ignore[arg-type]
    assert SiteSettings(input_folders="none").input_folders == ()  # type: ignore[arg-type]
