"""kill -9 while twenty clients stream: each comes back to the server that is started again, told what is lost."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from client.stream import Stream, connect
from engine.weights import Model
from tests.conftest import ROOT
from tests.live_server import bare, eventually
from tests.synth import low_high, pcm16
from tests.test_session import Client

CLIENTS = 20
CHUNK = 640  # samples: 40 ms
SOUND = pcm16(np.tile(low_high(), 4))  # 14 s


@contextmanager
def serving(port: int, model: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """`spiccato serve` as a process of its own, ready."""
    command = [sys.executable, "-m", "spiccato", "serve", "--port", str(port), "--model", str(model)]
    env = {**os.environ, "SPICCATO_HISTORY": "off", "SPICCATO_STALL_MS": "600000", **environment}
    with subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE) as process:
        try:
            eventually(lambda: is_ready(port, process), 600)
            yield process
        finally:
            process.kill()


def is_ready(port: int, process: "subprocess.Popen[str]") -> bool:
    assert process.poll() is None, "the server did not start"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", verify=False).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def play(session: Stream, number: int, until: asyncio.Event) -> None:
    """At five times the pace of time, to the end of the sound and until told to stop."""
    at = 2 * 1_000 * number
    while at < len(SOUND) or not until.is_set():
        await session.send((SOUND + SOUND)[at % len(SOUND) : at % len(SOUND) + 2 * CHUNK])
        at += 2 * CHUNK
        await asyncio.sleep(CHUNK / 16_000 / 5)


async def one(port: int, number: int, heard: list[Any], until: asyncio.Event) -> int:
    """What a client was told, in `heard`; the samples that it gave."""
    async with connect(
        f"ws://127.0.0.1:{port}",
        sample_rate=16_000,
        encoding="pcm_s16le",
        source={"kind": "file" if number % 2 else "network"},
        buffer_s=600,
        first_wait_s=0.1,
        anew=True,
    ) as session:

        async def listen() -> None:
            async for message in session:
                heard.append(message)

        listening = asyncio.create_task(listen())
        await play(session, number, until)
        given = session._backlog.sample
        await session.stop()
        await listening
        return given


def said(toy: Model, number: int, first: int, end: int) -> list[dict[str, Any]]:
    """The events of samples `first` to `end` of a client's sound, in a session that nobody disturbs."""
    start = 2 * 1_000 * number
    whole = b""
    while len(whole) < 2 * end:
        whole += (SOUND + SOUND)[start % len(SOUND) : start % len(SOUND) + 2 * CHUNK]
        start += 2 * CHUNK
    client = Client(toy, source={"kind": "file" if number % 2 else "network"})
    client.hear(whole[2 * first : 2 * end], 10**6)
    client.send("stop")
    return bare(client.told)


def test_after_kill_9_every_client_begins_anew_and_is_told_what_is_lost(toy: Model, toy_path: Path) -> None:
    port = free_port()

    async def all_of_them() -> tuple[list[list[Any]], list[int]]:
        told: list[list[Any]] = [[] for _ in range(CLIENTS)]
        until = asyncio.Event()
        with serving(port, toy_path) as first:
            running = [asyncio.create_task(one(port, n, told[n], until)) for n in range(CLIENTS)]
            while min(sum(m["type"] == "event" for m in heard) for heard in told) < 3:
                await asyncio.sleep(0.05)
                assert not any(task.done() for task in running)
            first.send_signal(signal.SIGKILL)
            first.wait()
        with serving(port, toy_path):
            while not all(any(m["type"] == "anew" for m in heard) for heard in told):
                await asyncio.sleep(0.05)
                assert not any(task.done() and task.exception() for task in running)
            until.set()
            return told, list(await asyncio.gather(*running))

    told, given = asyncio.run(all_of_them())
    for number, heard in enumerate(told):
        (at,) = [i for i, message in enumerate(heard) if message["type"] == "anew"]
        before, anew, after = heard[:at], heard[at], heard[at + 1 :]
        assert (anew["session"], anew["reason"]) == (before[0]["session"], "resume_unknown")
        assert after[0]["type"] == "started"
        assert {m["session"] for m in after} == {after[0]["session"]} != {anew["session"]}
        assert [m["seq"] for m in after] == list(range(1, 1 + len(after)))
        # all that the old session told is what it would have told undisturbed, as far as it came
        sample = anew["sample"]
        undisturbed = said(toy, number, 0, sample + given[number])
        assert bare(before) == undisturbed[: len(bare(before))]
        assert all(event["decided_sample"] >= sample for event in undisturbed[len(bare(before)) :])
        onsets = {m["event_id"] for m in before if m["type"] == "event" and not m["is_final"]}
        ends = {m["event_id"] for m in before if m["type"] == "event" and m["is_final"]}
        assert set(anew["open"]) == onsets - ends
        # the new one heard every sample from there on
        assert after[-1]["type"] == "summary"
        assert after[-1]["audio_ms"] == given[number] / 16
        assert after[-1]["dropped_ms"] == 0
        assert bare(after) == said(toy, number, sample, sample + given[number])
