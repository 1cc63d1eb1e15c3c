"""What may a program do on the broker with a token? It tries, as a real AMQP client, and is told or does it."""

from collections.abc import Awaitable, Callable

import aio_pika
import anyio
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import InvalidFrameError
from pamqp.common import FieldTable

DEADLINE_S = 30.0
QUORUM: FieldTable = {"x-queue-type": "quorum"}
"""With which EWMS clients declare their queues (mqs.md section 7.2)."""
Deed = Callable[[AbstractChannel], Awaitable[object]]


def declare(queue: str) -> Deed:
    """As EWMS clients do on every connect."""

    async def do(channel: AbstractChannel) -> None:
        await channel.declare_queue(queue, durable=True, arguments=QUORUM)

    return do


def publish(queue: str, body: bytes) -> Deed:
    """Through the default exchange; done when the broker has confirmed it."""

    async def do(channel: AbstractChannel) -> None:
        await channel.default_exchange.publish(aio_pika.Message(body), routing_key=queue, timeout=DEADLINE_S)

    return do


def consume(queue: str) -> Deed:
    """Take one message, and acknowledge it; gives its body."""

    async def do(channel: AbstractChannel) -> bytes:
        found = await channel.get_queue(queue, ensure=False)
        message = await found.get(timeout=DEADLINE_S)
        await message.ack()
        return message.body

    return do


def delete(queue: str) -> Deed:
    """The queue itself."""

    async def do(channel: AbstractChannel) -> None:
        await channel.queue_delete(queue, timeout=DEADLINE_S)

    return do


def purge(queue: str) -> Deed:
    """What is in the queue."""

    async def do(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).purge(timeout=DEADLINE_S)

    return do


async def attempt(address: str, token: str, *deeds: Deed) -> list[object]:
    """Log in with the token and do the deeds, each on a channel of its own.

    Returns:
        What each deed gave, or `refused`; `[login refused]` when it does not come to that.
    """
    try:
        connection = await aio_pika.connect(f"amqp://user:{token}@{address}:5672/", timeout=DEADLINE_S)
    except (AMQPError, InvalidFrameError):
        return ["login refused"]
    async with connection:
        return [await _try(connection, deed) for deed in deeds]


async def stay(address: str, token: str) -> None:
    """Log in and do nothing until the broker ends the connection. Raises TimeoutError when it does not."""
    is_over = anyio.Event()
    connection = await aio_pika.connect(f"amqp://user:{token}@{address}:5672/", timeout=DEADLINE_S)
    connection.close_callbacks.add(lambda *_: is_over.set())
    with anyio.fail_after(DEADLINE_S):
        await is_over.wait()


async def _try(connection: aio_pika.abc.AbstractConnection, deed: Deed) -> object:
    try:
        async with connection.channel() as channel:
            return await deed(channel)
    except AMQPError:
        return "refused"
