"""Which pilot is meant by a tag? The images in a folder say so, where there is one (wms.md 14.1)."""

import re
from collections.abc import Collection
from pathlib import Path

import anyio
import anyio.to_thread

from muster.domain.errors import UnavailableError

LOOK_S_MAX = 5.0
FOLDER = "pilot_images_dir"
"""What the folder is called in the settings."""
_VERSION = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")
_IMAGE = "ewms-pilot:"
NOT_FOUND = (
    "Pilot image tag not found. It is possible that the image has not finished uploading to its registry. "
    "If this error persists, contact an EWMS admin."
)


async def list_pilot_tags(folder: Path) -> frozenset[str]:
    """The tags of the images in a folder. Raises UnavailableError when the folder does not answer (a mount may hang)."""

    def look() -> frozenset[str]:
        return frozenset(one.name.removeprefix(_IMAGE) for one in folder.iterdir() if one.name.startswith(_IMAGE))

    try:
        with anyio.fail_after(LOOK_S_MAX):
            return await anyio.to_thread.run_sync(look, abandon_on_cancel=True)
    except (TimeoutError, OSError) as error:
        reason = f"no answer in {LOOK_S_MAX:.0f} s" if isinstance(error, TimeoutError) else error.strerror
        raise UnavailableError(
            f"the folder of pilot images, {folder}, cannot be read ({reason}): until it can, no workflow is taken for upstream's "
            "agent (MUSTER_PILOT_IMAGES_DIR)"
        ) from error


def find_pilot_tag(tag: str, known: Collection[str] | None, *, own: str) -> str | None:
    """The tag to store.

    Args:
        tag: as requested; a leading `v` of a version does not count, `latest` is the highest version.
        known: tags that there are; None: no image is run by it, so a tag is taken as given, and the latest is our own.
        own: our version.

    Returns:
        None when there is no such pilot.
    """
    plain = tag.removeprefix("v") if _VERSION.fullmatch(tag) else tag
    if known is None:
        return own if tag == "latest" else plain
    if tag in known and tag != "latest":
        return tag
    if tag == "latest":
        versions = [(tuple(map(int, match.groups())), one) for one in known if (match := _VERSION.fullmatch(one))]
        return max(versions)[1] if versions else None
    return plain if plain in known else None
