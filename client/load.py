"""Many sessions at once, in real time, from one process: what does a service bear? Knows the wire and the clock.

Every session sends chunk after chunk at its own moment of the chunk's period. A latency is the time from the sending of
a chunk to the arrival of a message that it caused: a `level` names the last sample of its chunk, an event the sample
that decided it. Chunks are made into WebSocket frames before the start, so that this side costs little; how late it
sent is told, for figures mean nothing where the generator is late itself.
"""

import asyncio
import json
import struct
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import WebSocketURI, parse_uri

from client.backlog import HEADER, MAGIC, VERSION
from client.dial import StreamError, refused, stream_address

CONNECTING = 20  # handshakes at once
PATIENCE_S = 30.0  # for the answers to `start` and `stop`
SLEEP_S = 0.001  # between two looks at the clock: what is due is sent together
TEXT = 0x81  # the first byte of a whole text message
PING_S = 0.05  # one session after the other is pinged so often


@dataclass(frozen=True)
class Plan:
    url: str  # the service's address
    sessions: int
    seconds: float  # that are measured
    chunk_ms: int = 20
    warm_s: float = 2.0  # before them
    framed: bool = False
    rate_hz: int = 16_000
    token: str | None = None
    emit: dict[str, Any] = field(default_factory=dict)  # as in `start`

    @property
    def chunk_samples(self) -> int:
        return self.rate_hz * self.chunk_ms // 1000

    @property
    def warm_chunks(self) -> int:
        return round(self.warm_s * 1000 / self.chunk_ms)

    @property
    def chunks(self) -> int:
        """That each session sends."""
        return self.warm_chunks + round(self.seconds * 1000 / self.chunk_ms)


@dataclass
class Seen:
    """What all sessions saw together. Times in seconds."""

    latencies: "array[float]" = field(default_factory=lambda: array("d"))  # chunk to the message that it caused
    events: "array[float]" = field(default_factory=lambda: array("d"))  # of these, the events
    pings: "array[float]" = field(default_factory=lambda: array("d"))
    late: "array[float]" = field(default_factory=lambda: array("d"))  # by which chunks were sent after their moment
    factors: "array[float]" = field(default_factory=lambda: array("d"))  # real-time factors that heartbeats told
    worst_lag_ms: float = 0.0  # of all heartbeats: sound that had come and was not yet heard
    left_out: int = 0  # telemetry
    lost_samples: int = 0  # sent, and not heard
    gaps: int = 0
    failed: list[str] = field(default_factory=list)  # why sessions ended early
    generator_cpu_s: float = 0.0  # while measuring
    measured_s: float = 0.0


