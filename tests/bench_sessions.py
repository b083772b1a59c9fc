"""What many live sessions cost a process, without a network: `python -m tests.bench_sessions --help`.

The service's own connections (`server/transport.py`) are given WebSocket frames in real time, as if the network had
brought them. So no system call and no generator is in the figure, and other work on the
machine disturbs it less than `tests/bench_service.py`: CPU of this process for a second of sound of one stream. What
driving costs by itself (timers, idle sessions) is measured first, and told. `--flat-out` leaves time out as well, to
compare two versions where other work disturbs: chunks come as fast as they are heard, 50 in a batch, in one thread.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import numpy as np
import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from client.notes import notes
from engine.warmup import warm
from server import lane, unison
from server.app import COMMON, create_app
from server.framing import Header
from server.lane import Lane
from server.service import Service
from server.settings import Settings
from server.transport import WebSocket
from spiccato.bench import started

RATE_HZ = 16_000
VOICES = 8  # places of the sound where sessions begin
BATCH = 50  # chunks, as with 500 sessions and a batch each 2 ms
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nhost: 127.0.0.1:8000\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)


class Wire(asyncio.Transport):
    """In the network's place."""

    def __init__(self) -> None:
        super().__init__()
        self.last = b""

    def write(self, data: Any) -> None:
        self.last = data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 5000)}.get(name, default)


async def begun(config: uvicorn.Config, start: dict[str, Any]) -> WebSocket:
    socket, wire = WebSocket(config, ServerState(), {}), Wire()
    socket.connection_made(wire)
    socket.data_received(UPGRADE)
    while b'"ready"' not in wire.last:
        await asyncio.sleep(0)
    socket.data_received(Frame(Opcode.TEXT, json.dumps(start).encode()).serialize(mask=True))
    return socket


def frames(voice: int, chunk_ms: int, count: int, framed: bool) -> Iterator[bytes]:
    pcm, size = notes(12.0, RATE_HZ), RATE_HZ * chunk_ms // 1000 * 2
    pieces = [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]
    for number, piece in enumerate(islice(cycle(pieces), voice * 37, voice * 37 + count)):
        if framed:
            piece = Header(number, number * size // 2).pack() + piece
        yield Frame(Opcode.BINARY, piece).serialize(mask=True)


async def driven(sockets: list[WebSocket], voices: list[list[bytes]], chunk_ms: int) -> float:
    """CPU, in seconds, of giving each socket its frames in real time; of frames that are empty, nothing is given."""
    period_s, count = chunk_ms / 1000, len(sockets)
    began, cpu_s = time.perf_counter(), time.process_time()
    for number in range(len(voices[0])):
        given = 0
        while given < count:
            due = min(count, int(((time.perf_counter() - began) / period_s - number) * count) + 1)
            for i in range(given, due):
                if frame := voices[i % VOICES][number]:
                    sockets[i].data_received(frame)
            given = max(given, due)
            await asyncio.sleep(0.001)
    return time.process_time() - cpu_s


async def flat_out(sockets: list[WebSocket], voices: list[list[bytes]], sound: Lane) -> list[float]:
    """CPU, in seconds, of each round: a frame for every socket, heard in batches."""
    lane.MOST_S, lane.AT_ONCE_BYTES = 0.0, sys.maxsize
    rounds = []
    for number in range(len(voices[0])):
        cpu_s = time.process_time()
        for first in range(0, len(sockets), BATCH):
            for i in range(first, min(first + BATCH, len(sockets))):
                sockets[i].data_received(voices[i % VOICES][number])
            while sound._running:
                await asyncio.sleep(0)
        rounds.append(time.process_time() - cpu_s)
    return rounds


async def measured(
    sessions: int, chunk_ms: int, seconds: float, emit: dict[str, float], framed: bool, rush: bool
) -> str:
    app = create_app(Settings(max_sessions=sessions, history="off", resume_s=0))  # type: ignore[arg-type]
    service: Service = app.state.service
    warm(service.model)
    unison.warm(service.model)
    service.ready = True
    config = uvicorn.Config(app, lifespan="off", **COMMON)
    config.load()
    audio = {"encoding": "pcm_s16le", "sample_rate": RATE_HZ, "framing": "framed" if framed else "raw"}
    sockets = [await begun(config, {"type": "start", "audio": audio, "emit": emit}) for _ in range(sessions)]
    count = round(seconds * 1000 / chunk_ms)
    if rush:
        warming = 500 // chunk_ms
        voices = [list(frames(voice, chunk_ms, warming + count, framed)) for voice in range(VOICES)]
        rounds = (await flat_out(sockets, voices, service.sessions._lane))[warming:]
        await ended(sockets, service)
        each = np.percentile(rounds, (10, 50)) / sessions / chunk_ms * 1e6
        return (
            f"{sessions} sessions, chunks of {chunk_ms} ms, {audio['framing']}, flat out: {each[1]:.3f} ms of CPU for "
            f"a stream-second (median of {count} rounds; {each[0]:.3f} in the tenth that was disturbed least)"
        )
    idle_s = await driven(sockets, [[b""] * count] * VOICES, chunk_ms)
    warming = 1000 // chunk_ms
    voices = [list(frames(voice, chunk_ms, warming + count, framed)) for voice in range(VOICES)]
    await driven(sockets, [voice[:warming] for voice in voices], chunk_ms)
    before = service.sessions.meters.total()
    cpu_s = await driven(sockets, [voice[warming:] for voice in voices], chunk_ms)
    total = service.sessions.meters.total()
    chunks = sum(total.latency.counts) - sum(before.latency.counts)
    mean_ms = (total.latency.sum - before.latency.sum) * 1000 / max(chunks, 1)
    await ended(sockets, service)
    heard_s = max(chunks, 1) * chunk_ms / 1000
    return (
        f"{sessions} sessions, chunks of {chunk_ms} ms: {cpu_s * 1000 / heard_s:.2f} ms of CPU for a stream-second "
        f"that was heard, {idle_s * 1000 / (sessions * seconds):.2f} of them without sound; {mean_ms:.1f} ms from a "
        f"chunk to its answer on average, {chunks} of {count * sessions} chunks answered in time"
    )


async def ended(sockets: list[WebSocket], service: Service) -> None:
    for socket in sockets:
        socket.connection_lost(None)
    await service.drain()
    service.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--chunk-ms", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--emit", type=json.loads, default={}, help='as in `start`, for example {"levels_hz": 0}')
    parser.add_argument("--framed", action="store_true")
    parser.add_argument("--flat-out", action="store_true", help="not in real time")
    args = parser.parse_args()
    for sessions in args.sessions:
        work = measured(sessions, args.chunk_ms, args.seconds, args.emit, args.framed, args.flat_out)
        print(started(work), flush=True)


if __name__ == "__main__":
    main()
