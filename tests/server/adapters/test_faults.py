"""Is a full disk told as one, and as nothing else, by each way to the databases?"""

import asyncpg
import pytest

from muster.domain.errors import NoRoomError, UnavailableError
from muster.server.adapters.sql.faults import again, database_errors
from muster.server.adapters.sql.postgres_batcher import read_error


def test_a_full_disk_of_postgresql_is_told_as_one() -> None:
    full = asyncpg.DiskFullError("could not extend file: No space left on device")

    told = read_error(full, is_closed=False)
    with pytest.raises(NoRoomError, match="the database has no room: could not extend file"), database_errors():
        raise full

    assert isinstance(told, NoRoomError)
    assert str(told) == "the database has no room: could not extend file: No space left on device"


def test_of_a_connection_that_closed_nobody_knows_what_was_kept() -> None:
    told = read_error(asyncpg.DiskFullError("no space"), is_closed=True)

    assert isinstance(told, UnavailableError)
    assert not isinstance(told, NoRoomError)


@pytest.mark.parametrize("error", [NoRoomError("a"), UnavailableError("b")])
def test_what_several_callers_are_told_is_the_same(error: UnavailableError) -> None:
    other = again(error)

    assert other is not error
    assert (type(other), str(other)) == (type(error), str(error))
