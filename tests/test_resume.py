"""Connections that are lost and made again, on the real server: nothing lost, nothing doubled, nobody else harmed."""

import asyncio
import random
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from client.stream import Stream, StreamError
from client.stream import connect as connect_stream
from engine.weights import Model
from server.framing import Header
from tests.live_server import LiveServer, bare, eventually, live_server, receive, send, stream, streaming, until
from tests.synth import low_high, pcm16, tone
from tests.test_session import Client

AUDIO = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
FRAMED = {**AUDIO, "framing": "framed"}
SOUND = pcm16(low_high())
FILE = {"kind": "file"}  # no stall on a busy machine


@pytest.fixture(scope="module")
def patient(toy_path: Path) -> Iterator[LiveServer]:
    """A server that lets one address connect as often as it likes."""
    with live_server(model=toy_path, connects_per_minute=1_000_000, drain_ms=0, stall_ms=600_000) as running:
        yield running


@contextmanager
def started(server: LiveServer, audio: dict[str, Any] = FRAMED) -> Iterator[tuple[ClientConnection, str]]:
    """A connection with a session, and its token."""
    with streaming(server, audio=audio, source=FILE) as ws:
        yield ws, receive(ws)["resume"]["token"]


def cable_cut(ws: ClientConnection) -> None:
    ws.socket.shutdown(socket.SHUT_RDWR)
    ws.socket.close()


@contextmanager
def resumed(server: LiveServer, token: str, last_seq: int, audio: Any = FRAMED) -> Iterator[ClientConnection]:
    with connect(f"{server.ws}/v1/stream", max_size=None) as ws:
        send(ws, "start", audio=audio, resume={"token": token, "last_seq": last_seq})
        assert receive(ws)["type"] == "ready"
        yield ws


def refusal(server: LiveServer, token: str, last_seq: int = 1, audio: Any = FRAMED) -> tuple[str, str, int]:
    with resumed(server, token, last_seq, audio) as ws:
        error, _ = until(ws, "summary")
        return error["code"], error["message"], closing(ws)


def closing(ws: ClientConnection) -> int:
    try:
        while True:
            ws.recv(60)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


def frames(first: int, end: int) -> bytes:
    return Header(0, first).pack() + SOUND[2 * first : 2 * end]


def test_a_session_goes_on_where_the_connection_was_lost(patient: LiveServer) -> None:
    with started(patient) as (ws, token):
        ws.send(frames(0, 20_000))
        before = until(ws, "event")
        cable_cut(ws)
    with resumed(patient, token, before[-1]["seq"]) as again:
        messages = until(again, "resumed")
        assert messages[-1]["sample"] == 20_000
        assert messages[-1]["effective"]["source"] == {"name": "stream", "kind": "file"}
        again.send(frames(15_000, 40_000))  # an overlap
        again.send(frames(40_000, 56_000))
        send(again, "stop")
        messages += until(again, "summary")
        assert closing(again) == 1000
    whole = before + messages
    assert {m["session"] for m in whole} == {before[0]["session"]}
    assert bare(whole) == bare(stream(patient, SOUND))
    seqs = [seq for m in messages for seq in range(m.get("from_seq", m["seq"]), m["seq"] + 1)]
    assert seqs == list(range(before[-1]["seq"] + 1, messages[-1]["seq"] + 1))
    assert messages[-1]["gaps"] == 0


def test_raw_audio_goes_on_from_the_sample_that_is_told(patient: LiveServer) -> None:
    with started(patient, AUDIO) as (ws, token):
        ws.send(SOUND[:50_000])
        before = until(ws, "event")
        cable_cut(ws)
    with resumed(patient, token, before[-1]["seq"], AUDIO) as again:
        messages = until(again, "resumed")
        again.send(SOUND[2 * messages[-1]["sample"] :])
        send(again, "stop")
        messages += until(again, "summary")
    assert bare(before + messages) == bare(stream(patient, SOUND))


def test_a_newer_connection_takes_over_and_the_older_one_is_closed_with_4409(patient: LiveServer) -> None:
    with started(patient) as (ws, token):
        ws.send(frames(0, 20_000))
        before = until(ws, "event")
        with resumed(patient, token, before[-1]["seq"]) as newer:
            messages = until(newer, "resumed")
            assert closing(ws) == 4409
            newer.send(frames(20_000, 56_000))
            send(newer, "stop")
            messages += until(newer, "summary")
    assert bare(before + messages) == bare(stream(patient, SOUND))


def test_the_last_messages_of_a_session_can_be_fetched_once_more(patient: LiveServer) -> None:
    with started(patient) as (ws, token):
        ws.send(frames(0, 56_000))
        send(ws, "stop")
        first = until(ws, "summary")
        assert closing(ws) == 1000
    for last_seq in (1, first[-2]["seq"], first[-1]["seq"]):
        with resumed(patient, token, last_seq) as again:
            rest = until(again, "summary") if last_seq < first[-1]["seq"] else []
            assert closing(again) == 1000
        assert [m for m in rest if m["type"] != "lagged"] == [
            m for m in first if m["seq"] > last_seq and m["type"] not in ("level", "heartbeat")
        ]


