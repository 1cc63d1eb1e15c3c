"""What can be set? Every setting of every part, one sentence each: environment first, then `.env`-like file, then default.

Read once, checked whole, frozen, passed down as values. Names: `MUSTER_<PART>_<FIELD>`; locations are JSON in
`MUSTER_LOCATIONS`. Those of signing in stand in `sign_in`, those of the broker in `broker`. The file is the one that
`MUSTER_SETTINGS_FILE` names (`variables`); the service takes variables of the services that it replaces, too (`upstream_variables`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode, SettingsConfigDict

from muster.domain import pool_defaults
from muster.domain.location import TEST_LOCATIONS, Agent, Location, index_locations
from muster.domain.loopback import is_loopback
from muster.domain.room import Limit
from muster.settings.broker import BrokerSettings
from muster.settings.condor import CondorFields
from muster.settings.retention import RetentionSettings
from muster.settings.sign_in import CredentialSettings, SignIn, SignInSettings, render_open_door
from muster.settings.upstream_variables import UPSTREAM_VARIABLES, Alias, Ignored
from muster.settings.variables import FromVariables, fault_of
from muster.worker.mounts import parse_folders
from muster.worker.settings import parse_writable

Level: TypeAlias = Annotated[
    str,
    BeforeValidator(lambda given: given.lower() if isinstance(given, str) else given),
    Field(pattern="^(debug|info|warning|error)$"),
]
"""In any case."""


class LocationSettings(BaseModel):
    """One location in `MUSTER_LOCATIONS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedd: str = Field(min_length=1)
    agent: Agent = Agent.MUSTER
    aliases: tuple[str, ...] = ()
    collector: str | None = None
    containers: bool = True


class ServerSettings(SignInSettings, BrokerSettings, RetentionSettings):
    """`muster serve`."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_")
    upstream: ClassVar[Mapping[str, Alias | Ignored]] = UPSTREAM_VARIABLES

    database_url: str = Field(default="sqlite:///.muster/muster.db")
    """Where state and queues are kept: `sqlite:///<path>` (made 0600) or `postgresql://<user>@<host>:<port>/<database>`."""

    upgrade_at_start: bool = Field(default=True)
    """Whether the service migrates its database when it starts; off: one that `muster db upgrade` has not brought up to date is refused."""

    host: str = Field(default="127.0.0.1")
    """Address to listen on."""

    port: int = Field(default=0, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    tls_certificate_file: Path | None = Field(default=None)
    """File with the certificate (PEM, with its chain) that the service shows; with it everything is served by https alone."""

    tls_key_file: Path | None = Field(default=None)
    """File with the key (PEM, not encrypted) of that certificate; both may be exchanged while the service runs."""

    token_file: Path = Field(default=Path(".muster/token"))
    """File that holds the token of `local` sign-in, which opens every route (0600); made at the first start where it is missing."""

    shared_workflows: bool = Field(default=False)
    """The rule of the EWMS services: every user, not its owner alone, may finish and abort any workflow, add workers to it and see
    its queues' tokens."""

    locations: dict[str, LocationSettings] = Field(default_factory=dict)
    """Where workers can run: name → schedd, agent (muster or upstream), aliases, collector (EWMS clients see it), containers
    (false: a task with an image is refused there)."""

    test_locations: bool = Field(default=False)
    """Test switch: the locations `test-alpha` and `test-beta` exist."""

    test_reset: bool = Field(default=False)
    """Test switch: operators can empty the whole service (`muster admin reset`)."""

    postgres_hot_connections: int = Field(default=2, ge=1, le=16)
    """Connections to PostgreSQL that the queue engine's hot path uses."""

    submit_failures_max: int = Field(default=2, ge=0)
    """After this many failed submits (or removals) in a row and one more, a taskforce is held and its user sees why."""

    park_max: int = Field(default=200, ge=1)
    """Lease calls that may be parked at once, a task; others are told when to come back."""

    park_s_max: float = Field(default=25.0, gt=0)
    """Seconds that any call may be parked at most."""

    token_ttl_s: float = Field(default=3600.0, ge=1)
    """Seconds that a worker's token is good for; renewed in work."""

    stop_grace_s: float = Field(default=20.0, ge=0)
    """Seconds that workers of a finished workflow may use to end what they have in hand; sites and workers are told."""

    reap_interval_s: float = Field(default=1.0, gt=0)
    """Seconds between two looks for expired sessions."""

    fold_interval_s: float = Field(default=1.0, gt=0)
    """Seconds between two folds of counter changes."""

    tend_interval_s: float = Field(default=2.0, gt=0)
    """Seconds between two vacuums of the hot tables (PostgreSQL)."""

    count_interval_s: float = Field(default=15.0, gt=0)
    """Seconds between two counts of what is in the database, for the metrics; a count that takes long is made more rarely."""

    net_interval_s: float = Field(default=5.0, gt=0)
    """Seconds between two looks of the daemons that are woken by commits, in case a wake was lost."""

    query_bytes_max: int = Field(default=10 << 20, ge=1)
    """Bytes of JSON that the objects of one answer to a query may have together; a single object may have more."""

    queues_max: int | None = Field(default=None, ge=1)
    """Queues of active workflows, and of other workflow services while their tokens are good, at once, in all; a workflow for which there
    is no room waits, another service is told to try again later. Without it: any number."""

    queues_max_per_owner: int | None = Field(default=None, ge=1)
    """Queues of active workflows of one owner at once, as MUSTER_QUEUES_MAX is of all."""

    workers_max: int | None = Field(default=None, ge=1)
    """Workers of active workflows at once, in all; a workflow for which there is no room waits. Without it: any number."""

    workers_max_per_owner: int | None = Field(default=None, ge=1)
    """Workers of active workflows of one owner at once, as MUSTER_WORKERS_MAX is of all."""

    events_max: int | None = Field(default=None, ge=1)
    """Events that wait (results that nobody has consumed, too) or are in work at once, in all; over it no further workflow is let in, and
    those that are in may publish on. Without it: any number."""

    events_max_per_owner: int | None = Field(default=None, ge=1)
    """Events of one owner that wait or are in work at once, as MUSTER_EVENTS_MAX is of all."""

    log_level: Level = Field(default="info")
    """What is logged: debug, info, warning or error."""

    pilot_images_dir: Path | None = Field(default=None)
    """Folder with the images of upstream's pilot, `ewms-pilot:<tag>`; it must be named where upstream's agent serves a location."""

    files_dir: Path | None = Field(default=None)
    """Folder in which bodies over 1 MiB are kept as files (made 0700), the same for every service of the database; without it they are
    refused. Name it when no service and no worker of an older version is left."""

    file_bytes_max: int = Field(default=1 << 30, ge=1)
    """Bytes that one of these files may have."""

    file_reserve_bytes: int = Field(default=1 << 30, ge=0)
    """Bytes that stay free on the disk of MUSTER_FILES_DIR, for whatever else lives there: the database of `muster up`, say."""

    file_sweep_interval_s: float = Field(default=600.0, gt=0)
    """Seconds between two looks for files to which no event refers."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        try:
            index_locations(self.all_locations())
        except ValueError as error:
            raise fault_of("locations", f"{error}. Take it away from one place") from None
        return self

    @property
    def limit(self) -> Limit:
        """How much may be in use at once, in all."""
        return Limit(self.queues_max, self.workers_max, self.events_max)

    @property
    def owner_limit(self) -> Limit:
        """How much of one owner may be in use at once."""
        return Limit(self.queues_max_per_owner, self.workers_max_per_owner, self.events_max_per_owner)

    @model_validator(mode="after")
    def _is_closed_to_others(self) -> Self:
        if self.way_in is SignIn.OFF and not is_loopback(self.host):
            raise PydanticCustomError("sign_in", "{fault}", {"fault": render_open_door(self.host)})
        return self

    def all_locations(self) -> tuple[Location, ...]:
        """The locations as the domain knows them."""
        named = tuple(
            Location(
                name,
                schedd=one.schedd,
                agent=one.agent,
                aliases=one.aliases,
                collector=one.collector,
                containers=one.containers,
            )
            for name, one in self.locations.items()
        )
        return (*named, *(TEST_LOCATIONS if self.test_locations else ()))


class ClientSettings(CredentialSettings):
    """The command line, where it is a program that calls it."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_CLIENT_")


