"""Whose workflows need the folder of the pilot's images? Those that upstream's agent starts."""

from pathlib import Path

import pytest

from server.stand import EWMS_NEW, EWMS_TASK, NEW, NEW_TASK, Json, Stand, ok, open_stand

pytestmark = pytest.mark.anyio
OURS: Json = {**NEW, "tasks": [{**NEW_TASK, "pilot_config": {"tag": "9.9.9"}}]}


def _tagged(tag: str) -> Json:
    return {**EWMS_NEW, "tasks": [{**EWMS_TASK, "pilot_config": {**EWMS_TASK["pilot_config"], "tag": tag}}]}


async def _tag_of(stand: Stand, path: str, new: Json) -> str:
    [taskforce] = ok(await stand.ask("POST", path, new))["taskforces"]
    return str(taskforce["pilot_config"]["tag"])


async def test_without_the_folder_upstreams_are_told_what_is_missing_and_ours_go_on(
    sqlite_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    async with open_stand(sqlite_url, pilot_images_dir=folder) as stand:
        refused = await stand.ask("POST", "/v1/workflows", EWMS_NEW)
        assert await _tag_of(stand, "/muster/v1/workflows", OURS) == "9.9.9"

        (folder / "ewms-pilot:1.2.3").mkdir(parents=True)
        (folder / "ewms-pilot:1.10.0").touch()
        assert await _tag_of(stand, "/v1/workflows", EWMS_NEW) == "1.10.0"
        assert await _tag_of(stand, "/v1/workflows", _tagged("v1.2.3")) == "1.2.3"
        unknown = await stand.ask("POST", "/v1/workflows", _tagged("9.9.9"))

    assert (refused.status_code, unknown.status_code) == (503, 400)
    assert refused.json()["error"] == (
        f"the folder of pilot images, {folder}, cannot be read (No such file or directory): until it can, no workflow is taken for "
        "upstream's agent (MUSTER_PILOT_IMAGES_DIR)"
    )