class Talk(asyncio.Protocol):
    """One session's connection."""

    def __init__(self, uri: WebSocketURI, plan: Plan, seen: Seen) -> None:
        loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.started: asyncio.Future[None] = loop.create_future()
        self.summary: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.sent = array("d")  # when each chunk was
        self._ws = ClientProtocol(uri, max_size=None)
        self._plan = plan
        self._seen = seen
        self._error: StreamError | None = None
        self._is_open = False
        self._rest = b""  # of a frame that is not complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type
        request = self._ws.connect()
        if self._plan.token is not None:
            request.headers["Authorization"] = f"Bearer {self._plan.token}"
        self._ws.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        data = self._rest + data
        at = 0
        if not self._is_open:
            at = len(data)  # of a refusal, all is the library's; of an upgrade its head, nothing of the first message
            if data.startswith(b"HTTP/1.1 101") and (at := data.find(b"\r\n\r\n") + 4) < 4:
                self._rest = data
                return
            self._library(data[:at], now)
        while (frame := _frame(data, at)) is not None:
            begin, end = frame
            if data[at] == TEXT:
                self._message(json.loads(data[begin:end]), now)
            else:
                self._library(data[at:end], now)
            at = end
        self._rest = data[at:]

    def _library(self, data: bytes, now: float) -> None:
        """What is no text message: the handshake, pongs, the close."""
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Response):
                self._opened()
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self._seen.pings.append(now - struct.unpack("d", event.data)[0])
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self._error or StreamError("connection_lost", "the server closed the connection", retryable=True))

    def send_chunk(self, frame: bytes, now: float) -> None:
        self.sent.append(now)
        self.transport.write(frame)

    def send(self, type: str, **fields: Any) -> None:
        self._ws.send_text(json.dumps({"type": type, **fields}).encode())
        self._flush()

    def ping(self) -> None:
        if not self.transport.is_closing():
            self._ws.send_ping(struct.pack("d", time.perf_counter()))
            self._flush()

    def _opened(self) -> None:
        error = self._ws.handshake_exc
        if error is not None:
            self._error = (
                refused(self._plan.url, error)
                if isinstance(error, InvalidStatus)
                else StreamError("unreachable", f"{self._plan.url}: {error}", retryable=True)
            )
            return
        self._is_open = True
        framing = "framed" if self._plan.framed else "raw"
        audio = {"encoding": "pcm_s16le", "sample_rate": self._plan.rate_hz, "channels": 1, "framing": framing}
        self.send("start", audio=audio, emit=self._plan.emit)

    def _message(self, message: dict[str, Any], now: float) -> None:
        seen, kind = self._seen, message["type"]
        if kind == "level":
            self._answered(message["sample"], now)
        elif kind == "event":
            if message["latency_ms"] is not None and (s := self._answered(message["decided_sample"], now)) is not None:
                seen.events.append(s)
        elif kind == "heartbeat":
            seen.worst_lag_ms = max(seen.worst_lag_ms, message["lag_ms"])
            if message["realtime_factor"] is not None:
                seen.factors.append(message["realtime_factor"])
        elif kind == "lagged":
            seen.left_out += message["to_seq"] - message["from_seq"] + 1
        elif kind == "gap":
            seen.gaps += 1
        elif kind == "started" and not self.started.done():
            self.started.set_result(None)
        elif kind == "error":
            self._error = StreamError(message["code"], message["message"], retryable=message["retryable"])
        elif kind == "summary" and not self.summary.done():
            self.summary.set_result(message)

    def _answered(self, sample: int, now: float) -> float | None:
        chunk = (sample - 1) // self._plan.chunk_samples
        if not self._plan.warm_chunks <= chunk < len(self.sent):
            return None
        self._seen.latencies.append(now - self.sent[chunk])
        return self._seen.latencies[-1]

    def _end(self, error: StreamError) -> None:
        for future in (self.started, self.summary):
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever still waits gets it; it is no fault if nobody does

    def _flush(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                self.transport.write(data)
            else:
                self.transport.close()


class Load:
    """`async with Load(plan, pcm) as load: await load.play()`; then `load.seen`.

    pcm: mono 16-bit sound at the plan's rate, heard over and over; sessions begin at different places of it.
    """

    VOICES = 16  # places where sessions begin

    def __init__(self, plan: Plan, pcm: bytes) -> None:
        self.plan = plan
        self.seen = Seen()
        self.on_warming: Callable[[], Awaitable[None]] | None = None  # begun half-way through the time that warms it up
        self._talks: list[Talk] = []
        self._voices = [list(_frames(plan, pcm, voice / self.VOICES)) for voice in range(self.VOICES)]

    async def __aenter__(self) -> "Load":
        """Open every session. Raises StreamError."""
        uri = parse_uri(stream_address(self.plan.url))
        turns = asyncio.Semaphore(CONNECTING)
        opening = [asyncio.create_task(self._open(uri, turns)) for _ in range(self.plan.sessions)]
        try:
            self._talks = list(await asyncio.gather(*opening))
        except BaseException:
            for task in opening:
                task.cancel()
            for talk in await asyncio.gather(*opening, return_exceptions=True):
                if isinstance(talk, Talk):
                    talk.transport.abort()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for talk in self._talks:
            talk.transport.abort()

    async def play(self) -> None:
        """Send everything, in time."""
        pinging = asyncio.create_task(self._ping())
        telling = asyncio.create_task(self._warm())
        try:
            await self._send()
            await telling
        finally:
            pinging.cancel()
            telling.cancel()

    async def _warm(self) -> None:
        await asyncio.sleep(self.plan.warm_s / 2)
        if self.on_warming is not None:
            await self.on_warming()

    async def end(self) -> None:
        """Stop every session and compare what it heard with what was sent."""
        for talk in self._talks:
            if not talk.transport.is_closing():
                talk.send("stop")
        told = await asyncio.gather(*(self._summary(talk) for talk in self._talks), return_exceptions=True)
        for talk, summary in zip(self._talks, told, strict=True):
            sent = len(talk.sent) * self.plan.chunk_samples
            if isinstance(summary, dict):
                self.seen.lost_samples += sent - round(summary["processed_ms"] * self.plan.rate_hz / 1000)
            else:
                self.seen.lost_samples += sent
                self.seen.failed.append(str(summary) or type(summary).__name__)

    async def _open(self, uri: WebSocketURI, turns: asyncio.Semaphore) -> Talk:
        async with turns:
            try:
                _, talk = await asyncio.get_running_loop().create_connection(
                    lambda: Talk(uri, self.plan, self.seen), uri.host, uri.port, ssl=True if uri.secure else None
                )
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await talk.started
                except BaseException:
                    talk.transport.abort()
                    raise
            except TimeoutError as error:
                raise StreamError("unreachable", f"no `started` within {PATIENCE_S:g} s", retryable=True) from error
            except OSError as error:
                text = f"no Spiccato service answers at {self.plan.url}: {error}"
                raise StreamError("unreachable", text, retryable=True) from error
            return talk

    async def _send(self) -> None:
        plan, talks, clock = self.plan, self._talks, time.perf_counter
        period, count = plan.chunk_ms / 1000, len(talks)
        began = clock()
        cpu_s = time.process_time()
        for chunk in range(plan.chunks):
            frames = [voice[chunk] for voice in self._voices]
            if chunk == plan.warm_chunks:
                cpu_s = time.process_time()
            for i, talk in enumerate(talks):
                due = began + (chunk + i / count) * period
                while (now := clock()) < due:
                    await asyncio.sleep(max(SLEEP_S, due - now))
                if chunk >= plan.warm_chunks:
                    self.seen.late.append(now - due)
                if not talk.transport.is_closing():
                    talk.send_chunk(frames[i % self.VOICES], now)
        self.seen.generator_cpu_s = time.process_time() - cpu_s
        self.seen.measured_s = clock() - began - plan.warm_chunks * period

    async def _ping(self) -> None:
        while True:
            for talk in self._talks:
                await asyncio.sleep(PING_S)
                talk.ping()

    async def _summary(self, talk: Talk) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            return await talk.summary


def _frame(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the server's frame at `at` begins and ends; None if it is not complete."""
    if len(data) < at + 2:
        return None
    begin, size = at + 2, data[at + 1]
    if size >= 126:
        begin += 2 if size == 126 else 8
        size = int.from_bytes(data[at + 2 : begin])
    return (begin, begin + size) if begin + size <= len(data) else None


def _frames(plan: Plan, pcm: bytes, begin: float) -> Iterator[bytes]:
    """The binary messages of one session, as they lie on the wire. begin: where in the sound, 0 to 1."""
    size = 2 * plan.chunk_samples
    pieces = [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]
    first = int(begin * len(pieces))
    for number in range(plan.chunks):
        data = pieces[(first + number) % len(pieces)]
        if plan.framed:
            data = HEADER.pack(MAGIC, VERSION, 0, 0, number & 0xFFFFFFFF, number * plan.chunk_samples) + data
        yield Frame(Opcode.BINARY, data).serialize(mask=True)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The value below which `percent` of them are; None where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else None