def test_what_cannot_be_resumed_is_refused_with_4404_and_the_session_waits_on(patient: LiveServer) -> None:
    with started(patient) as (ws, token):
        ws.send(frames(0, 20_000))
        before = until(ws, "event")
        cable_cut(ws)
    name, _, secret = token.partition(".")
    assert (name, len(secret)) == (before[0]["session"], 43)  # 256 random bits
    for wrong in ("", "x", name, f"{name}.", f"{name}.{secret[:-1]}", f"{name}.{secret}x", f"s_000000000000.{secret}"):
        code, message, close = refusal(patient, wrong)
        assert (code, close) == ("resume_unknown", 4404), wrong
        assert secret not in message
    assert refusal(patient, token, 10_000)[0] == "resume_unknown"
    assert refusal(patient, token, 1, AUDIO)[::2] == ("bad_message", 4400)
    with resumed(patient, token, before[-1]["seq"]) as again:
        until(again, "resumed")
        send(again, "ack", seq=before[-1]["seq"])
        send(again, "flush", id="f")  # answered after the ack was read
        until(again, "flushed")
        cable_cut(again)
    code, message, close = refusal(patient, token, before[-1]["seq"] - 1)
    assert (code, close) == ("resume_too_old", 4404)
    assert f"kept from seq {before[-1]['seq'] + 1} on" in message


def test_a_session_whose_client_leaves_in_order_or_stays_away_is_ended(
    toy_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "spiccato.live"), live_server(model=toy_path, resume_s=0.3, drain_ms=0) as server:
        ended = []
        for leave in (cable_cut, lambda ws: ws.close()):
            with started(server) as (ws, token):
                ws.send(frames(0, 20_000))
                session = until(ws, "event")[-1]["session"]
                leave(ws)
            eventually(lambda name=session: f"disconnect session={name}" in caplog.text)  # type: ignore[misc]
            assert refusal(server, token)[::2] == ("resume_unknown", 4404)
            ended += [r.getMessage() for r in caplog.records if f"connect session={session}" in r.getMessage()]
        lines = [line for line in ended if line.startswith("disconnect")]
        assert all("reason=disconnect audio_ms=1250 dropped_ms=0 events=1" in line for line in lines)
        assert len(lines) == 2
        assert len(re.findall(r"detached session=", caplog.text)) == 1
        assert token not in caplog.text
        assert server.service.sessions.waiting == 0


def test_a_session_that_finds_no_room_to_wait_ends_instead(toy_path: Path) -> None:
    with (
        live_server(model=toy_path, max_detached=1, drain_ms=0) as server,
        started(server) as (first, token),
        started(server) as (second, other),
    ):
        cable_cut(first)
        eventually(lambda: server.service.sessions.waiting == 1)
        cable_cut(second)
        eventually(lambda: len(server.service.sessions._running) == 1)
        assert refusal(server, other)[0] == "resume_unknown"
        with resumed(server, token, 1) as again:
            assert until(again, "resumed")[-1]["sample"] == 0
            for _ in range(5):  # sessions that end in order do not add up either
                stream(server, SOUND[:640])
            eventually(lambda: len(server.service.sessions._kept) <= 2)


def test_sessions_are_told_before_the_server_stops_and_may_end_themselves(toy_path: Path) -> None:
    def drained(ws: ClientConnection, *, stops: bool) -> tuple[int, str, int]:
        deadline_ms = until(ws, "draining")[-1]["deadline_ms"]
        if stops:
            send(ws, "stop")
        return deadline_ms, until(ws, "summary")[-2]["reason"], closing(ws)

    with ThreadPoolExecutor(2) as pool, ExitStack() as sockets:
        with live_server(model=toy_path, drain_ms=2_000, stall_ms=60_000) as server:
            leaving, staying = (sockets.enter_context(streaming(server)) for _ in range(2))
            for ws in (leaving, staying):
                ws.send(pcm16(tone(200, 0.5)))
                until(ws, "event")
            left, stayed = pool.submit(drained, leaving, stops=True), pool.submit(drained, staying, stops=False)
        assert left.result(60) == (2_000, "stop", 1000)
        assert stayed.result(60) == (2_000, "shutdown", 1001)


