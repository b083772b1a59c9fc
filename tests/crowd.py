"""Clients as they are: they play, lose their connections, come back in time or too late, fall silent, send too fast,
read nothing, leave in order or not; others watch and upload. Each keeps a book, and what does not add up is `wrong`.

Used by the soak, on a real clock or on a virtual one, where everything happens in steps that are `slow` times as large.
"""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from itertools import cycle
from typing import Any

import httpx
import websockets
from websockets.exceptions import ConnectionClosed

from client.session import Stream
from client.stream import StreamError, connect
from tests.synth import low_high, pcm16
from tests.test_hostile import wav

RATE = 16_000
SOUND = pcm16(low_high())
PATIENCE_S = 60.0  # with a server on a busy machine
NEAR_S = 0.01  # a clock that jumps may come this near to a moment and stay there
SETTINGS = {"resume_s": 20, "idle_s": 10, "reader_s": 5}  # of the service: short enough that all of it happens
AWAY_S = (0, 0, 0, 1, 5, 30)  # after a lost connection; the last one is too late
SILENT_S = (3, 3, 15)  # a stall; the last one is idle
FAULTS = ("internal", "partial_sample", "bad_framing", "bad_message")  # of which a client of ours should never hear


class Crowd:
    def __init__(self, port: int, end: float, slow: int = 1) -> None:
        """end: by `time.monotonic`."""
        self.http, self.ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        self.end = end
        self.slow = slow
        self.counted: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.silences = cycle(SILENT_S)  # in turn: none is left to chance
        self.endings = cycle((False, True, False, False, False, False, False, False))  # without a word

    @property
    def over(self) -> bool:
        return time.monotonic() > self.end - NEAR_S

    async def rest(self, seconds: float) -> None:
        """Steps of the crowd's size, but not beyond its end."""
        await asyncio.sleep(min(self.slow * seconds, max(0.0, self.end - time.monotonic())))

    async def musician(self, rng: random.Random) -> None:
        """Session after session."""
        while not self.over:
            try:
                await Musician(self, rng).play()
            except StreamError as error:
                self.counted[f"session {error.code}"] += 1
                if error.code in FAULTS:
                    self.wrong.append(f"{error.code}: {error}")
            await self.rest(rng.uniform(0, 2))

    async def deaf(self, rng: random.Random) -> None:
        """One that asks for much and reads nothing."""
        while not self.over:
            start = {
                "type": "start",
                "audio": {"encoding": "pcm_s16le", "sample_rate": RATE},
                "source": {"kind": "file"},
                "emit": {"frames_hz": 100, "wave": True},
            }
            ws = await websockets.connect(f"{self.ws}/v1/stream", open_timeout=PATIENCE_S, max_queue=1, close_timeout=1)
            async with ws:
                with contextlib.suppress(ConnectionClosed):
                    await ws.send(json.dumps(start))
                    for _ in range(300):
                        await ws.send(SOUND[:64_000])
                await asyncio.wait_for(ws.wait_closed(), PATIENCE_S)
            self.counted["readers that read nothing"] += 1
            await asyncio.sleep(min(rng.uniform(100, 600), max(0.0, self.end - time.monotonic())))

    async def watcher(self, rng: random.Random) -> None:
        last: int | None = None
        while not self.over:
            end = min(self.end, time.monotonic() + self.slow * rng.uniform(1, 20))
            if rng.random() < 0.3:
                async with websockets.connect(f"{self.ws}/v1/events", open_timeout=PATIENCE_S) as ws:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(end - time.monotonic()):
                            async for _ in ws:
                                self.counted["watched by WebSocket"] += 1
            else:
                last = await self.reader(last, end)
            self.counted["watchers"] += 1

    async def reader(self, last: int | None, end: float) -> int | None:
        """Server-Sent Events from the number `last` on; the number up to which nothing was missed."""
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        async with (
            httpx.AsyncClient(timeout=PATIENCE_S, verify=False) as http,
            http.stream("GET", f"{self.http}/v1/events/stream", headers=headers) as answer,
        ):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(end - time.monotonic()):
                    async for line in answer.aiter_lines():
                        if line.startswith("id: "):
                            number = int(line[4:])
                            if last is not None and number != last + 1:
                                self.wrong.append(f"a watcher got {number} after {last}")
                            last = number
                            self.counted["watched"] += 1
                        elif '"type": "lagged"' in line:
                            last = json.loads(line[6:])["to_seq"]
        return last

    async def uploader(self, rng: random.Random) -> None:
        whole = wav(data=SOUND)
        files = cycle([whole, whole[: len(whole) // 2], b"", rng.randbytes(100_000), wav(rate=1), wav(channels=200)])
        async with httpx.AsyncClient(timeout=PATIENCE_S, verify=False) as http:
            while not self.over:
                try:
                    answer = await http.post(f"{self.http}/v1/classify", content=next(files))
                except httpx.TransportError as error:  # a kept connection that the server has just given up
                    self.counted[f"uploads {type(error).__name__}"] += 1
                    continue
                self.counted[f"uploads {answer.status_code}"] += 1
                if answer.status_code >= 500 and answer.status_code != 503:
                    self.wrong.append(f"upload: {answer.status_code} {answer.text[:200]}")
                await self.rest(rng.uniform(0.5, 3))


class Musician:
    """One session."""

    def __init__(self, crowd: Crowd, rng: random.Random) -> None:
        self.crowd = crowd
        self.rng = rng
        self.chunk = crowd.slow * rng.choice([320, 640, 1_600])  # samples
        self.given = 0  # of them
        self.before = 0  # heard by sessions that ours was begun anew for
        self.open: set[str] = set()

    async def play(self) -> None:
        rng, crowd = self.rng, self.crowd
        hz = 10 / crowd.slow
        emit = {name: rng.choice([0, hz]) for name in ("frames_hz", "scores_hz", "updates_hz")}
        policy = rng.choice(["block", "drop_oldest", "drop_newest", "error"])
        async with connect(
            crowd.ws, sample_rate=RATE, encoding="pcm_s16le", emit={**emit, "levels_hz": hz},
            source={"kind": "network"}, on_overload=policy, anew=True,
        ) as stream:  # fmt: skip
            self.come_back_late(stream)
            listening = asyncio.create_task(self.listen(stream))
            try:
                await self.sound(stream)
                if next(crowd.endings):
                    stream._socket.transport.abort()
                    crowd.counted["sessions never ended"] += 1
                    return
                summary = await stream.stop()
                await listening
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)  # `sound` has the same error
        self.check(summary)

    def come_back_late(self, stream: Stream) -> None:
        dial = stream._dial

        async def late() -> Any:
            await asyncio.sleep(self.rng.choice(AWAY_S))
            return await dial()

        stream._dial = late

    async def sound(self, stream: Stream) -> None:
        rng, crowd = self.rng, self.crowd
        began = time.monotonic()
        end = min(crowd.end, began + crowd.slow * rng.uniform(5, 60))
        while time.monotonic() < end:
            at = 2 * self.given % len(SOUND)
            await stream.send((SOUND[at:] + SOUND * (1 + 2 * self.chunk // len(SOUND)))[: 2 * self.chunk])
            self.given += self.chunk
            if not self.now_and_then(20):  # else the next chunk comes at once
                await asyncio.sleep(max(0.0, began + self.given / RATE - time.monotonic()))
            if self.now_and_then(10):
                stream._socket.transport.abort()
                crowd.counted["connections lost"] += 1
            if self.now_and_then(30):
                await stream.command("configure", detect={"min_on_ms": rng.randrange(300)})
                await stream.command("flush")
            if self.now_and_then(30):
                silent_s = next(crowd.silences)
                await asyncio.sleep(silent_s)
                began += silent_s

    def now_and_then(self, every_s: float) -> bool:
        return self.rng.random() < self.chunk / RATE / every_s / self.crowd.slow

    async def listen(self, stream: Stream) -> None:
        counted = self.crowd.counted
        async for message in stream:
            if isinstance(message, bytes):
                continue
            kind = message["type"]
            if kind == "event":
                (self.open.discard if message["is_final"] else self.open.add)(message["event_id"])
            elif kind == "anew":
                self.before += message["sample"]
                self.open -= set(message["open"])
            counted[f"{kind} {message['state']}" if kind == "source" else kind] += 1

    def check(self, summary: dict[str, Any]) -> None:
        """Every sample was heard or told as lost, every onset has ended."""
        crowd = self.crowd
        crowd.counted["sessions"] += 1
        crowd.counted["seconds"] += self.given // RATE
        told = self.before + (summary["processed_ms"] + summary["dropped_ms"]) * RATE / 1000
        if self.open or round(told) != self.given:
            crowd.wrong.append(f"of {self.given} samples, {self.before} before: {summary}; never ended: {self.open}")
