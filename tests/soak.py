"""`make soak`: a real server for as long as one likes (`ARGS="--minutes 60"`), and proof that nothing of it grows.

The server is a process of its own; clients stream to it in real time over the resuming client, lose their connections,
leave and come anew; files are uploaded, good and bad; watchers come and go. Every few seconds its memory, descriptors
and threads are read from /proc, its lag and queues from /metrics. The last third must be as the second was (the first
warms up). Writes build/soak.json; ends with status 1 where something grew, was lost, or answered 5xx.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import websockets

from client.stream import StreamError, connect
from tests.conftest import ROOT
from tests.synth import low_high, pcm16
from tests.test_hostile import wav
from tests.test_kill import free_port, serving
from tests.toy import toy_model

RATE = 16_000
SOUND = pcm16(low_high())
EVERY_S = 2.0  # between two looks
PATIENCE_S = 60.0  # with a server on a busy machine
GROWTH_MB, GROWTH_FILES, GROWTH_THREADS = 4.0, 2, 0  # allowed from the second third to the last
LAG_S, QUEUE_BYTES = 0.005, 2 * RATE * 2  # of growth: lag p99, sound that waits
FAULTS = ("internal", "partial_sample", "bad_framing", "bad_message")  # of which a client of ours should never hear


class Crowd:
    def __init__(self, port: int, end: float) -> None:
        self.http, self.ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        self.end = end
        self.counted: Counter[str] = Counter()
        self.wrong: list[str] = []

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end

    async def musician(self, rng: random.Random) -> None:
        """Session after session, in real time, each with its connection lost now and then."""
        while not self.over:
            try:
                await self.session(rng)
            except StreamError as error:
                self.counted[f"session {error.code}"] += 1
                if error.code in FAULTS:
                    self.wrong.append(f"{error.code}: {error}")
            await asyncio.sleep(rng.uniform(0, 2))

    async def session(self, rng: random.Random) -> None:
        chunk = rng.choice([320, 640, 1_600])
        open_: set[str] = set()
        given = 0

        async def listen() -> None:
            async for message in stream:
                if isinstance(message, dict) and message["type"] == "event":
                    (open_.discard if message["is_final"] else open_.add)(message["event_id"])
                    self.counted["events"] += 1

        emit = {"frames_hz": rng.choice([0, 20]), "scores_hz": rng.choice([0, 10]), "updates_hz": rng.choice([0, 10])}
        async with connect(
            self.ws, sample_rate=RATE, encoding="pcm_s16le", emit=emit, source={"kind": "network"}, anew=True
        ) as stream:
            listening = asyncio.create_task(listen())
            began = time.monotonic()
            end = min(self.end, began + rng.uniform(5, 60))
            while time.monotonic() < end:
                at = 2 * given % (len(SOUND) - 2 * chunk)
                await stream.send(SOUND[at : at + 2 * chunk])
                given += chunk
                await asyncio.sleep(max(0.0, began + given / RATE - time.monotonic()))
                if rng.random() < 0.1 * chunk / RATE:  # about every ten seconds
                    stream._socket.transport.abort()
                    self.counted["connections lost"] += 1
            summary = await stream.stop()
            await listening
        self.counted["sessions"] += 1
        self.counted["seconds"] += given // RATE
        if open_ or (summary["processed_ms"] + summary["dropped_ms"]) * RATE / 1000 != given:
            self.wrong.append(f"of {given} samples: {summary}; never ended: {open_}")

    async def watcher(self, rng: random.Random) -> None:
        while not self.over:
            end = min(self.end, time.monotonic() + rng.uniform(1, 20))
            if rng.random() < 0.5:
                async with websockets.connect(f"{self.ws}/v1/events", open_timeout=PATIENCE_S):
                    await asyncio.sleep(max(0.0, end - time.monotonic()))
            else:
                async with (
                    httpx.AsyncClient(timeout=PATIENCE_S) as http,
                    http.stream("GET", f"{self.http}/v1/events/stream") as answer,
                ):
                    await anext(answer.aiter_lines())
                    await asyncio.sleep(max(0.0, end - time.monotonic()))
            self.counted["watchers"] += 1

    async def uploader(self, rng: random.Random) -> None:
        whole = wav(data=SOUND)
        files = [whole, whole[: len(whole) // 2], b"", rng.randbytes(100_000), wav(rate=1), wav(channels=200)]
        async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
            while not self.over:
                try:
                    answer = await http.post(f"{self.http}/v1/classify", content=rng.choice(files))
                except httpx.TransportError as error:  # a kept connection that the server has just given up
                    self.counted[f"uploads {type(error).__name__}"] += 1
                    continue
                self.counted[f"uploads {answer.status_code}"] += 1
                if answer.status_code >= 500 and answer.status_code != 503:
                    self.wrong.append(f"upload: {answer.status_code} {answer.text[:200]}")
                await asyncio.sleep(rng.uniform(0.5, 3))

    async def looks(self, pid: int) -> list[dict[str, float]]:
        seen = []
        before: dict[str, float] = {}
        async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
            while not self.over:
                now = metrics((await http.get(f"{self.http}/metrics")).text)
                seen.append({**process(pid), **told(now, before), "at_s": round(time.monotonic() - self.end, 1)})
                before = now
                await asyncio.sleep(EVERY_S)
        return seen


def process(pid: int) -> dict[str, float]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "rss_mb": int(status["VmRSS"].split()[0]) / 1024,
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
    }


def metrics(text: str) -> dict[str, float]:
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def told(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """Of the time since the last look."""
    lag = "spiccato_event_loop_lag_seconds"
    buckets = {
        float(name.split('"')[1]): now[name] - before.get(name, 0.0) for name in now if name.startswith(f"{lag}_bucket")
    }
    p99 = next((edge for edge, count in sorted(buckets.items()) if count >= 0.99 * max(buckets.values())), 0.0)
    return {
        "sessions": now["spiccato_sessions"],
        "waiting_sessions": now["spiccato_sessions_waiting"],
        "inbox_bytes": now["spiccato_inbox_bytes"],
        "lag_p99_s": p99,
    }


def growth(seen: list[dict[str, float]], name: str, of: Any = statistics.median) -> tuple[float, float]:
    """What it was in the second third, and in the last."""
    third = len(seen) // 3
    return of(look[name] for look in seen[third : 2 * third]), of(look[name] for look in seen[2 * third :])


def judged(seen: list[dict[str, float]]) -> list[str]:
    """What grew, as sentences."""
    found = []
    for name, allowed in (
        ("rss_mb", GROWTH_MB),
        ("files", GROWTH_FILES),
        ("threads", GROWTH_THREADS),
        ("lag_p99_s", LAG_S),
        ("inbox_bytes", QUEUE_BYTES),
    ):
        before, after = growth(seen, name)
        if after > before + allowed:
            found.append(f"{name} grew from {before:g} to {after:g}: {allowed:g} are allowed")
    return found


async def soak(port: int, pid: int, minutes: float, sessions: int) -> dict[str, Any]:
    crowd = Crowd(port, time.monotonic() + 60 * minutes)
    seen, *_ = await asyncio.gather(
        crowd.looks(pid),
        *(crowd.musician(random.Random(n)) for n in range(sessions)),
        *(crowd.watcher(random.Random(1_000 + n)) for n in range(3)),
        crowd.uploader(random.Random(2_000)),
    )
    wrong = crowd.wrong + judged(seen)
    figures = {name: growth(seen, name) for name in ("rss_mb", "files", "threads", "lag_p99_s", "inbox_bytes")}
    return {
        "minutes": minutes,
        "clients": sessions,
        "counted": dict(sorted(crowd.counted.items())),
        "second_and_last_third": figures,
        "wrong": wrong,
        "looks": seen,
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--minutes", type=float, default=10.0)
    asked.add_argument("--sessions", type=int, default=20)
    asked.add_argument("--out", type=Path, default=ROOT / "build" / "soak.json")
    given = asked.parse_args()
    from engine.weights import save

    given.out.parent.mkdir(parents=True, exist_ok=True)
    model = given.out.parent / "soak-toy.safetensors"
    save(toy_model(), model)
    port = free_port()
    with serving(port, model, SPICCATO_HISTORY=str(given.out.parent / "soak.sqlite")) as server:
        found = asyncio.run(soak(port, server.pid, given.minutes, given.sessions))
        server.terminate()
        if (status := server.wait(60)) not in (0, -signal.SIGTERM):  # uvicorn ends by the signal that it was sent
            found["wrong"].append(f"the server ended with status {status}")
    given.out.write_text(json.dumps(found, indent=1))
    print(json.dumps({name: value for name, value in found.items() if name != "looks"}, indent=1))
    sys.exit(bool(found["wrong"]))


if __name__ == "__main__":
    main()