def test_a_reader_that_never_reads_harms_only_itself(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = socket.create_server

    def impatient(address: tuple[str, int]) -> socket.socket:
        """So that not the system's buffers take what the reader does not."""
        listening = whole(address)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        return listening

    monkeypatch.setattr(socket, "create_server", impatient)
    with live_server(model=toy_path, reader_s=0.4, connects_per_minute=10_000, drain_ms=0) as server:
        stuck = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with connect(f"{server.ws}/v1/stream", sock=stuck, max_queue=1, close_timeout=0.1) as ws:
            receive(ws)
            emit = {"frames_hz": 100, "scores_hz": 100, "updates_hz": 100}
            send(ws, "start", audio=AUDIO, emit=emit)
            token = receive(ws)["resume"]["token"]
            session = next(iter(server.service.sessions._running))
            minute = pcm16(np.tile(low_high(), 20))
            for at in range(0, len(minute), 64_000):
                ws.send(minute[at : at + 64_000])
            beside = stream(server, SOUND, source=FILE)
            assert bare(beside) == bare(stream(server, SOUND))
            eventually(lambda: session.connection is None)
            assert session.held_bytes < 3_000_000
            cable_cut(ws)
        with resumed(server, token, 1, AUDIO) as again:
            kinds = {m["type"] for m in until(again, "resumed")}
            assert {"event", "lagged", "resumed"} <= kinds


def test_a_thousand_lost_connections_change_no_event(patient: LiveServer, toy: Model) -> None:
    """20 sessions at once, each cut 50 times wherever it is, while they send audio and commands.

    Live ones go on meanwhile, files wait. What each heard is what a session without any connection says.
    """
    Step = tuple[str, Any]

    async def one(number: int) -> tuple[list[Step], list[Any], int]:
        rng = random.Random(number)
        sound = pcm16(np.roll(low_high(), rng.randrange(56_000)))
        heard: list[Any] = []
        steps: list[Step] = []

        async def listen(session: Stream) -> None:
            async for message in session:
                heard.append(message)

        source = {"kind": rng.choice(["file", "network"])}
        async with connect_stream(
            patient.ws, sample_rate=16_000, encoding="pcm_s16le", source=source, buffer_s=300, first_wait_s=0.001
        ) as session:
            listening = asyncio.create_task(listen(session))
            at = 0
            while session.reconnects < 50 or at < len(sound):
                assert at < 2 * 16_000 * 120, f"only {session.reconnects} connections lost in two minutes of sound"
                what = rng.choice(["audio"] * 20 + ["flush", "gap", "configure"])
                if what == "audio":
                    pcm = (sound[at % len(sound) :] + sound)[: 2 * rng.randrange(1, 2_000)]
                    at += len(pcm)
                    steps.append((what, pcm))
                    await session.send(pcm)
                else:
                    fields: dict[str, Any] = {"flush": {}, "gap": {"samples": rng.randrange(1, 9_000)}}.get(
                        what, {"detect": {"min_on_ms": rng.randrange(0, 300)}}
                    )
                    steps.append((what, fields))
                    await session.command(what, **fields)
                if rng.random() < 0.3:
                    session._socket.transport.abort()  # the cable is cut
                await asyncio.sleep(rng.random() * 0.005)
                while session._returning is not None and rng.random() < 0.9:
                    await asyncio.sleep(0.005)  # a microphone is slower than this
            await session.stop()
            await listening
            return steps, heard, session.reconnects

    async def all_of_them() -> list[tuple[list[Step], list[Any], int]]:
        return await asyncio.gather(*(one(number) for number in range(20)))

    runs = asyncio.run(all_of_them())
    assert sum(lost for _, _, lost in runs) >= 1_000
    for steps, heard, _ in runs:
        undisturbed = Client(toy)
        for what, given in steps:
            if what == "audio":
                undisturbed.hear(given, 10**6)
            else:
                undisturbed.send(what, **given)
        undisturbed.send("stop")
        assert bare(heard) == bare(undisturbed.told)
        for kind, fields in {
            "flushed": ["sample"],
            "configured": ["sample", "detect"],
            "gap": ["from_sample", "samples"],
        }.items():
            told = [[m[field] for field in fields] for m in heard if m["type"] == kind]
            assert told == [[m[field] for field in fields] for m in undisturbed.of(kind)]
        assert heard[-1]["audio_ms"] == undisturbed.of("summary")[0]["audio_ms"]
        seqs = [seq for m in heard for seq in range(m.get("from_seq", m["seq"]), m["seq"] + 1)]
        assert seqs == list(range(2, 2 + len(seqs)))
        onsets = [m["event_id"] for m in heard if m["type"] == "event" and m["phase"] == "onset"]
        assert len(set(onsets)) == len(onsets) > 2


def test_a_client_gives_up_when_the_session_no_longer_waits(toy_path: Path) -> None:
    async def session(server: LiveServer) -> None:
        async with connect_stream(server.ws, sample_rate=16_000, first_wait_s=0.6) as stream:
            stream._socket.transport.abort()
            await asyncio.sleep(0.5)  # the session ends meanwhile
            async for _ in stream:
                pass

    with live_server(model=toy_path, resume_s=0.2, drain_ms=0) as server, pytest.raises(StreamError) as caught:
        asyncio.run(session(server))
    assert caught.value.code in ("resume_unknown", "connection_lost")