class SiteSettings(CredentialSettings, CondorFields):
    """`muster site`."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_SITE_")

    name: str = Field(default="site", min_length=1, max_length=100)
    """The agent's lasting name; its claims are kept under it."""

    url: str = Field(default="http://127.0.0.1:8765")
    """The service's address."""

    token_file: Path = Field(default=Path(".muster/token"))
    """File that holds the agent's token."""

    locations: Annotated[tuple[str, ...], NoDecode] = Field(default=("local",), min_length=1)
    """Locations that this agent serves, separated by commas. Those that the service does not know are tried again once a minute."""

    directory: Path = Field(default=Path(".muster/site"))
    """Where the journal and the workers' folders are kept."""

    claim_lease_s: float = Field(default=30.0, gt=1)
    """Seconds that a claim lasts unless renewed."""

    report_interval_s: float = Field(default=1.0, gt=0)
    """Seconds between two reports of worker states, at least."""

    pool: Literal["processes", "htcondor"] = "processes"
    """What workers are: processes of this machine, or jobs of an HTCondor schedd (see MUSTER_SITE_CONDOR_…)."""

    workers_max: int | None = Field(default=None, ge=1)
    """Workers of one taskforce, at most; left out: 1000 of this machine's, 100000 of HTCondor's."""

    containers: str | None = Field(default=None, pattern="^((.*/)?(apptainer|podman|docker)|none)$")
    """What runs images here: apptainer, podman, docker, the path of one of these, or none; left out: the first of them on PATH."""

    image_dir: Path | None = None
    """Where images are unpacked, once for all workers of this machine; left out: muster-images-<uid> in /var/tmp."""

    mounts: Annotated[tuple[str, ...], NoDecode] = ()
    """Folders of this machine that containers may see, to read only, where a task asks for them or for what is in them; by commas."""

    images_kept_s: float = Field(default=30 * 86_400, ge=0)
    """Seconds after which an unpacked image that no worker uses is deleted; 0: never."""

    isolation: Literal["auto", "none", "bwrap"] = "auto"
    """Whether plain tasks are isolated by bwrap: auto (where it works), none, or bwrap (workers that cannot do so do not work)."""

    hidden: Annotated[tuple[str, ...], NoDecode] = ()
    """Files and folders of this machine that isolated tasks do not see, beside this agent's own; by commas."""

    writable: Annotated[tuple[str, ...], NoDecode] = ("/",)
    """Folders of this machine in which isolated tasks may write, beside their own, as far as their user may; by commas; or none."""

    input_folders: Annotated[tuple[str, ...], NoDecode] = ("/",)
    """Folders of this machine from which workflows may take input files, as far as the agent's user can read them; by commas; or none."""

    worker_starts_max: int = Field(default=pool_defaults.STARTS_MAX, ge=1, le=1000)
    """Failed starts of a worker in a row, after which it counts as failed and is not started again; on HTCondor all that it ever had, and
    its holds for trouble by themselves."""

    worker_restart_s: float = Field(default=pool_defaults.RESTART_S, gt=0)
    """Seconds before a worker that failed is started again; doubles with each failure in a row, on HTCondor with each that it ever had."""

    worker_restart_s_max: float = Field(default=pool_defaults.RESTART_S_MAX, gt=0)
    """Seconds before a worker that failed is started again, at most."""

    worker_healthy_s: float = Field(default=pool_defaults.HEALTHY_S, gt=0)
    """Seconds after which a worker's start counts as a success, however it ends. HTCondor counts failed starts, however long they took."""

    worker_offline_s: float = Field(default=3600.0, gt=0)
    """Seconds that a worker goes on without an answer of the service."""

    stop_grace_s: float = Field(default=20.0, ge=0)
    """Seconds that workers may use to end what they have in hand when the agent stops them, not the service."""

    log_level: Level = Field(default="info")
    """What is logged: debug, info, warning or error."""

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("locations", "mounts", "hidden", "writable", "input_folders", "condor_excluded_sites"):
            if isinstance(text := values.get(name), str) and text:
                values[name] = tuple(part.strip() for part in text.split(",") if part.strip())
        return values

    @field_validator("writable", "input_folders")
    @classmethod
    def _check_writable(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        return parse_writable(",".join(folders))

    @field_validator("mounts", "hidden")
    @classmethod
    def _check_folders(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        # A comma in one is no separator any more: it was no text, but a path that our own code has found.
        found = dict.fromkeys(one for one in folders if "," in one)
        return (*found, *parse_folders(",".join(one for one in folders if "," not in one)))


PARTS: Mapping[str, type[FromVariables]] = {"serve": ServerSettings, "site": SiteSettings, "client": ClientSettings}
"""By the command whose settings they are."""
TITLES = {"serve": "muster serve", "site": "muster site", "client": "muster's commands and programs that call them"}
