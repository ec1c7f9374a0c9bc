"""Noticing that a client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from supervisor.gateway.exchange import DisconnectWatch
from supervisor.gateway.request_body import ClientGone
from tests.waiting import eventually


class Client:
    """What a server's ``receive`` says of one client, after its request was read."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.listeners = 0

    def leave(self) -> None:
        """Close the connection."""
        self._messages.put_nowait({"type": "http.disconnect"})

    def say(self) -> None:
        """Send what nobody asked for."""
        self._messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def __call__(self) -> Message:
        self.listeners += 1
        try:
            return await self._messages.get()
        finally:
            self.listeners -= 1


@pytest.fixture
def client() -> Iterator[Client]:
    return Client()


async def forever() -> None:
    await asyncio.Event().wait()


def cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_client_that_leaves_ends_the_work(client: Client) -> None:
    asyncio.get_running_loop().call_later(0.01, client.leave)
    async with asyncio.timeout(2):
        with pytest.raises(ClientGone):
            async with DisconnectWatch(client):
                await forever()
        assert cancellations() == 0
        await asyncio.sleep(0)  # and whoever caught it can go on


async def test_client_that_has_left_before(client: Client) -> None:
    client.leave()
    async with asyncio.timeout(2):
        with pytest.raises(ClientGone):
            async with DisconnectWatch(client):
                await forever()


async def test_other_messages_are_no_news(client: Client) -> None:
    client.say()
    async with DisconnectWatch(client):
        await asyncio.sleep(0.01)
        client.say()
        await asyncio.sleep(0.01)


async def test_clean_up_may_take_its_time(client: Client) -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        async with DisconnectWatch(client):
            try:
                await forever()
            finally:
                await asyncio.sleep(0.01)
                cleaned = True

    client.leave()
    with pytest.raises(ClientGone):
        await work()
    assert cleaned


async def test_another_error_wins(client: Client) -> None:
    """An error that comes while the work is ended is told as it is."""

    async def work() -> None:
        async with DisconnectWatch(client):
            try:
                await forever()
            except asyncio.CancelledError:
                raise ZeroDivisionError from None

    client.leave()
    with pytest.raises(ZeroDivisionError):
        await work()
    assert cancellations() == 0


async def watched(client: Client) -> None:
    async with DisconnectWatch(client):
        try:
            await forever()
        finally:
            await asyncio.sleep(0)


async def test_cancellation_from_outside_passes_through(client: Client) -> None:
    task = asyncio.create_task(watched(client))
    await eventually(lambda: client.listeners)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancellation_from_outside_wins_over_the_client(client: Client) -> None:
    """A server that shuts down must not be told that it was the client."""
    task = asyncio.create_task(watched(client))
    await eventually(lambda: client.listeners)
    client.leave()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timeout_inside_is_not_taken_for_the_client(client: Client) -> None:
    with pytest.raises(TimeoutError):
        async with DisconnectWatch(client), asyncio.timeout(0.01):
            await forever()


async def test_timeout_around_is_not_taken_for_the_client(client: Client) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), DisconnectWatch(client):
            await forever()


async def test_nothing_is_news_once_the_answer_is_over(client: Client) -> None:
    async with DisconnectWatch(client) as watch:
        watch.over()
        client.leave()
        await asyncio.sleep(0.01)
    assert cancellations() == 0


@pytest.mark.parametrize("over", [False, True])
async def test_nobody_listens_afterwards(client: Client, over: bool) -> None:
    async with DisconnectWatch(client) as watch:
        await asyncio.sleep(0)
        if over:
            watch.over()
    await asyncio.sleep(0)
    assert client.listeners == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
