"""Which errors of the databases mean that they did not answer? One place where the libraries' errors become ours."""

import contextlib
import sqlite3
from collections.abc import Iterator

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from muster.domain.errors import Finding, InvalidError, NoRoomError, UnavailableError

_AGAIN = {"40001", "40P01"}  # serialization failure, deadlock: the same transaction may succeed now
_AWAY_CLASSES = ("08", "28", "3D", "40", "53", "55", "57", "58")
"""Connection, not let in, no such database, undone because of others, resources, not in this state, operator, system."""
BROKEN = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a call raises, beside errors of the server, over a connection that has gone. The last is asyncpg's word for what it did not expect:
the good-bye of a server that ends the session, for one."""
_FULL = "53100"  # disk_full
_NOT_ALLOWED = {
    "42501": "its user may not do what Muster needs there: {told}. Let the owner of the database grant it that (for a new one `GRANT "
    "CREATE ON SCHEMA public TO` this user), or say `muster db upgrade` as the owner, and grant this user all on the tables and sequences",
    "25006": "it can only be read: {told}. Name one that can be written to",
}
"""What a database user is told who may not do what is needed, or where nobody may."""
_OUR_FAULT = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY}
"""A wrong statement, and a write where only reads are allowed: trying again would not help."""


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """Errors of drivers in; UnavailableError out, where the database did not answer or has no room."""
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or _is_away(error.orig):
            raise make_unavailable(error.orig) from error
        raise
    except PoolTimeoutError as error:
        raise UnavailableError("the database does not answer: no connection became free in time") from error
    except (sqlite3.Error, asyncpg.PostgresError) as error:
        if _is_away(error):
            raise make_unavailable(error) from error
        raise
    except BROKEN as error:
        raise UnavailableError(f"the database does not answer: {_first_line(error)}") from error


@contextlib.contextmanager
def permission_errors() -> Iterator[None]:
    """Errors of PostgreSQL in, where somebody prepares a database; InvalidError out where this user may not do that, or nobody may."""
    try:
        yield
    except (DBAPIError, asyncpg.PostgresError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if (reason := _NOT_ALLOWED.get(_sqlstate(cause))) is None:
            raise
        told = _first_line(cause).rpartition("Error'>: ")[2]  # SQLAlchemy puts the class before it
        raise InvalidError([Finding("database_url", reason.format(told=told))]) from error


def again(error: BaseException) -> Exception:
    """Another exception that says the same, for each of several callers: one that is raised by several at once mixes up their tracebacks.
    What is no UnavailableError is a fault of ours, and is named as the cause.
    """
    match error:
        case NoRoomError():
            own: Exception = NoRoomError(str(error))
        case UnavailableError():
            own = UnavailableError(str(error))
        case _:
            own = RuntimeError("the transaction failed")
    own.__cause__ = error
    return own


def is_worth_another_try(error: BaseException) -> bool:
    """The database undid the transaction because of others; nothing of it was kept."""
    return isinstance(error, DBAPIError) and _sqlstate(error.orig) in _AGAIN


def is_lock_not_available(error: DBAPIError) -> bool:
    """Somebody held a lock for longer than we wait for it."""
    return _sqlstate(error.orig) == "55P03"


def is_lost(error: BaseException | None) -> bool:
    """The connection had gone, so another one may do: not that none became free, or that no answer came."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _sqlstate(error.orig)[:2] in {"08", "57"}
    return isinstance(error, BROKEN) and not isinstance(error, TimeoutError)


def is_not_allowed(error: DBAPIError | asyncpg.PostgresError) -> bool:
    """It is nothing that this database user may do."""
    return _sqlstate(error.orig if isinstance(error, DBAPIError) else error) == "42501"


def is_given_up(error: DBAPIError) -> bool:
    """The statement took longer than it was allowed to."""
    return _sqlstate(error.orig) == "57014"


def _is_away(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in _OUR_FAULT
    if isinstance(error, OSError):
        return True
    return _sqlstate(error)[:2] in _AWAY_CLASSES


def make_unavailable(error: BaseException | None) -> UnavailableError:
    """What a driver's error says to our callers. A transaction for which the disk had no room is undone; of others nobody knows."""
    is_full = _sqlstate(error) == _FULL
    if isinstance(error, sqlite3.Error):
        is_full = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF == sqlite3.SQLITE_FULL
    if is_full:
        return NoRoomError(f"the database has no room: {_first_line(error)}")
    return UnavailableError(f"the database does not answer: {_first_line(error)}")


def _sqlstate(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
