"""SIGTERM while clients stream, watch and upload: all is told, nothing accepted is lost, the next process goes on."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from websockets.exceptions import InvalidStatus

from engine.weights import Model
from server.decode import DecodeLimits, Decoder
from server.errors import Refusal
from server.hub import Hub
from tests.live_server import bare
from tests.test_hostile import wav
from tests.test_kill import SOUND, free_port, one, said, serving
from tests.test_session import Client

AUDIO = {"encoding": "pcm_s16le", "sample_rate": 16_000, "framing": "raw"}
HALF = 28_000  # samples
DRAIN_MS = 2_500


async def told(ws: websockets.ClientConnection, until: str) -> list[Any]:
    heard: list[Any] = []
    while not heard or heard[-1]["type"] != until:
        heard.append(json.loads(await ws.recv()))
    return heard


async def closing(ws: websockets.ClientConnection) -> int | None:
    async for _ in ws:
        pass
    return ws.close_code


class Body(httpx.AsyncByteStream):
    """The first half of a file, and the rest when it is time."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.begun, self.rest = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> Any:
        yield self.data[: len(self.data) // 2]
        self.begun.set()
        await self.rest.wait()
        yield self.data[len(self.data) // 2 :]


async def lines(http: httpx.AsyncClient, url: str, began: asyncio.Event) -> list[str]:
    """An event stream to its end."""
    async with http.stream("GET", url) as answer:
        heard = []
        async for line in answer.aiter_lines():
            began.set()
            heard.append(line)
        return heard


async def status(http: httpx.AsyncClient, url: str) -> tuple[int, str]:
    answer = await http.get(url)
    return answer.status_code, answer.json()["status"]


async def stopped(http_url: str, stop: Callable[[], None]) -> None:
    """Everybody but the clients that begin anew, while the service stops."""
    ws_url = http_url.replace("http", "ws")
    async with (
        httpx.AsyncClient(timeout=60, verify=False) as http,
        websockets.connect(f"{ws_url}/v1/stream") as stays,
        websockets.connect(f"{ws_url}/v1/stream") as leaves,
        websockets.connect(f"{ws_url}/v1/events") as watches,
    ):
        for ws in (stays, leaves):
            await ws.send(json.dumps({"type": "start", "audio": AUDIO, "source": {"kind": "file"}}))
            await ws.send(SOUND[: 2 * HALF])
            await told(ws, "event")
        body, began = Body(wav(data=SOUND)), asyncio.Event()
        uploading = asyncio.create_task(http.post(f"{http_url}/v1/classify", content=body))
        reading = asyncio.create_task(lines(http, f"{http_url}/v1/events/stream", began))
        await asyncio.gather(body.begun.wait(), began.wait())

        stop()
        assert (await told(stays, "draining"))[-1]["deadline_ms"] == DRAIN_MS
        await told(leaves, "draining")
        assert await status(http, f"{http_url}/readyz") == (503, "draining")
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(f"{ws_url}/v1/stream")
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "draining"
        assert (await http.post(f"{http_url}/v1/classify", content=b"x")).status_code == 503
        assert await closing(watches) == 1001
        assert "retry: 2000" in await reading
        assert "retry: 2000" in await lines(http, f"{http_url}/v1/events/stream", began)  # at once, to its end

        await leaves.send(json.dumps({"type": "stop"}))
        left = await told(leaves, "summary")
        assert await closing(leaves) == 1000
        ended = await told(stays, "summary")
        assert await closing(stays) == 1001
        for messages, reason in ((left, "stop"), (ended, "shutdown")):
            assert [m["reason"] for m in messages if m["type"] == "event"][-1] == reason
            assert messages[-1]["audio_ms"] == messages[-1]["processed_ms"] == HALF / 16
        body.rest.set()
        answer = await uploading
        assert (answer.status_code, len(answer.json()["events"])) == (200, 8)


def test_at_sigterm_everybody_is_told_and_who_wants_to_goes_on_when_the_service_is_back(
    toy: Model, toy_path: Path
) -> None:
    port = free_port()

    async def everything() -> tuple[list[list[Any]], list[int]]:
        heard: list[list[Any]] = [[], []]
        until = asyncio.Event()
        with serving(port, toy_path, SPICCATO_DRAIN_MS=str(DRAIN_MS)) as first:
            running = [asyncio.create_task(one(port, n, heard[n], until)) for n in range(2)]
            while min(sum(m["type"] == "event" for m in one_s) for one_s in heard) < 3:
                await asyncio.sleep(0.05)
            await stopped(f"http://127.0.0.1:{port}", first.terminate)
            assert await asyncio.to_thread(first.wait, 60) == -signal.SIGTERM
        with serving(port, toy_path):
            while not all(any(m["type"] == "anew" for m in one_s) for one_s in heard):
                await asyncio.sleep(0.05)
                assert not any(task.done() and task.exception() for task in running)
            until.set()
            return heard, list(await asyncio.gather(*running))

    heard, given = asyncio.run(everything())
    for number, messages in enumerate(heard):
        (at,) = [i for i, message in enumerate(messages) if message["type"] == "anew"]
        before, anew, after = messages[:at], messages[at], messages[at + 1 :]
        sample = anew["sample"]
        assert (anew["reason"], anew["open"]) == ("shutdown", [])
        assert before[-1]["type"] == "summary"
        assert before[-1]["audio_ms"] == before[-1]["processed_ms"] == sample / 16
        assert bare(before) == heard_to_the_shutdown(toy, number, sample)
        assert after[-1]["audio_ms"] == after[-1]["processed_ms"] == given[number] / 16
        assert bare(after) == said(toy, number, sample, sample + given[number])


def heard_to_the_shutdown(toy: Model, number: int, sample: int) -> list[dict[str, Any]]:
    start = 2 * 1_000 * number
    client = Client(toy, source={"kind": "file" if number % 2 else "network"})
    client.hear((SOUND + SOUND)[start : start + 2 * sample], 10**6)
    client.keep(client.session.end("shutdown"))
    return bare(client.told)


def test_who_watches_a_hub_that_is_closed_gets_its_end_at_once() -> None:
    async def late() -> list[Any]:
        hub = Hub()
        hub.publish("stage", {"type": "source", "state": "healthy"})
        await hub.close()
        subscriber = hub.subscribe()
        return [await subscriber.next(), await subscriber.next()]

    known, end = asyncio.run(late())
    assert (known.kind, end) == ("known", None)


def test_an_upload_is_given_up_between_two_blocks_when_the_service_stops(tmp_path: Path) -> None:
    asked = iter([False, False, True])
    path = tmp_path / "a.wav"
    path.write_bytes(wav(data=SOUND))
    with path.open("rb") as file:
        decoder = Decoder(file, DecodeLimits(audio_s=60, channels=1, wall_s=60, stopped=lambda: next(asked)))
        with pytest.raises(Refusal, match="the server stops") as refused:
            list(decoder.blocks())
        decoder.close()
    assert (refused.value.code, refused.value.handling.http) == ("draining", 503)
