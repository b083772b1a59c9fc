"""Many sessions heard in one call of the engine: each says what it says alone, whoever sits beside it."""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.weights import Model
from server import chorus
from server.choir import Choir
from server.framing import Header
from server.session import Session
from server.stream import HEAVY, Stream
from tests.live_server import VOLATILE, bare
from tests.synth import low_high, pcm16
from tests.test_session import LIMITS, Client, Clock

KINDS = ("plain", "framed", "wide", "float", "stereo", "slow", "scores")


@dataclass
class Talk:
    """A session in the pool, the same session alone, and what both are sent."""

    together: Session
    alone: Client
    items: list[bytes | str]

    def same(self, told: list[Any]) -> None:
        assert bare(told) == bare(self.alone.told)
        for kind in ("level", "gap", "summary", "error"):
            mine = [steady(m) for m in told if isinstance(m, dict) and m["type"] == kind]
            assert mine == [steady(m) for m in self.alone.of(kind)]


def steady(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in (*VOLATILE, "latency_ms", "wall_s")}


def sound(number: int, rate: int) -> NDArray[np.float32]:
    return np.roll(low_high(rate), number * 7_001)[: rate * 2]


def talk(model: Model, pool: Choir, kind: str, rng: random.Random) -> Talk:
    rate = 8_000 if kind == "slow" else 16_000
    encoding = {"wide": "pcm_s24le", "float": "pcm_f32le"}.get(kind, "pcm_s16le")
    framing = "framed" if kind == "framed" else "raw"
    audio = {"encoding": encoding, "sample_rate": rate, "channels": 1 + (kind == "stereo"), "framing": framing}
    emit = {"scores_hz": 10} if kind == "scores" else {}
    samples = sound(rng.randrange(50), rate)
    if kind == "float":
        pcm, size = samples.astype("<f4").tobytes(), 4
    elif kind == "wide":
        pcm, size = b"".join(b"\0" + pcm16(samples)[at : at + 2] for at in range(0, 2 * len(samples), 2)), 3
    elif kind == "stereo":
        pcm, size = pcm16(np.repeat(samples, 2)), 4
    else:
        pcm, size = pcm16(samples), 2
    items: list[bytes | str] = []
    at = 0
    while at < len(pcm):
        step = size * rng.choice([1, 160, 320, 320, 320, 1_000])
        begin = max(0, at - size * rng.choice([0, 0, 50])) if framing == "framed" else at  # some of it once more
        header = Header(len(items), begin // size).pack() if framing == "framed" else b""
        items.append(header + pcm[begin : at + step])
        at += step
        if rng.random() < 0.02:
            items.append(
                rng.choice(['{"type": "flush"}', '{"type": "gap", "samples": 500}'][: 1 if begin < at - step else 2])
            )
            if "gap" in str(items[-1]) and framing == "framed":
                items.pop()
    items.append('{"type": "stop"}')
    start = {"audio": audio, "emit": emit, "source": {"kind": "file"}}
    clock = Clock()
    together = Session(model, LIMITS, pool=pool, monotonic=clock.monotonic, utc=clock.utc)
    together.ready()
    return Talk(together, Client(model, **start), ['{"type": "start", ' + str(start)[1:].replace("'", '"'), *items])


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_sessions_heard_together_say_what_each_says_alone(toy: Model, seed: int) -> None:
    rng = random.Random(seed)
    pool = Choir(toy, 4)  # fewer places than sessions: who finds none is heard alone
    talks = [talk(toy, pool, rng.choice(KINDS), rng) for _ in range(6)]
    told: list[list[Any]] = [[] for _ in talks]
    waiting = [list(one.items) for one in talks]
    while any(waiting):
        batch = []
        for number in rng.sample(range(len(talks)), rng.randrange(1, len(talks) + 1)):
            items, waiting[number] = waiting[number][: (most := rng.randrange(1, 5))], waiting[number][most:]
            batch.append((number, [(item, 0.0) for item in items]))
        said = chorus.hear(pool, [(talks[number].together, items) for number, items in batch])
        for (number, _), outs in zip(batch, said, strict=True):
            told[number] += outs
    for one, mine in zip(talks, told, strict=True):
        for item in one.items[1:]:
            one.alone.keep(
                one.alone.session.text(item) if isinstance(item, str) else one.alone.session.audio(item, 0.0)
            )
        one.same(mine)
        one.together.retire()
    assert len(pool) == 0


def started(model: Model, pool: Choir, **fields: Any) -> Session:
    session = Session(model, LIMITS, pool=pool)
    audio = {"encoding": "pcm_s16le", "sample_rate": 16_000}
    fields = {"type": "start", "audio": audio, **fields}
    session.text(str(fields).replace("'", '"'))
    return session


def test_who_sends_large_chunks_is_heard_alone_from_then_on_and_says_the_same(toy: Model) -> None:
    pool = Choir(toy, 2)
    session, beside = started(toy, pool), started(toy, pool)
    pcm = pcm16(np.tile(low_high(), 3))
    assert len(pcm) - 6_400 > HEAVY
    items = [pcm[:6_400], pcm[6_400:], '{"type": "stop"}']
    told, _ = chorus.hear(pool, [(session, [(item, 0.0) for item in items]), (beside, [(pcm[:640], 0.0)])])
    assert session.pooled is None
    assert beside.pooled is not None
    assert len(pool) == 1
    client = Client(toy)
    client.hear(pcm[:6_400], 6_400)
    client.hear(pcm[6_400:], len(pcm))
    client.send("stop")
    assert bare(told) == bare(client.told)


def test_who_wants_to_look_back_has_a_trace_of_its_own(toy: Model) -> None:
    pool = Choir(toy, 4)
    for emit in ({"scores_hz": 1}, {"frames_hz": 50}, {"updates_hz": 2}):
        assert started(toy, pool, emit=emit).pooled is None
    assert started(toy, pool, emit={"levels_hz": 50}).pooled == 0


def test_bad_audio_and_faults_end_their_own_session_only(toy: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Choir(toy, 4)
    odd, faulty, well = (started(toy, pool) for _ in range(3))
    whole = Stream.finish_piece

    def broken(stream: Stream, *args: Any) -> Any:
        if stream is faulty.stream:
            raise RuntimeError("a fault")
        return whole(stream, *args)

    monkeypatch.setattr(Stream, "finish_piece", broken)
    batch = [(odd, [(bytes(641), 0.0)]), (faulty, [(bytes(640), 0.0)]), (well, [(pcm16(low_high()), 0.0)])]
    said = chorus.hear(pool, batch)  # type: ignore[arg-type]
    codes = [[m["code"] for m in outs if isinstance(m, dict) and m["type"] == "error"] for outs in said]
    assert codes == [["partial_sample"], ["internal"], []]
    alone = Client(toy)
    alone.hear(pcm16(low_high()), 10**6)
    assert bare(said[2]) == bare(alone.told)
