"""A session that is saved anywhere and goes on from there, in another object, says what it would have said."""

from random import Random
from typing import Any

import numpy as np
import pytest

from engine.weights import Model
from server.choir import Choir
from server.saved import SavedSession
from server.session import Session
from tests.live_server import bare
from tests.synth import low_high, pcm16, tone
from tests.test_session import LIMITS, Client

CHUNK = 1_000  # samples


def audio(rate: int, encoding: str = "pcm_s16le") -> dict[str, Any]:
    return {"encoding": encoding, "sample_rate": rate, "channels": 1, "framing": "raw"}


@pytest.mark.parametrize("rate", [16_000, 48_000, 44_100, 8_000])
@pytest.mark.parametrize("pooled", [False, True])
def test_events_are_the_same_wherever_it_was_saved(toy: Model, rate: int, pooled: bool) -> None:
    emit = {} if pooled else {"updates_hz": 20, "scores_hz": 10, "frames_hz": 50, "wave": True, "linear": True}
    sound = pcm16(np.tile(low_high(rate), 3))
    undisturbed = Client(toy, rate, emit=emit)
    undisturbed.hear(sound, 2 * CHUNK)
    undisturbed.send("stop")

    rng = Random(rate)
    client = Client(toy, rate, emit=emit)
    at = 0
    while at < len(sound):
        end = min(len(sound), at + 2 * CHUNK * rng.randint(1, 60))
        client.hear(sound[at:end], 2 * CHUNK)
        at = end
        last_seq = client.session.numbered + rng.randint(0, 2)  # telemetry that was told after it was saved
        assert client.session.stream is not None
        state = client.session.saved().model_dump_json()
        snapshot = client.session.stream.hearing.pipeline.capture()
        client.hear(sound[end : end + 2 * CHUNK], 2 * CHUNK)  # what is heard after it is heard again
        other = Client(toy, rate, start=False)
        pool = Choir(toy, 1) if pooled else None
        other.session = Session(
            toy, LIMITS, pool=pool, monotonic=client.clock.monotonic, utc=client.clock.utc, failover=True
        )
        saved = SavedSession.model_validate_json(state)
        other.session.restore(saved, snapshot(), last_seq)
        assert (other.session.pooled is not None) == pooled
        assert other.session.numbered == last_seq + 1
        assert saved.stream is not None
        other.clock = client.clock
        other.told = [m for m in client.told if isinstance(m, bytes) or m["seq"] < saved.seq]
        at = 2 * saved.stream.hearing.sample
        client = other
        if at < end:  # what the resampler needs
            client.hear(sound[at:end], 2 * CHUNK)
        at = end
    client.send("stop")
    assert bare(client.told) == bare(undisturbed.told)
    ids = [m["event_id"] for m in client.told if isinstance(m, dict) and m["type"] == "event" and m["is_final"]]
    assert len(set(ids)) == len(ids) == (3 if rate == 8_000 else 6)  # which has no 4 kHz
    summary, expected = client.told[-1], undisturbed.told[-1]
    assert isinstance(summary, dict)
    assert isinstance(expected, dict)
    same = ("audio_ms", "processed_ms", "dropped_ms", "gaps", "events", "labels")
    assert {key: summary[key] for key in same} == {key: expected[key] for key in same}


def test_what_was_set_and_lost_goes_with_it(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(low_high())[:30_000])
    client.send("configure", detect={"labels": ["low"], "min_off_ms": 70})
    client.send("gap", samples=1_000)
    state = client.session.saved()
    assert client.session.stream is not None
    other = Session(toy, LIMITS, monotonic=client.clock.monotonic, utc=client.clock.utc)
    other.restore(state, client.session.stream.hearing.pipeline.snapshot(), -1)
    told = other.resumed()[0]
    expected = client.session.resumed()[0]
    assert isinstance(told, dict)
    assert isinstance(expected, dict)
    assert told == {**expected, "seq": told["seq"]}
    assert (other.summary().gaps, other.summary().dropped_ms) == (1, 62.5)


def test_what_a_flush_closed_does_not_begin_again_where_it_goes_on(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(tone(200, 0.5))[:-200])  # the last hop is not complete
    client.send("flush")
    assert client.of("event")[-1]["reason"] == "flush"
    assert client.session.stream is not None
    state = SavedSession.model_validate_json(client.session.saved().model_dump_json())
    other = Session(toy, LIMITS, monotonic=client.clock.monotonic, utc=client.clock.utc)
    other.restore(state, client.session.stream.hearing.pipeline.snapshot(), -1)
    assert bare(other.end("stop")) == []
