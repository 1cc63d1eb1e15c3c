"""`muster db`: how does the database stand, and what keeps it safe? For operators; works on it directly, beside the service."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from cyclopts import App, Group, Parameter

from muster.cli.console import put, put_fields, put_json, put_table, render_count, say
from muster.cli.extras import needing
from muster.cli.failure import FAILED, OK
from muster.cli.home import Home
from muster.cli.service import find_directory
from muster.cli.settings_faults import named_as_variables, read_settings
from muster.settings.parts import ServerSettings
from muster.settings.variables import find_origin, read_variables

if TYPE_CHECKING:
    from muster.server.adapters.sql.upkeep import Copied, Standing

app = App(
    name="db",
    help_format="plaintext",
    help_epilogue="""Examples:
  muster db status
  MUSTER_DATABASE_URL=postgresql://muster@db:5432/muster muster db upgrade
  muster db backup /backups/muster-$(date +%F).db""",
)


@Parameter(name="*", group=Group("Database", sort_key=100))
@dataclass(frozen=True, kw_only=True)
class Database:
    """Options of every command here. The database is the one of MUSTER_DATABASE_URL, unless --dir is given."""

    dir: Path | None = None
    """Folder of a `muster up`, whose database is meant. Otherwise that of MUSTER_DATABASE_URL, otherwise that of ./.muster"""
    json: bool = False
    """Write the answer as JSON."""
    debug: bool = False
    """Show the trace of an error."""

    def find_url(self) -> str:
        """Raises InvalidError for settings that do not do."""
        settings = read_settings(ServerSettings)
        is_named = find_origin(ServerSettings, "database_url", read_variables(os.environ)).used is not None
        if self.dir is None and is_named:
            return settings.database_url
        return f"sqlite:///{Home(find_directory(self.dir, os.environ).absolute()).database}"


HERE = Database()


@app.command(help_epilogue="Examples:\n  muster db status\n  muster db status --json")
def status(*, database: Database = HERE) -> int:
    """Show which migrations the database has and lacks, whether this program fits it, and which services run on it.

    Ends with status 1 when it does not: migrations are missing, or are newer than this program.
    """
    with needing("server"):
        from muster.server.adapters.sql import upkeep
    with named_as_variables(ServerSettings):
        standing = anyio.run(upkeep.look, database.find_url())
    if database.json:
        put_json(_describe(standing))
    else:
        _put(standing)
    return OK if standing.is_current else FAILED


@app.command(
    help_epilogue="Examples:\n  muster db upgrade\n"
    "  MUSTER_DATABASE_URL=postgresql://muster@db:5432/muster muster db upgrade"
)
def upgrade(*, database: Database = HERE) -> int:
    """Bring the database to the schema of this program, with the work that is in it.

    On PostgreSQL services may go on working meanwhile, where the missing migrations allow it (`muster db status` says which do); else
    they are to be stopped first. A SQLite file's service is to be stopped.
    """
    with needing("server"):
        from muster.server.adapters.sql import upkeep
    with named_as_variables(ServerSettings):
        made = anyio.run(lambda: upkeep.upgrade(database.find_url(), tell=say))
    if database.json:
        put_json({"made": [one.revision for one in made]})
    elif made:
        for one in made:
            put(f"{one.revision}  {one.title}")
        say(f"{render_count(len(made), 'migration')} made")
    else:
        say("nothing to do: the database has every migration of this program")
    return OK


@app.command(
    help_epilogue="Examples:\n  muster db backup /backups/monday.db\n  muster db backup --dir ~/.muster monday.db"
)
def backup(file: Path, *, database: Database = HERE) -> int:
    """Copy a SQLite database to a new file, also while the service runs: one moment of it, whole and checked.

    PostgreSQL has programs of its own for that (docs/how-to/back-up.md).

    Args:
        file: what to write; readable by you alone. One that is there is left alone.
    """
    with needing("server"):
        from muster.server.adapters.sql import upkeep
    with named_as_variables(ServerSettings):
        copied = upkeep.back_up(database.find_url(), file)
    _put_copied(copied, "backed up", database)
    return OK


@app.command(help_epilogue="Example:\n  muster db restore /backups/monday.db")
def restore(file: Path, *, database: Database = HERE) -> int:
    """Put a backup in the place of a SQLite database that is gone, or was moved away.

    The service begins a new era with it: workers enrol anew, and agents tell it what it does not know.

    Args:
        file: written by `muster db backup`, or by `.backup` of sqlite3.
    """
    with needing("server"):
        from muster.server.adapters.sql import upkeep
    with named_as_variables(ServerSettings):
        copied = upkeep.restore(file, database.find_url())
    _put_copied(copied, "restored", database)
    return OK


@app.command(help_epilogue="Example:\n  muster db restored")
def restored(*, database: Database = HERE) -> int:
    """Say that the database was put back to an earlier state in a way that it cannot notice by itself.

    That is: files copied over files, a disk set back to a snapshot, a PostgreSQL cluster started from a base backup without recovery.
    It notices pg_restore, recovery to a moment, a standby that took over, and `muster db restore` by itself. Saying it once too often
    costs no more than that workers enrol anew. With SQLite stop the service first; on PostgreSQL it need not be.
    """
    with needing("server"):
        from muster.server.adapters.sql import upkeep
    with named_as_variables(ServerSettings):
        anyio.run(upkeep.mark_as_restored, database.find_url())
    if database.json:
        put_json({"restored": True})
    else:
        say("noted: a new era begins when the service starts, or within seconds where one runs")
    return OK


def _put(standing: "Standing") -> None:
    if standing.is_newer:
        schema = f"{standing.revision}, newer than this program, which knows those to {standing.made[-1].revision}: upgrade Muster"
    elif standing.missing:
        schema = f"{standing.revision or 'none'}; {render_count(len(standing.missing), 'migration')} missing: say `muster db upgrade`"
    else:
        schema = f"{standing.revision}, that of this program"
    services = "; ".join(
        f"node {one.node}, version {one.version or 'unknown'}, schema {one.revision or 'unknown'}"
        for one in standing.services
    )
    if standing.holder is not None:
        services = f"process {standing.holder}"
    put_fields([("database", standing.kind), ("schema", schema), ("era", standing.era), ("services", services)])
    if standing.is_newer:
        return
    rows = [(one.revision, "made", one.title, "") for one in standing.made]
    rows += [
        (one.revision, "missing", one.title, "may go on" if one.beside_older else "to be stopped first")
        for one in standing.missing
    ]
    put("")
    put_table(("migration", "", "what", "services meanwhile"), rows)


def _describe(standing: "Standing") -> dict[str, object]:
    return {
        "database": standing.kind,
        "revision": standing.revision,
        "is_current": standing.is_current,
        "is_newer": standing.is_newer,
        "era": standing.era,
        "migrations": [
            {"revision": one.revision, "title": one.title, "is_made": is_made, "beside_older": one.beside_older}
            for is_made, listed in ((True, standing.made), (False, standing.missing))
            for one in listed
        ],
        "services": [
            {"node": one.node, "version": one.version, "revision": one.revision, "until": one.until}
            for one in standing.services
        ],
        "process": standing.holder,
    }


def _put_copied(copied: "Copied", verb: str, database: Database) -> None:
    if database.json:
        put_json({"file": str(copied.file), "bytes": copied.size_bytes, "revision": copied.revision})
    else:
        say(f"{verb} to {copied.file}: {copied.size_bytes} bytes, schema {copied.revision}, checked")
