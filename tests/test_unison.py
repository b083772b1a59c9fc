"""Sessions whose chunks are heard in unison, in the server's lane: each says what it says alone, in its order."""

import asyncio
import json
import random
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.weights import Model
from server import lane, unison
from server.choir import Choir
from server.conversation import Conversation
from server.errors import Close
from server.framing import Header
from server.ingest import read_s16
from server.level import METER, LevelMeter, reading
from server.session import Session
from server.sessions import Sessions
from server.settings import Settings
from server.stream import Stream
from tests.live_server import bare
from tests.synth import low_high, pcm16
from tests.test_session import Client
from tests.test_together import steady

KINDS = ("plain", "plain", "framed", "microphone", "float", "scores")


class Reader:
    """A connection that takes everything at once."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.conversation: Conversation
        self.room = asyncio.Event()
        self.takes = True  # what is told is sent at once
        self.quick: Callable[[bytes, float], bool] | None = None

    def seat(self, take: Callable[[bytes, float], bool] | None) -> None:
        self.quick = take

    def tell(self, text: str) -> None:
        assert self.takes
        self.told.append(json.loads(text))

    def cut(self, close: Close, reason: str) -> None:
        raise AssertionError("nothing took it over")

    def flush(self) -> None:
        while self.takes and (data := self.conversation.outbox.take()) is not None:
            if isinstance(data, str):
                self.told.append(json.loads(data))

    def let_in(self) -> None:
        self.room.set()

    async def send(self, item: str | bytes) -> None:
        if isinstance(item, bytes) and self.quick is not None and self.quick(item, time.monotonic()):
            return
        while not self.conversation.came(item, time.monotonic()):
            self.room.clear()
            await self.room.wait()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.told if message["type"] == kind]


def enter(sessions: Sessions) -> Reader:
    reader = Reader()
    reader.conversation = sessions.enter(reader)
    return reader


async def begun(sessions: Sessions, pcm: bytes) -> Reader:
    """A session whose next chunks may be usual ones."""
    reader = enter(sessions)
    await reader.send(json.dumps({"type": "start", **start()}))
    await reader.send(pcm)
    while reader.conversation._seat is None:
        await asyncio.sleep(0.001)
    return reader


def run(model: Model, path: Path, test: Callable[[Sessions], Awaitable[None]], **given: Any) -> Sessions:
    async def whole() -> Sessions:
        with ThreadPoolExecutor(2) as pool:
            sessions = Sessions(model, Settings(model=path, **given), pool)
            await test(sessions)
            for task in tuple(sessions._running.values()):
                await task
            return sessions

    return asyncio.run(asyncio.wait_for(whole(), 30))


def start(kind: str = "plain", **emit: float) -> dict[str, Any]:
    audio = {"encoding": "pcm_f32le" if kind == "float" else "pcm_s16le", "sample_rate": 16_000}
    source = {"kind": "microphone" if kind == "microphone" else "file"}
    framing = "framed" if kind == "framed" else "raw"
    if kind == "scores":
        emit = emit | {"scores_hz": 10}
    return {"audio": audio | {"framing": framing}, "source": source, "emit": emit}


def items_of(kind: str, rng: random.Random) -> list[str | bytes]:
    """Sound in chunks of many sizes, and now and then something else."""
    samples = np.roll(low_high(), rng.randrange(50_000))[:24_000]
    size = 4 if kind == "float" else 2
    pcm = samples.astype("<f4").tobytes() if kind == "float" else pcm16(samples * rng.choice([1, 4]))
    items: list[str | bytes] = []
    at = skipped = 0
    while at < len(pcm):
        chunk = pcm[at : at + size * rng.choice([1, 160, 320, 320, 320, 1_000])]
        header = Header(len(items), at // size + skipped).pack() if kind == "framed" else b""
        items.append(header + chunk)
        at += len(chunk)
        if rng.random() < 0.03:
            what = rng.choice(['{"type": "flush"}', '{"type": "keepalive"}', '{"type": "gap", "samples": 700}', "?"])
            if what == "?":  # an unknown type is told of; a framed chunk may be late or come twice
                items.append(items[-1] if kind == "framed" else '{"type": "hm"}')
            else:
                skipped += 700 if "gap" in what else 0
                items.append(what)
        elif kind == "framed" and rng.random() < 0.03:
            skipped += 333  # lost on the way
    return [*items, '{"type": "stop"}']


@pytest.mark.parametrize("at_once_bytes", [lane.AT_ONCE_BYTES, 0])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_sessions_say_what_each_says_alone(toy: Model, toy_path: Path, at_once_bytes: int, seed: int) -> None:
    rng = random.Random(seed)
    kinds = [rng.choice(KINDS) for _ in range(6)]
    sent = [items_of(kind, rng) for kind in kinds]
    told: list[Reader] = []

    async def talk(sessions: Sessions, number: int) -> None:
        reader = told[number]
        await reader.send(json.dumps({"type": "start", **start(kinds[number], levels_hz=50)}))
        for item in sent[number]:
            await reader.send(item)
            if rng.random() < 0.1:
                reader.takes = not reader.takes
                reader.flush()
            for _ in range(rng.choice([0, 0, 1, 5])):
                await asyncio.sleep(0)
        reader.takes = True
        reader.flush()

    async def test(sessions: Sessions) -> None:
        told.extend(enter(sessions) for _ in kinds)
        await asyncio.gather(*(talk(sessions, number) for number in range(len(kinds))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane, "AT_ONCE_BYTES", at_once_bytes)
        run(toy, toy_path, test, queue_ms=100)
    for kind, items, reader in zip(kinds, sent, told, strict=True):
        client = Client(toy, **start(kind, levels_hz=50))
        for item in items:
            client.keep(client.session.text(item) if isinstance(item, str) else client.session.audio(item, 0.0))
        assert bare(reader.told) == bare(client.told)
        assert [message["seq"] for message in reader.told] == list(range(len(reader.told)))
        for name in ("level", "gap", "summary", "error", "flushed", "warning"):
            mine = [steady(message) for message in reader.of(name) if message.get("code") != "rate_mismatch"]
            assert mine == [steady(message) for message in client.of(name)], (kind, name)
        order = [message["type"] for message in reader.told if message["type"] in ("level", "event", "gap", "flushed")]
        assert order == [m["type"] for m in client.told if m["type"] in ("level", "event", "gap", "flushed")]


@pytest.mark.parametrize(("says", "name"), [(Session, "level"), (Stream, "heard_usual")])
def test_a_fault_after_hearing_ends_its_own_session_though_more_of_it_waits(
    toy: Model, toy_path: Path, monkeypatch: pytest.MonkeyPatch, says: type[Session] | type[Stream], name: str
) -> None:
    told, fed = getattr(says, name), Choir.feed_rows
    faulty: list[Session | Stream] = []
    gate = threading.Event()
    gate.set()

    def broken(one: Session | Stream, *args: Any) -> Any:
        if one in faulty:
            raise RuntimeError("a fault")
        return told(one, *args)

    def slow(*args: Any) -> Any:
        assert gate.wait(10)
        return fed(*args)

    monkeypatch.setattr(says, name, broken)
    monkeypatch.setattr(Choir, "feed_rows", slow)
    monkeypatch.setattr(lane, "AT_ONCE_BYTES", 0)  # heard by a thread, so that more comes meanwhile
    monkeypatch.setattr(lane, "EACH_S", 1.0)  # and the next batch begins when the session is gone
    pcm = pcm16(low_high())
    readers: list[Reader] = []

    async def test(sessions: Sessions) -> None:
        readers.extend([await begun(sessions, pcm[:640]), await begun(sessions, pcm[:640])])
        session = readers[0].conversation.session
        assert session.stream is not None
        readers[0].takes = says is Session  # else what it says goes through the outbox
        faulty.append(session if says is Session else session.stream)
        gate.clear()
        for reader in readers:
            await reader.send(pcm[640:4_480])
        while not sessions._lane._hearing:
            await asyncio.sleep(0.001)
        for reader in readers:
            await reader.send(pcm[4_480:5_120])
        gate.set()
        while not readers[0].conversation._ended.is_set():
            await asyncio.sleep(0.001)
        readers[0].takes = True
        readers[0].flush()
        await readers[1].send(pcm[5_120:])
        await readers[1].send('{"type": "stop"}')

    sessions = run(toy, toy_path, test)
    assert [[m["code"] for m in reader.of("error")] for reader in readers] == [["internal"], []]
    client = Client(toy, **start())
    client.hear(pcm)
    client.send("stop")
    assert bare(readers[1].told) == bare(client.told)
    assert len(sessions._lane.choir) == 0


def test_a_fault_of_hearing_ends_who_was_heard_and_nobody_else(
    toy: Model, toy_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = pcm16(low_high())
    readers: list[Reader] = []

    def broken(*_: Any) -> Any:
        raise RuntimeError("a fault")

    async def test(sessions: Sessions) -> None:
        readers.extend([await begun(sessions, pcm[:640]), await begun(sessions, pcm[:640])])
        with monkeypatch.context() as patch:
            patch.setattr(Choir, "feed_rows", broken)
            await readers[0].send(pcm[640:1280])
            while not readers[0].of("summary"):
                await asyncio.sleep(0.001)
        await readers[1].send(pcm[640:])
        await readers[1].send('{"type": "stop"}')

    run(toy, toy_path, test)
    assert [m["code"] for m in readers[0].of("error")] == ["internal"]
    client = Client(toy, **start())
    client.hear(pcm)
    client.send("stop")
    assert bare(readers[1].told) == bare(client.told)


def test_a_quiet_session_has_its_clock_and_its_heartbeats(toy: Model, toy_path: Path) -> None:
    """Nothing is said after its chunks, so nothing but time tells the session of them."""
    reader: list[Reader] = []
    pcm = bytes(640 * 20)

    async def test(sessions: Sessions) -> None:
        reader.append(enter(sessions))
        await reader[0].send(json.dumps({"type": "start", **start(levels_hz=0, heartbeat_s=0.5)}))
        for at in range(0, len(pcm), 640):
            await reader[0].send(pcm[at : at + 640])
            await asyncio.sleep(0)
        while not any(told["sample"] == 6_400 for told in reader[0].of("heartbeat")):
            await asyncio.sleep(0.01)
        assert sessions.meters.total().audio_s == pytest.approx(0.4)
        await reader[0].send('{"type": "stop"}')

    sessions = run(toy, toy_path, test)
    heartbeat = next(told for told in reader[0].of("heartbeat") if told["sample"] == 6_400)
    summary = reader[0].of("summary")[0]
    assert (heartbeat["processed_ms"], heartbeat["lag_ms"]) == (400.0, 0.0)
    assert heartbeat["realtime_factor"] > 0
    assert summary["processed_ms"] == 400.0
    assert sum(sessions.meters.total().latency.counts) == 20


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=40), min_size=1, max_size=8),
    st.sampled_from([1.0, 30.0, 75.5, float("inf")]),
)
def test_the_kernel_measures_what_the_meter_measures(chunks: list[list[int]], due: float) -> None:
    """Two streams take turns."""
    pcm = [np.array(chunk, "<i2") for chunk in chunks]
    ends, streams = np.cumsum([len(chunk) for chunk in pcm]), np.arange(len(pcm)) % 2
    meters = np.zeros(2, METER)
    alone = [LevelMeter(due, meters[:1]), LevelMeter(due)]
    meters[1] = meters[0]
    alone[0].leave()
    told = []
    for number, chunk in enumerate(pcm):
        meter = alone[number % 2]
        meter.feed(read_s16(chunk.tobytes()).reshape(-1, 1))
        if meter.due:
            told.append((number, meter.read()))
    samples = np.empty(ends[-1], np.float32)
    rows, taken = np.empty(len(pcm), np.int64), np.empty(len(pcm), METER)
    count = unison.read_and_measure(np.concatenate(pcm), streams, ends, samples, meters, rows, taken)
    assert samples.tobytes() == read_s16(np.concatenate(pcm).tobytes()).tobytes()
    assert told == [
        (row, reading(*measured))
        for row, (_, _, *measured) in zip(rows[:count].tolist(), taken[:count].tolist(), strict=True)
    ]
    assert meters.tolist() == [meter._row.tolist()[0] for meter in alone]
