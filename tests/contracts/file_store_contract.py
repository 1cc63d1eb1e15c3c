"""What must every file store do? One suite for all of them; a store's own test class inherits it and brings the fixtures."""

import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import anyio
import pytest

from muster.domain.errors import NotFoundError
from muster.domain.file import begin_checksum, render_checksum
from muster.server.ports.files import FileStore, MismatchError, StoredFile

ONE, TWO, THREE = "00" * 16, "00ff" * 8, "ff" * 16
NOT_IDS = ("", "../secret", "/etc/passwd", "drafts", ONE[:-1], ONE + "0", ONE.replace("0", "G"), ONE + "\n", "\0" * 32)
SMALL = b"a body"
LARGE = bytes(range(256)) * (40 << 10)  # 10 MiB: more than a store gathers or reads at once

Age = Callable[[float], Awaitable[None]]
"""Makes all that is there older by so many seconds."""


def checksum_of(data: bytes) -> str:
    taken = begin_checksum()
    taken.update(data)
    return render_checksum(taken)


async def in_chunks(data: bytes, chunk_bytes: int = 65_536) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), chunk_bytes):
        yield data[start : start + chunk_bytes]


async def give(
    store: FileStore, file: str, chunks: AsyncGenerator[bytes, None], *, size_bytes: int, checksum: str
) -> None:
    """Put what comes, and close its source however that ends."""
    async with aclosing(chunks):
        await store.put(file, chunks, size_bytes=size_bytes, checksum=checksum)


async def put(store: FileStore, file: str, data: bytes) -> None:
    await give(store, file, in_chunks(data), size_bytes=len(data), checksum=checksum_of(data))


async def read(store: FileStore, file: str) -> bytes:
    async with store.get(file) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def list_all(store: FileStore, *, older_s: float = -60.0) -> list[StoredFile]:
    return list(await store.list_page(after="", older_s=older_s, limit=100))


