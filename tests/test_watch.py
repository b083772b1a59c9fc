"""WS /v1/events alone: a tiny app on uvicorn in the test's own event loop, a hub, and no sound."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from server import watch
from server.hub import Hub
from server.subscriber import QUEUE_MESSAGES

Scenario = Callable[[Hub, str], Awaitable[None]]


@asynccontextmanager
async def serving(hub: Hub) -> AsyncIterator[str]:
    app = FastAPI()
    app.include_router(watch.router)
    app.state.service = SimpleNamespace(hub=hub)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/v1/events"
        server.should_exit = True
        await task


def in_loop(scenario: Scenario) -> None:
    async def run() -> None:
        hub = Hub()
        async with asyncio.timeout(20), serving(hub) as url:
            await scenario(hub, url)

    asyncio.run(run())


def publish(hub: Hub, times: int) -> None:
    """All at once: no reader gets a turn in between."""
    for number in range(times):
        hub.publish("stage", {"type": "event", "event_id": str(number), "phase": "offset", "is_final": True})


def test_a_watcher_that_does_not_keep_up_is_closed_with_4431_and_forgotten() -> None:
    async def scenario(hub: Hub, url: str) -> None:
        async with connect(url) as slow:
            await slow.ping()
            publish(hub, QUEUE_MESSAGES + 1)
            lagged = json.loads(await slow.recv())
            assert (lagged["type"], lagged["to_seq"] - lagged["from_seq"]) == ("lagged", QUEUE_MESSAGES)
            with pytest.raises(ConnectionClosed) as closed:
                await slow.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4431
            async with connect(url) as other:
                publish(hub, 1)
                assert json.loads(await other.recv())["event_id"] == "0"

    in_loop(scenario)


def test_what_a_watcher_sends_is_ignored() -> None:
    async def scenario(hub: Hub, url: str) -> None:
        async with connect(f"{url}?source=stage") as watcher:
            await watcher.send("hello")
            await watcher.send(b"hello")
            publish(hub, 1)
            assert json.loads(await watcher.recv())["source"] == "stage"

    in_loop(scenario)


def test_when_the_hub_closes_a_watcher_first_gets_everything() -> None:
    async def scenario(hub: Hub, url: str) -> None:
        async with connect(url) as watcher:
            publish(hub, 100)
            closing = asyncio.create_task(hub.close())
            heard = [json.loads(text)["event_id"] async for text in watcher]
            assert heard == [str(number) for number in range(100)]
            assert watcher.close_code == 1001
            await closing

    in_loop(scenario)
