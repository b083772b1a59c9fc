"""Some services with one Redis behind one address, processes that can be killed, and clients that play through it all.

The address is a small relay that gives each connection to the next service that takes one, as a balancer does.
"""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from os import environ
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from client.session import Stream
from client.stream import connect
from engine.weights import Model
from tests.conftest import ROOT
from tests.live_server import bare
from tests.synth import low_high, pcm16
from tests.test_kill import free_port
from tests.test_session import Client

RATES = (16_000, 16_000, 48_000, 16_000, 44_100, 16_000, 32_000, 16_000)  # of one client after the other
PACE = 2.0  # times real time, where nothing else is said
CHUNK_S = 0.04


@dataclass
class Relay:
    """TCP to whichever port takes it."""

    ports: list[int]
    turn: int = 0
    only: int | None = None  # a port that new connections go to, in place of any
    serving: set["asyncio.Task[None]"] = field(default_factory=set)
    links: set[tuple[int, asyncio.StreamWriter, asyncio.StreamWriter]] = field(default_factory=set)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self.cut(*self.ports)
            await asyncio.gather(*self.serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        await self._link(reader, writer)
        self.serving.discard(task)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for _ in self.ports:
                self.turn += 1
                port = self.only or self.ports[self.turn % len(self.ports)]
                try:
                    there, back = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    continue
                link = (port, writer, back)
                self.links.add(link)
                await asyncio.gather(_pass(reader, back), _pass(there, writer))
                self.links.discard(link)
                return
        writer.close()

    def cut(self, *ports: int) -> None:
        """Their connections are lost; the services go on."""
        for there, writer, back in self.links:
            if there in ports:
                writer.transport.abort()
                back.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Fleet:
    def __init__(self, model: Path, redis: str, count: int = 2, **settings: str) -> None:
        self.ports = [free_port() for _ in range(count)]
        self._command = [sys.executable, "-m", "spiccato", "serve", "--model", str(model)]
        of_all = {
            "HISTORY": "off",
            "LOG_LEVEL": "warning",
            "STALL_MS": "600000",
            "FAILOVER_URL": redis,
            "CONNECTS_PER_MINUTE": "1000000",
        }
        self._env = {**environ, **{f"SPICCATO_{name}": value for name, value in {**of_all, **settings}.items()}}
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    async def start(self, *ports: int) -> None:
        for port in ports:
            self._running[port] = subprocess.Popen([*self._command, "--port", str(port)], cwd=ROOT, env=self._env)
        async with httpx.AsyncClient() as http, asyncio.timeout(300):
            for port in ports:
                while not await self._is_ready(http, port):
                    await asyncio.sleep(0.05)

    async def _is_ready(self, http: httpx.AsyncClient, port: int) -> bool:
        assert self._running[port].poll() is None, "the service did not start"
        try:
            return (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def metric(self, port: int, name: str) -> float:
        async with httpx.AsyncClient(timeout=30) as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        return next(float(line.split()[-1]) for line in text.splitlines() if line.split(" ")[0] == name)

    def kill(self, port: int) -> None:
        self._running[port].kill()
        self._running.pop(port).wait()

    def freeze(self, port: int) -> None:
        self._running[port].send_signal(signal.SIGSTOP)

    def thaw(self, port: int) -> None:
        self._running[port].send_signal(signal.SIGCONT)

    def close(self) -> None:
        for port in list(self._running):
            self.kill(port)


class Player:
    """A client that plays until it is told to stop, and all that it was told."""

    def __init__(self, port: int, number: int, pace: float = PACE, **more: Any) -> None:
        self.rate = RATES[number % len(RATES)]
        self.kind = "file" if number % 3 == 0 else "network"
        self.told: list[Any] = []
        self.given = 0
        self.reconnects = 0
        self._port = port
        self._pace = pace
        self._more = more
        self._sound = pcm16(np.roll(np.tile(low_high(self.rate), 2), number * 1_234))

    @property
    def events(self) -> int:
        return sum(isinstance(message, dict) and message["type"] == "event" for message in self.told)

    async def play(self, until: asyncio.Event) -> None:
        async with connect(
            f"ws://127.0.0.1:{self._port}",
            sample_rate=self.rate,
            encoding="pcm_s16le",
            source={"kind": self.kind},
            emit={"heartbeat_s": 0.5},
            buffer_s=600,
            first_wait_s=0.05,
            **self._more,
        ) as session:
            listening = asyncio.create_task(self._listen(session))
            samples = round(CHUNK_S * self.rate)
            await asyncio.sleep(random.uniform(0, CHUNK_S))
            while not until.is_set():
                await session.send(self._piece(self.given, samples))
                self.given += samples
                await asyncio.sleep(CHUNK_S / self._pace)
            await session.stop()
            await listening
            self.reconnects = session.reconnects

    def _piece(self, first: int, samples: int) -> bytes:
        size, at = 2 * samples, 2 * first % len(self._sound)
        whole = self._sound[at : at + size]
        return whole + self._sound[: size - len(whole)]

    async def _listen(self, session: Stream) -> None:
        async for message in session:
            self.told.append(message)

    def mistakes(self, model: Model) -> list[str]:
        """What is not as in a session that nobody disturbs."""
        wrong = []
        undisturbed = Client(model, self.rate, source={"kind": self.kind})
        undisturbed.hear(self._piece(0, 0) + b"".join(self._whole()), 2**16)
        undisturbed.send("stop")
        expected, got = bare(undisturbed.told), bare(self.told)
        if got != expected:
            at = next((i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), "the end")
            wrong.append(f"{self.rate} Hz: {len(got)} events in place of {len(expected)}, other ones from {at} on")
        if len(sessions := {message["session"] for message in self.told}) != 1:
            wrong.append(f"{len(sessions)} sessions")
        ids = [message["event_id"] for message in self.told if message["type"] == "event" and not message["is_final"]]
        ends = [message["event_id"] for message in self.told if message["type"] == "event" and message["is_final"]]
        if len(set(ids)) != len(ids) or sorted(ids) != sorted(ends):
            wrong.append("ids that do not pair")
        runs = [(m.get("from_seq", m["seq"]), m["seq"]) for m in self.told if m["type"] != "anew"]
        wrong += [f"{b[0]} came after {a[1]}" for a, b in pairwise([(0, 1), *runs]) if b[0] != a[1] + 1]
        if found := {message["type"] for message in self.told} & {"gap", "anew", "error", "warning"}:
            wrong.append(f"was told {found}")
        summary = self.told[-1]
        if (summary["type"], summary.get("audio_ms")) != ("summary", round(self.given * 1000 / self.rate, 3)):
            wrong.append(f"the end is {summary}, {self.given} samples were given")
        labels = [{**row, "seconds": 0} for row in summary.get("labels", [])]
        if labels != [{**row, "seconds": 0} for row in undisturbed.told[-1]["labels"]]:  # type: ignore[index]
            wrong.append("another summary")
        return wrong

    def _whole(self) -> list[bytes]:
        size = len(self._sound) // 2
        return [self._piece(at, min(size, self.given - at)) for at in range(0, self.given, size)]
