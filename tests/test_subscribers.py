"""Who watches and how: Server-Sent Events with replay, and a reader that never reads. Real sockets, a hub, no sound."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import connect

from server import transport, watch
from server.hub import REPLAY_MESSAGES, Hub
from server.subscriber import QUEUE_MESSAGES

Scenario = Callable[[Hub, str, int], Awaitable[None]]


def in_loop(scenario: Scenario) -> None:
    """The watching routes on uvicorn, in the test's own event loop."""

    async def run() -> None:
        hub = Hub()
        app = FastAPI()
        app.include_router(watch.router)
        app.state.service = SimpleNamespace(hub=hub)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(app, log_config=None, http=transport.Http, ws=transport.WebSocket)
            server = uvicorn.Server(config)
            hub.connections = server.server_state.connections  # type: ignore[attr-defined]
            task = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                async with asyncio.timeout(30):
                    await scenario(hub, "127.0.0.1", listening.getsockname()[1])
                    assert hub.subscribers == 0 or not await hub.close()
            finally:
                server.should_exit = True
                await task

    asyncio.run(run())


def event(of: int, **more: Any) -> dict[str, Any]:
    return {"type": "event", "event_id": str(of), "phase": "offset", "is_final": True, "label": "low", **more}


class Sse:
    """A client that speaks just enough HTTP, so that the test knows when it reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.headers: dict[str, str] = {}

    async def message(self) -> dict[str, str]:
        """The next block: its fields by name; a comment's is empty."""
        fields: dict[str, str] = {}
        while True:
            size = await self.reader.readline()
            if not size:
                raise EOFError
            block = await self.reader.readexactly(int(size, 16) + 2)
            if not block.strip():
                raise EOFError  # the last chunk
            for line in block.decode().strip().splitlines():
                name, _, value = line.partition(":")
                fields[name] = value.strip()
            return fields

    async def told(self) -> dict[str, Any]:
        """The next message's JSON; `id` is its number, where it has one."""
        while "data" not in (fields := await self.message()):
            pass
        return {**json.loads(fields["data"]), "id": int(fields["id"]) if "id" in fields else None}


@contextlib.asynccontextmanager
async def sse(host: str, port: int, query: str = "", last: int | str | None = None) -> AsyncIterator[Sse]:
    reader, writer = await asyncio.open_connection(host, port)
    header = "" if last is None else f"Last-Event-ID: {last}\r\n"
    writer.write(f"GET /v1/events/stream{query} HTTP/1.1\r\nHost: {host}\r\n{header}\r\n".encode())
    client = Sse(reader, writer)
    assert b" 200 " in await reader.readline()
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        client.headers[name.lower()] = value.strip()
    try:
        yield client
    finally:
        writer.close()


def test_a_stream_says_how_to_come_back_and_numbers_every_event() -> None:
    async def scenario(hub: Hub, host: str, port: int) -> None:
        async with sse(host, port) as client:
            assert client.headers["content-type"].startswith("text/event-stream")
            assert client.headers["x-accel-buffering"] == "no"
            assert "no-store" in client.headers["cache-control"]
            assert await client.message() == {"retry": "2000"}
            hub.publish("stage", event(1))
            hub.publish("stage", {"type": "level", "rms_dbfs": -20})
            hub.publish("stage", b"a frame")
            hub.publish("stage", event(2))
            told = [await client.told() for _ in range(3)]
            assert [(one["type"], one["source"]) for one in told] == [
                ("event", "stage"),
                ("level", "stage"),
                ("event", "stage"),
            ]
            assert (told[0]["id"] + 1, told[1]["id"]) == (told[2]["id"], None)

    in_loop(scenario)


def test_who_comes_back_gets_what_was_missed_once_and_in_order() -> None:
    async def scenario(hub: Hub, host: str, port: int) -> None:
        seen: list[str] = []
        last: int | None = None
        published = 0
        for turn in range(25):  # cut again and again, at other places
            async with sse(host, port, last=last) as client:
                await client.message()
                for _ in range(turn % 4 + 2):
                    hub.publish("stage", event(published))
                    published += 1
                for _ in range(turn % 3 + 1):
                    told = await client.told()
                    seen.append(told["event_id"])
                    last = told["id"]
            hub.publish("stage", event(published))  # while nobody listens
            published += 1
        async with sse(host, port, last=last) as client:
            while len(seen) < published:
                seen.append((await client.told())["event_id"])
        assert seen == [str(number) for number in range(published)]

    in_loop(scenario)


@pytest.mark.parametrize("last", [7, 10**18, "-1", "nonsense", "9" * 30])
def test_a_number_that_is_too_old_or_none_of_ours_is_told_never_a_silent_hole(last: int | str) -> None:
    async def scenario(hub: Hub, host: str, port: int) -> None:
        for number in range(REPLAY_MESSAGES + 10):
            hub.publish("stage", event(number))
        async with sse(host, port, last=last) as client:
            if isinstance(last, str):  # not a number: a new reader
                hub.publish("stage", event(-1))
                assert (await client.told())["event_id"] == "-1"
                return
            told = await client.told()
            assert (told["type"], told["policy"], told["id"]) == ("lagged", "replay_limit", None)
            if last == 7:
                assert told["from_seq"] == 8
                first = await client.told()
                assert first["event_id"] == "10"
                assert told["to_seq"] == first["id"] - 1

    in_loop(scenario)