class FileStoreContract:
    """The fixtures: `store`, `age`, and `drafts`, which counts what is neither a file nor gone."""

    @pytest.mark.parametrize("data", [b"", b"1", SMALL, LARGE], ids=["empty", "byte", "small", "large"])
    async def test_what_was_put_is_read_and_has_its_size(self, store: FileStore, data: bytes) -> None:
        await put(store, ONE, data)

        assert await read(store, ONE) == data
        assert await store.head(ONE) == StoredFile(ONE, len(data))

    async def test_files_are_apart(self, store: FileStore) -> None:
        await put(store, ONE, b"one")
        await put(store, TWO, b"two")

        assert (await read(store, ONE), await read(store, TWO)) == (b"one", b"two")

    async def test_a_file_put_again_is_the_same_file(self, store: FileStore) -> None:
        await put(store, ONE, SMALL)
        await put(store, ONE, SMALL)

        assert await read(store, ONE) == SMALL
        assert await list_all(store) == [StoredFile(ONE, len(SMALL))]

    async def test_what_nobody_put_is_not_found(self, store: FileStore) -> None:
        with pytest.raises(NotFoundError, match=ONE):
            await store.head(ONE)
        with pytest.raises(NotFoundError, match=ONE):
            async with store.get(ONE):
                pass

    @pytest.mark.parametrize("name", NOT_IDS)
    async def test_what_is_no_id_is_never_there(self, store: FileStore, name: str) -> None:
        with pytest.raises(NotFoundError):
            await give(store, name, in_chunks(SMALL), size_bytes=len(SMALL), checksum=checksum_of(SMALL))
        with pytest.raises(NotFoundError):
            await store.head(name)
        with pytest.raises(NotFoundError):
            async with store.get(name):
                pass
        await store.delete(name)

        assert await list_all(store) == []

    @pytest.mark.parametrize(
        "promised_bytes", [0, len(SMALL) - 1, len(SMALL) + 1], ids=["nothing", "one less", "one more"]
    )
    async def test_another_size_than_promised_is_refused_and_nothing_is_left(
        self, store: FileStore, drafts: Callable[[], int], promised_bytes: int
    ) -> None:
        with pytest.raises(MismatchError, match=str(promised_bytes)):
            await give(store, ONE, in_chunks(SMALL), size_bytes=promised_bytes, checksum=checksum_of(SMALL))

        assert await list_all(store) == []
        assert drafts() == 0

    async def test_reading_ends_with_the_first_byte_too_many(self, store: FileStore) -> None:
        given = 0

        async def endless() -> AsyncGenerator[bytes, None]:
            nonlocal given
            while True:
                given += 1
                yield b"1234"

        with pytest.raises(MismatchError):
            await give(store, ONE, endless(), size_bytes=10, checksum=checksum_of(b""))

        assert given == 3

    async def test_another_checksum_than_promised_is_refused_and_nothing_is_left(
        self, store: FileStore, drafts: Callable[[], int]
    ) -> None:
        with pytest.raises(MismatchError, match="checksum"):
            await give(store, ONE, in_chunks(SMALL), size_bytes=len(SMALL), checksum=checksum_of(b"b body"))

        assert await list_all(store) == []
        assert drafts() == 0

    async def test_a_refused_put_leaves_the_file_that_was_there(self, store: FileStore) -> None:
        await put(store, ONE, SMALL)

        with pytest.raises(MismatchError):
            await give(store, ONE, in_chunks(b"b body"), size_bytes=len(SMALL), checksum=checksum_of(SMALL))

        assert await read(store, ONE) == SMALL

    async def test_an_error_of_the_giver_passes_through_and_nothing_is_left(
        self, store: FileStore, drafts: Callable[[], int]
    ) -> None:
        async def broken() -> AsyncGenerator[bytes, None]:
            yield LARGE
            raise ConnectionResetError("the client is gone")

        with pytest.raises(ConnectionResetError, match="the client is gone"):
            await give(store, ONE, broken(), size_bytes=2 * len(LARGE), checksum=checksum_of(LARGE))

        assert await list_all(store) == []
        assert drafts() == 0

    async def test_a_put_that_is_cancelled_leaves_nothing(self, store: FileStore, drafts: Callable[[], int]) -> None:
        has_begun = anyio.Event()

        async def silent() -> AsyncGenerator[bytes, None]:
            yield LARGE
            has_begun.set()
            await anyio.sleep_forever()

        async def put_it() -> None:
            await give(store, ONE, silent(), size_bytes=2 * len(LARGE), checksum=checksum_of(LARGE))

        async with anyio.create_task_group() as group:
            group.start_soon(put_it)
            await has_begun.wait()
            group.cancel_scope.cancel()

        assert await list_all(store) == []
        assert drafts() == 0

    async def test_a_file_that_is_being_put_is_not_found_before_it_is_whole(self, store: FileStore) -> None:
        async def looking() -> AsyncGenerator[bytes, None]:
            yield LARGE
            assert await list_all(store) == []
            with pytest.raises(NotFoundError):
                await store.head(ONE)
            yield SMALL

        data = LARGE + SMALL
        await give(store, ONE, looking(), size_bytes=len(data), checksum=checksum_of(data))

        assert await store.head(ONE) == StoredFile(ONE, len(data))

    async def test_a_deleted_file_is_gone_and_deleting_again_changes_nothing(self, store: FileStore) -> None:
        await put(store, ONE, SMALL)
        await put(store, TWO, SMALL)

        await store.delete(ONE)
        await store.delete(ONE)

        with pytest.raises(NotFoundError):
            await store.head(ONE)
        assert await list_all(store) == [StoredFile(TWO, len(SMALL))]

    async def test_who_reads_a_file_that_is_deleted_reads_it_to_its_end(self, store: FileStore) -> None:
        await put(store, ONE, LARGE)

        async with store.get(ONE) as chunks:
            first = await anext(chunks)
            await store.delete(ONE)
            rest = b"".join([chunk async for chunk in chunks])

        assert first + rest == LARGE

    async def test_who_breaks_off_reading_leaves_the_file(self, store: FileStore) -> None:
        await put(store, ONE, LARGE)

        async with store.get(ONE) as chunks:
            await anext(chunks)

        assert await read(store, ONE) == LARGE

    async def test_files_are_listed_by_pages_in_the_order_of_their_ids(self, store: FileStore) -> None:
        for file in (THREE, ONE, TWO):
            await put(store, file, SMALL)

        first = await store.list_page(after="", older_s=-60.0, limit=2)
        second = await store.list_page(after=first[-1].file, older_s=-60.0, limit=2)

        assert [one.file for one in first] == [ONE, TWO]
        assert [one.file for one in second] == [THREE]
        assert not await store.list_page(after=THREE, older_s=-60.0, limit=2)

    async def test_only_files_that_are_as_old_are_listed(self, store: FileStore, age: Age) -> None:
        await put(store, ONE, SMALL)
        await age(3600.0)
        await put(store, TWO, SMALL)

        assert await list_all(store, older_s=1800.0) == [StoredFile(ONE, len(SMALL))]

    async def test_sweeping_leaves_files_and_what_is_being_put(self, store: FileStore, age: Age) -> None:
        await put(store, ONE, SMALL)
        await age(7 * 24 * 3600.0)

        async def swept_meanwhile() -> AsyncGenerator[bytes, None]:
            yield LARGE
            assert await store.sweep(older_s=24 * 3600.0) == 0
            yield SMALL

        data = LARGE + SMALL
        await give(store, TWO, swept_meanwhile(), size_bytes=len(data), checksum=checksum_of(data))

        assert [one.file for one in await list_all(store)] == [ONE, TWO]

    async def test_a_large_file_is_never_whole_in_memory(self, store: FileStore) -> None:
        block = bytes(1 << 20)
        count = 64
        taken = begin_checksum()
        for _ in range(count):
            taken.update(block)

        async def blocks() -> AsyncGenerator[bytes, None]:
            for _ in range(count):
                yield block

        tracemalloc.start()
        try:
            await give(store, ONE, blocks(), size_bytes=count << 20, checksum=render_checksum(taken))
            async with store.get(ONE) as chunks:
                read_bytes = 0
                async for chunk in chunks:
                    read_bytes += len(chunk)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert read_bytes == count << 20
        assert peak_bytes < 16 << 20
