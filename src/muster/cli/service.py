"""Which service does a command speak to, and as whom?

What was typed goes before every variable. Order of the address: `--url`, `address` in the folder that `--dir` names, `MUSTER_URL`,
`address` in the folder of `muster up` (`MUSTER_DIR`, `./.muster`). Of the token: `--token-file`, `token` in the folder that `--dir` names,
`MUSTER_TOKEN`, `MUSTER_TOKEN_FILE`, an identity provider's for the program that `MUSTER_CLIENT_OIDC_CLIENT_ID` names, `token` in the
folder of `muster up`. A token is never an argument.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Group, Parameter

from muster.cli.console import say
from muster.client.address import NOT_ONE, Token, is_token, parse_address
from muster.client.patience import Patience
from muster.client.synchronous import Client
from muster.domain.errors import Finding, InvalidError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from muster.client.client_credentials import ClientCredentials

DIRECTORY_DEFAULT = Path(".muster")
IS_EMPTY = "is empty: give it a value, or unset it"
"""Of a variable."""
_OIDC = "MUSTER_CLIENT_OIDC_"
PATIENCE = Patience(first_s=1.0, later_s=60.0, tell=say)
"""Somebody waits for the news that nothing runs there; but a service that has answered may be restarted meanwhile."""


@Parameter(name="*", group=Group("Service", sort_key=100))
@dataclass(frozen=True, kw_only=True)
class Service:
    """Options that every command has."""

    url: str | None = None
    """Address of the service. Otherwise that of --dir, otherwise MUSTER_URL, otherwise that of the `muster up` of this folder."""
    token_file: Path | None = None
    """File that holds your token. Otherwise that of --dir, otherwise MUSTER_TOKEN, MUSTER_TOKEN_FILE, or the token of `muster up`."""
    dir: Path | None = None
    """Folder of `muster up`; its address and token go before all variables. Otherwise MUSTER_DIR, otherwise ./.muster"""
    json: bool = False
    """Write the answer as JSON."""
    debug: bool = False
    """Show the trace of an error."""


HERE = Service()


@dataclass(frozen=True)
class Target:
    """A service found, and what signs the caller in; the token is kept out of every rendering. `source`: where that is from."""

    url: str
    token: Token
    source: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"Target({self.url!r}, token={'set' if self.token else None})"


def connect(service: Service) -> Client:
    """A client of the service that the options name. Raises what `find_target` raises."""
    target = find_target(service, os.environ)
    token_from = "" if target.token is None else target.source
    return Client(target.url, target.token, patience=PATIENCE, token_from=token_from)


def find_directory(directory: Path | None, environment: Mapping[str, str]) -> Path:
    """The folder of `muster up`. Raises InvalidError: it is named by an empty variable."""
    return directory or Path(_find_variable(environment, "MUSTER_DIR") or DIRECTORY_DEFAULT)


def list_exports(service: Service, environment: Mapping[str, str]) -> list[str]:
    """Lines for a shell in which the commands that are shown behind them reach the same service as the options that were typed."""
    place = {"MUSTER_URL": service.url, "MUSTER_TOKEN_FILE": service.token_file, "MUSTER_DIR": service.dir}
    exports = [
        f"export {name}={shlex.quote(str(value.absolute() if isinstance(value, Path) else value))}"
        for name, value in place.items()
        if value is not None
    ]
    return [*list_unsets(service, environment), *exports]


def list_unsets(service: Service, environment: Mapping[str, str]) -> list[str]:
    """The line, where one is needed, that takes away the variables to which the options that were typed do not leave the word."""
    over_dir = service.dir is not None and service.url is None
    over_token = _find_typed_token(service) is not None
    in_the_way = {
        "MUSTER_URL": over_dir,
        "MUSTER_TOKEN": over_token or service.token_file is not None,
        "MUSTER_TOKEN_FILE": over_token,
        **{name: over_token for name in sorted(environment) if name.startswith(_OIDC)},
    }
    names = [name for name, is_over in in_the_way.items() if is_over and name in environment]
    return [f"unset {' '.join(names)}"] if names else []


def find_target(service: Service, environment: Mapping[str, str]) -> Target:
    """Look up address and token.

    Raises:
        UnavailableError: no address is named and no `muster up` has been here.
        InvalidError: the address or the token file cannot be used, or a variable that is asked for is empty.
        NotFoundError: a token file that was named does not exist.
    """
    directory = find_directory(service.dir, environment)
    named = service.url or (_find_variable(environment, "MUSTER_URL") if service.dir is None else None)
    address = parse_address(named or _read_address(directory, is_typed=service.dir is not None))
    # The folder's token belongs to the folder's service: it goes to no other machine.
    return Target(address.url, *_find_token(service, environment, directory if address.is_loopback else None))


def _read_address(directory: Path, *, is_typed: bool) -> str:
    file = directory / "address"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        remedy = (
            f"Start one with `muster up --dir {shlex.quote(str(directory))}`, or name another with --url or --dir"
            if is_typed
            else "Start one here with `muster up`, or name one with --url, MUSTER_URL, or --dir (the folder of a `muster up`)"
        )
        raise UnavailableError(f"no service is known: there is no {file}. {remedy}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError([Finding(str(file), f"cannot be read: {error}")]) from error


def _find_token(service: Service, environment: Mapping[str, str], directory: Path | None) -> tuple[Token, str]:
    """The token, and where it is from."""
    if service.token_file is not None:
        return _read_token(service.token_file, source="--token-file"), f"--token-file {service.token_file}"
    if directory is not None and (typed := _find_typed_token(service)) is not None:
        return _read_token(typed, source=str(typed)), str(typed)
    return _find_untyped_token(environment, directory)


def _find_untyped_token(environment: Mapping[str, str], directory: Path | None) -> tuple[Token, str]:
    if token := _find_variable(environment, "MUSTER_TOKEN"):
        return _check_token(token, source="MUSTER_TOKEN"), "MUSTER_TOKEN"
    if path := _find_variable(environment, "MUSTER_TOKEN_FILE"):
        return _read_token(Path(path), source="MUSTER_TOKEN_FILE"), f"MUSTER_TOKEN_FILE {path}"
    if has_credentials(environment):
        return (
            make_credentials(),
            f"the identity provider, for the client {environment.get(f'{_OIDC}CLIENT_ID')}",
        )
    if directory is not None and (file := directory / "token").exists():
        return _read_token(file, source=str(file)), str(file)
    return None, "nowhere"


def _find_typed_token(service: Service) -> Path | None:
    """The token of the folder that was typed, where no other token was, nor a service on another machine."""
    if service.dir is None or service.token_file is not None:
        return None
    is_near = service.url is None or parse_address(service.url).is_loopback
    return file if is_near and (file := service.dir / "token").exists() else None


def has_credentials(environment: Mapping[str, str]) -> bool:
    """Is a program named that an identity provider gives tokens to?"""
    return any(name.startswith(_OIDC) for name in environment)


def make_credentials() -> "ClientCredentials":
    """Imported where they are wanted: most commands do without. Raises InvalidError, NotFoundError."""
    from muster.cli.settings_faults import read_settings
    from muster.client.client_credentials import ClientCredentials
    from muster.settings.parts import ClientSettings

    credentials = ClientCredentials(read_settings(ClientSettings))
    credentials.check()
    return credentials


def _find_variable(environment: Mapping[str, str], name: str) -> str | None:
    """None where it is not set. What is set to nothing is a script's mistake, and must not lead to another service or caller."""
    text = environment.get(name)
    if text == "":
        raise InvalidError([Finding(name, IS_EMPTY)])
    return text


def _read_token(file: Path, *, source: str) -> str:
    try:
        return _check_token(file.read_text(), source=f"{source} {file}" if source != str(file) else source)
    except FileNotFoundError:
        raise NotFoundError(f"{source}: there is no file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
        raise InvalidError([Finding(source, f"{file} cannot be read: {reason}")]) from error


def _check_token(text: str, *, source: str) -> str:
    token = text.strip()
    if not is_token(token):
        raise InvalidError([Finding(source, NOT_ONE)])
    return token
