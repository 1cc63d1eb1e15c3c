"""How long is kept what clusters left that are over, and are their secrets gone at once?"""

import gzip
import os
from pathlib import Path

import pytest

from muster.domain.errors import RejectedError
from muster.site.adapters.htcondor import launcher
from muster.site.adapters.htcondor.folder import PlacedFile, PoolFolder, Workers
from muster.site.adapters.htcondor.keeping import KeepingRules, Tidied, tidy
from muster.site.ports.pool import ClusterSpec

HOUR = 3600.0


@pytest.fixture
def folder(tmp_path: Path) -> PoolFolder:
    folder = PoolFolder(tmp_path / "pool")
    folder.open()
    return folder


def end(folder: PoolFolder, tag: str, *, at: float, size: int = 1000) -> Path:
    """A cluster that is over and was told of; returns where it is kept."""
    bundle = folder.path / "worker"
    bundle.touch()
    made = folder.make(
        ClusterSpec(2, "s3cret", environment={"X": "y"}), tag=tag, schedd="ap", workers=Workers({}, bundle), now=at
    )
    made.log.write_bytes(b"e" * size)
    (made.outputs / "0.err").write_text("why")
    (made.outputs / "1.err").write_text("")
    made.note_placed(PlacedFile(7))
    folder.forget(made, 7)
    place = folder.ended / f"{tag}.7"
    for path in [place, *place.rglob("*")]:
        os.utime(path, (at, at))
    return place


def test_a_secret_is_kept_no_longer_than_its_cluster(folder: PoolFolder) -> None:
    place = end(folder, "TF-1", at=0)

    left = [path for path in folder.path.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert left == []
    assert not (place / launcher.BUNDLE).exists()
    assert {path.name for path in place.iterdir()} >= {"events.log", "outputs", "cluster.json"}
    assert folder.list_forgotten("TF-1") == [7]


def test_what_is_over_gets_small_then_goes(folder: PoolFolder) -> None:
    place = end(folder, "TF-1", at=0)
    rules = KeepingRules(packed_after_s=HOUR, kept_s=10 * HOUR)

    assert tidy(folder, rules, now=HOUR) == Tidied()
    tidy(folder, rules, now=2 * HOUR)
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert {"events.log.gz", "outputs/0.err.gz"} <= names
    assert not any(name.startswith("outputs/1.err") for name in names)
    assert gzip.decompress((place / "events.log.gz").read_bytes()) == b"e" * 1000
    assert tidy(folder, rules, now=9 * HOUR) == Tidied()
    assert tidy(folder, rules, now=11 * HOUR) == Tidied(deleted=1)
    assert not place.exists()


def test_never_more_is_kept_than_there_may_be_and_the_oldest_goes_first(folder: PoolFolder) -> None:
    places = [end(folder, f"TF-{number}", at=number * HOUR, size=10_000) for number in range(4)]

    done = tidy(folder, KeepingRules(packed_after_s=1e9, kept_s=1e9, bytes_max=25_000), now=5 * HOUR)

    assert done == Tidied(deleted=2)
    assert [place.exists() for place in places] == [False, False, True, True]


def test_a_cluster_that_is_not_over_is_no_business_of_the_rules(folder: PoolFolder) -> None:
    bundle = folder.path / "worker"
    bundle.touch()
    made = folder.make(ClusterSpec(1, "s3cret"), tag="TF-1", schedd="ap", workers=Workers({}, bundle), now=0)

    tidy(folder, KeepingRules(packed_after_s=0, kept_s=0, bytes_max=0), now=1e12)

    assert made.read().n_workers == 1
    assert made.launcher.exists()


@pytest.mark.parametrize("name", ["pool/taskforces/TF-1/muster-enrol.json", "token", "link", ".", "folder"])
def test_what_is_the_agents_own_is_nobodys_input(folder: PoolFolder, tmp_path: Path, name: str) -> None:
    bundle, token = folder.path / "worker", tmp_path / "token"
    bundle.touch()
    token.write_text("secret")
    (tmp_path / "link").symlink_to(token)
    (tmp_path / "folder").mkdir()
    workers = Workers({}, bundle, private=[token])
    folder.make(ClusterSpec(1, "s3cret"), tag="TF-1", schedd="ap", workers=workers, now=0)

    with pytest.raises(RejectedError, match=r"nobody's input|no regular file"):
        folder.make(
            ClusterSpec(1, "x", input_files=(str(tmp_path / name),)), tag="TF-2", schedd="ap", workers=workers, now=0
        )

    assert not (folder.path / "taskforces" / "TF-2").exists()


def test_input_that_leads_nowhere_is_refused_like_what_is_missing(folder: PoolFolder, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    bundle = folder.path / "worker"
    bundle.touch()

    spec = ClusterSpec(1, "x", input_files=(str(tmp_path / "loop"),))

    with pytest.raises(RejectedError, match="loop"):
        folder.make(spec, tag="TF-2", schedd="ap", workers=Workers({}, bundle), now=0)