def test_a_stream_of_one_label_has_no_events_of_another() -> None:
    async def scenario(hub: Hub, host: str, port: int) -> None:
        async with sse(host, port, "?label=high&source=stage") as client:
            await client.message()
            hub.publish("stage", event(1, label="low"))
            hub.publish("hall", event(2, label="high"))
            hub.publish("stage", event(3, label="high"))
            assert (await client.told())["event_id"] == "3"

    in_loop(scenario)


def test_an_idle_stream_says_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "COMMENT_S", 0.05)

    async def scenario(hub: Hub, host: str, port: int) -> None:
        async with sse(host, port) as client:
            await client.message()
            assert await client.message() == await client.message() == {"": "alive"}
            hub.publish("stage", event(1))  # nothing got lost in between
            assert (await client.told())["event_id"] == "1"

    in_loop(scenario)


def test_when_the_hub_closes_a_stream_first_gets_everything() -> None:
    async def scenario(hub: Hub, host: str, port: int) -> None:
        async with sse(host, port) as client:
            await client.message()
            for number in range(100):
                hub.publish("stage", event(number))
            closing = asyncio.create_task(hub.close())
            assert [(await client.told())["event_id"] for _ in range(100)] == [str(number) for number in range(100)]
            with pytest.raises(EOFError):
                await client.message()
            await closing

    in_loop(scenario)


@pytest.mark.parametrize("how", ["sse", "ws"])
def test_a_reader_that_never_reads_is_cut_off_and_harms_nobody(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "CLOSE_TIMEOUT_S", 0.2)
    big = "x" * 8_000  # fills the socket's buffers

    async def scenario(hub: Hub, host: str, port: int) -> None:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.connect((host, port))
        if how == "sse":
            raw.sendall(f"GET /v1/events/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        else:
            key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            key += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            raw.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {host}\r\n{key}\r\n".encode())
        while hub.subscribers < 1:
            await asyncio.sleep(0.01)
        async with connect(f"ws://{host}:{port}/v1/events", max_queue=None) as good:
            heard = 0
            total = 3 * QUEUE_MESSAGES
            for number in range(total):
                hub.publish("stage", event(number, detail=big))
                if number % 100 == 99:
                    await asyncio.sleep(0)
                    while heard <= number:
                        assert json.loads(await good.recv())["event_id"] == str(heard)
                        heard += 1
            assert heard >= total - 100
            while hub.subscribers > 1:  # the one that does not read is gone, by itself
                await asyncio.sleep(0.01)
        async with asyncio.timeout(5):  # nothing was read, and yet the server keeps no socket for it
            while hub.connections:  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        raw.close()

    in_loop(scenario)


def test_who_connects_and_never_says_what_it_wants_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEAD_S", 0.2)

    async def scenario(hub: Hub, host: str, port: int) -> None:
        async with sse(host, port) as patient:  # its headers came: it may stay
            for said in (
                b"",
                b"GET /v1/events/stream HTTP/1.1\r\nHost: a\r\nX: ",
                b"GET /none HTTP/1.1\r\nHost: a\r\n\r\nG",
            ):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(said)
                with contextlib.suppress(ConnectionResetError):
                    await asyncio.wait_for(reader.read(), 5)
                writer.close()
            await patient.message()
            hub.publish("stage", event(1))
            assert (await patient.told())["event_id"] == "1"

    in_loop(scenario)


def test_of_telemetry_a_slow_reader_gets_the_latest_and_of_updates_too() -> None:
    hub = Hub()
    slow = hub.subscribe()
    hub.publish("stage", event(1, phase="onset", is_final=False))
    for number in range(500):
        hub.publish("stage", {"type": "level", "number": number})
        hub.publish("stage", event(1, phase="update", is_final=False, number=number))
        hub.publish("hall", {"type": "level", "number": -number})
    hub.publish("stage", event(1))

    async def taken() -> list[dict[str, Any]]:
        slow.close()
        return [json.loads(one.data) async for one in aiter_(slow)]

    async def aiter_(subscriber: Any) -> AsyncIterator[Any]:
        while (one := await subscriber.next()) is not None:
            yield one

    heard = asyncio.run(taken())
    assert (heard[0]["phase"], heard[-1]["phase"]) == ("onset", "offset")
    newest = {(one["source"], one["type"]): one["number"] for one in heard if "number" in one}
    assert newest == {("stage", "level"): 499, ("stage", "event"): 499, ("hall", "level"): -499}
    assert len(heard) < 80


def test_what_the_hub_keeps_is_bounded() -> None:
    hub = Hub()
    for number in range(3 * REPLAY_MESSAGES):
        hub.publish("stage", event(number))
    assert len(hub._kept) == REPLAY_MESSAGES
    for number in range(20):
        hub.publish("stage", event(number, detail="x" * 1_000_000))
    assert hub._kept_bytes < 4_300_000
