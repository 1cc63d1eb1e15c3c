"""Do these settings do? All that a start is refused for without asking a server; `muster serve` and `muster settings` both look here.

Nothing is made or changed, and nobody else is asked: files are read.
"""

from collections.abc import Awaitable, Callable

from muster.domain.errors import Finding, InvalidError, UnavailableError
from muster.domain.location import Agent
from muster.server.adapters.certificate_files.certificate import find_certificate
from muster.server.adapters.folder.files import check_folder
from muster.server.adapters.local_token.identity import TokenFileError, check_token
from muster.server.adapters.sql.database import check_address
from muster.server.services.pilot_tag import FOLDER, list_pilot_tags
from muster.settings.parts import ServerSettings
from muster.settings.sign_in import SignIn

Check = Callable[[ServerSettings], Awaitable[None]]


async def check_settings(settings: ServerSettings) -> list[str]:
    """Look at what settings mean together, and at the files that they name.

    Returns:
        What whoever starts the service should know; nothing of it keeps it from starting.

    Raises:
        InvalidError: the service would not start; every fault is a finding, by the field's name.
    """
    findings: list[Finding] = []
    for check in _CHECKS:
        try:
            await check(settings)
        except InvalidError as error:
            findings += error.findings
    if findings:
        raise InvalidError(findings)
    return await _list_remarks(settings)


async def _check_database(settings: ServerSettings) -> None:
    check_address(settings.database_url)


async def _check_broker(settings: ServerSettings) -> None:
    settings.read_broker()


async def _check_queue_keys(settings: ServerSettings) -> None:
    """Keys that no broker wants may be anything."""
    if settings.broker_url and settings.key_files is not None:
        from muster.server.adapters.key_files.pair import KeyFiles  # its cryptography takes long to load

        public, private = settings.key_files
        await KeyFiles(public=public, private=private).check()


async def _check_certificate(settings: ServerSettings) -> None:
    find_certificate(settings.tls_certificate_file, settings.tls_key_file)


async def _check_sign_in(settings: ServerSettings) -> None:
    match settings.way_in:
        case SignIn.OIDC:
            from muster.server.adapters.oidc.identity import read_certificates  # as for the keys

            read_certificates(settings.oidc_ca_file)
        case SignIn.LOCAL:
            try:
                check_token(settings.token_file)
            except TokenFileError as error:
                raise InvalidError([Finding("token_file", str(error))]) from error
        case SignIn.OFF:
            pass


async def _check_files(settings: ServerSettings) -> None:
    if settings.files_dir is not None:
        check_folder(settings.files_dir)


async def _check_pilot(settings: ServerSettings) -> None:
    """Only upstream's agent runs the image that a tag names; at the locations for tests nobody does."""
    theirs = [name for name, one in settings.locations.items() if one.agent is Agent.UPSTREAM]
    if theirs and settings.pilot_images_dir is None:
        reason = (
            f"is not set, and upstream's agent serves {', '.join(theirs)}: name the folder that has the pilot's images "
            "(`ewms-pilot:<tag>`), so that `latest` and misspelt tags are found out; where it is not mounted, a folder with empty "
            "files of those names does"
        )
        raise InvalidError([Finding(FOLDER, reason)])


async def _list_remarks(settings: ServerSettings) -> list[str]:
    """Of the folder of images, which may be a mount that comes later: other work is not to wait for it."""
    if settings.pilot_images_dir is None:
        return []
    try:
        tags = await list_pilot_tags(settings.pilot_images_dir)
    except UnavailableError as error:
        return [str(error)]
    return (
        []
        if tags
        else [f"{settings.pilot_images_dir} (MUSTER_PILOT_IMAGES_DIR) holds no pilot image, `ewms-pilot:<tag>`"]
    )


_CHECKS: tuple[Check, ...] = (
    _check_database,
    _check_certificate,
    _check_sign_in,
    _check_broker,
    _check_queue_keys,
    _check_files,
    _check_pilot,
)
