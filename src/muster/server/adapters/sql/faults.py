"""Which errors of the databases mean that they did not answer? One place where the libraries' errors become ours."""

import contextlib
import sqlite3
from collections.abc import Iterator

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from muster.domain.errors import UnavailableError

_AGAIN = {"40001", "40P01"}  # serialization failure, deadlock: the same transaction may succeed now
_AWAY_CLASSES = ("08", "53", "57", "58")  # connection, resources, operator intervention, system error


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """Errors of drivers in; UnavailableError out, where the database did not answer or has no room."""
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or _is_away(error.orig):
            raise UnavailableError(f"the database does not answer: {_first_line(error.orig)}") from error
        raise
    except PoolTimeoutError as error:
        raise UnavailableError("the database does not answer: no connection became free in time") from error
    except sqlite3.OperationalError as error:
        raise UnavailableError(f"the database does not answer: {_first_line(error)}") from error
    except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
        raise UnavailableError(f"the database does not answer: {_first_line(error)}") from error


def is_worth_another_try(error: BaseException) -> bool:
    """The database undid the transaction because of others; nothing of it was kept."""
    return isinstance(error, DBAPIError) and _sqlstate(error.orig) in _AGAIN


def _is_away(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.OperationalError | OSError):
        return True
    return _sqlstate(error)[:2] in _AWAY_CLASSES


def _sqlstate(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
