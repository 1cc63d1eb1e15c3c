"""Which pilot is meant by a tag?"""

from pathlib import Path

import pytest

from muster.domain.errors import UnavailableError
from muster.server.services.pilot_tag import find_pilot_tag, list_pilot_tags

pytestmark = pytest.mark.anyio
KNOWN = frozenset({"1.2.3", "1.10.0", "1.9.9", "branch-0a1b"})


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        ("latest", "1.10.0"),
        ("branch-0a1b", "branch-0a1b"),
        ("9.9.9", None),
        ("vbranch-0a1b", None),
    ],
)
def test_a_tag_is_looked_up(tag: str, found: str | None) -> None:
    assert find_pilot_tag(tag, KNOWN, own="9.9.9") == found


def test_without_a_folder_a_tag_is_taken_as_given() -> None:
    assert find_pilot_tag("latest", None, own="0.1.0") == "0.1.0"
    assert find_pilot_tag("v1.2.3", None, own="0.1.0") == "1.2.3"
    assert find_pilot_tag("fix-abc", None, own="0.1.0") == "fix-abc"
    assert find_pilot_tag("latest", frozenset(), own="0.1.0") is None


async def test_the_folder_says_which_there_are(tmp_path: Path) -> None:
    for name in ("ewms-pilot:1.2.3", "ewms-pilot:branch-0a1b", "other:1.0.0"):
        (tmp_path / name).mkdir()
    assert await list_pilot_tags(tmp_path) == {"1.2.3", "branch-0a1b"}


async def test_a_folder_that_is_not_there_is_told_as_not_answering(tmp_path: Path) -> None:
    with pytest.raises(
        UnavailableError, match=r"/missing, cannot be read \(No such file or directory\).*MUSTER_PILOT_IMAGES_DIR"
    ):
        await list_pilot_tags(tmp_path / "missing")
