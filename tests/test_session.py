"""The protocol without a socket: what a session answers, in what order, with which clock."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from engine.latch import LatchSettings
from engine.pipeline import default_settings
from engine.weights import Model
from server.commands import CLIENT
from server.errors import Close
from server.frames import HEADER
from server.protocol import Limits, ServerMessage, dumped
from server.session import Out, Session
from tests.live_server import bare
from tests.synth import low_high, pcm16, silence, tone
from tests.toy import toy_model

RATE = 16_000
LIMITS = Limits(max_chunk_bytes=1_048_576, queue_ms=2_000, stall_ms=2_000, idle_s=30)
TOLD: TypeAdapter[Any] = TypeAdapter(ServerMessage)


class Clock:
    """Time that passes when told; UTC starts at 2026-01-02T03:04:05Z."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def utc(self) -> float:
        return 1_767_323_045.0 + self.now - 1_000.0


class Client:
    """One session and everything that it said."""

    def __init__(
        self,
        model: Model,
        rate: int = RATE,
        *,
        start: bool = True,
        compare: Model | None = None,
        witnessing: Any = None,
        **fields: Any,
    ) -> None:
        self.clock = Clock()
        self.rate = rate
        self.session = Session(
            model,
            LIMITS,
            monotonic=self.clock.monotonic,
            utc=self.clock.utc,
            compare=compare,
            witnessing=witnessing,
        )
        self.told: list[Out] = self.session.ready()
        if start:
            audio = {"encoding": "pcm_s16le", "sample_rate": rate, "channels": 1}
            self.send("start", **{"audio": audio, **fields})

    def send(self, type: str, **fields: Any) -> list[Any]:
        return self.keep(self.session.text(json.dumps({"type": type, **fields})))

    def hear(self, pcm: bytes, chunk_bytes: int = 640) -> list[Any]:
        """In real time: each chunk arrives when its last sample was taken."""
        heard: list[Any] = []
        for at in range(0, len(pcm), chunk_bytes):
            chunk = pcm[at : at + chunk_bytes]
            self.clock.now += len(chunk) / 2 / self.rate
            heard += self.keep(self.session.audio(chunk, self.clock.now))
        return heard

    def wait(self, seconds: float) -> list[Any]:
        """Nothing comes; a server ticks four times a second."""
        heard: list[Any] = []
        for _ in range(round(seconds * 4)):
            self.clock.now += 0.25
            heard += self.keep(self.session.tick(self.clock.now))
        return heard

    def keep(self, outs: list[Out]) -> list[Any]:
        self.told += outs
        return outs

    def of(self, type: str) -> list[Any]:
        return [out for out in self.told if isinstance(out, dict) and out["type"] == type]


def alone(model: Model, pcm: bytes, **fields: Any) -> list[dict[str, Any]]:
    client = Client(model, **fields)
    client.hear(pcm)
    client.send("stop")
    return bare(client.told)


def test_the_messages_come_in_the_order_of_the_protocol(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(low_high()))
    assert client.session.closed is None
    client.send("stop")
    types = [out["type"] for out in client.told if isinstance(out, dict)]
    assert types[:2] == ["ready", "started"]
    assert types[-1] == "summary"
    assert client.session.closed is Close.DONE
    assert [(e["label"], e["phase"], e["reason"]) for e in client.of("event")] == [
        ("low", "onset", None),
        ("low", "offset", "decay"),
        ("high", "onset", None),
        ("high", "offset", "decay"),
    ]


def test_every_message_fits_the_published_types_and_seq_has_no_holes(toy: Model) -> None:
    client = Client(toy, emit={"scores_hz": 20, "frames_hz": 0, "levels_hz": 50, "heartbeat_s": 0.5})
    client.hear(pcm16(low_high()))
    client.wait(3)
    client.send("configure", id="c1", detect={"min_on_ms": 0})
    client.send("configure", id="c2", detect={"labels": ["kazoo"]})
    client.send("flush", id="f")
    client.send("gap", samples=160)
    client.send("dance")
    client.send("stop")
    texts = [out for out in client.told if isinstance(out, dict)]
    for out in texts:
        assert dumped(TOLD.validate_python(out)) == out
    assert [out["seq"] for out in texts] == list(range(len(texts)))
    assert {out["session"] for out in texts} == {client.session.id}
    assert {
        "scores",
        "level",
        "heartbeat",
        "source",
        "configured",
        "configure_failed",
        "flushed",
        "gap",
        "warning",
    } <= {out["type"] for out in texts}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_chunking_of_the_audio_gives_the_same_events(data: st.DataObject) -> None:
    rate = data.draw(st.sampled_from([11_025, 16_000, 44_100, 48_000]))
    pcm = pcm16(low_high(rate))
    cuts = data.draw(st.lists(st.integers(0, len(pcm) // 2), max_size=40).map(lambda c: sorted({0, *c, len(pcm) // 2})))
    audio = {"encoding": "pcm_s16le", "sample_rate": rate}
    client = Client(toy_model(), rate, audio=audio)
    for a, b in pairwise(cuts):
        client.hear(pcm[2 * a : 2 * b], len(pcm))
    client.send("stop")
    assert bare(client.told) == alone(toy_model(), pcm, rate=rate, audio=audio)
    assert len(bare(client.told)) == 4


@settings(max_examples=15, deadline=None)
@given(order=st.lists(st.integers(0, 3), min_size=40, max_size=120), seed=st.integers(0, 1_000))
def test_interleaved_sessions_say_what_each_says_alone(order: list[int], seed: int) -> None:
    model = toy_model()
    rng = np.random.default_rng(seed)
    sounds = [
        pcm16(np.roll(low_high(), int(rng.integers(len(low_high())))) * np.float32(rng.uniform(0.1, 1)))
        for _ in range(4)
    ]
    clients = [Client(model, detect={"min_on_ms": 10 * i}) for i in range(4)]
    at = [0] * 4
    for i in order + [0, 1, 2, 3] * 200:
        chunk = sounds[i][at[i] : at[i] + 640 * (i + 1)]
        at[i] += len(chunk)
        clients[i].hear(chunk, 10**6)
    for i, client in enumerate(clients):
        client.send("stop")
        assert at[i] == len(sounds[i])
        assert bare(client.told) == alone(model, sounds[i], detect={"min_on_ms": 10 * i})


STEPS = st.one_of(
    st.integers(1, 40).map(lambda blocks: ("audio", blocks)),
    st.integers(1, 40).map(lambda blocks: ("audio", blocks)),
    st.just(("flush", {})),
    st.integers(1, 9_000).map(lambda samples: ("gap", {"samples": samples})),
    st.sampled_from([["low"], ["high"], ["low", "high"]]).map(
        lambda labels: ("configure", {"detect": {"labels": labels}})
    ),
)


@settings(max_examples=30, deadline=None)
@given(
    scripts=st.lists(st.lists(STEPS, min_size=3, max_size=12), min_size=2, max_size=12),
    rates=st.lists(st.sampled_from([8_000, 16_000, 44_100]), min_size=12, max_size=12),
    random=st.randoms(use_true_random=False),
)
def test_shuffled_sessions_with_commands_say_event_for_event_what_each_says_alone(
    scripts: list[list[tuple[str, Any]]], rates: list[int], random: Random
) -> None:
    """Each has its rate, its settings, its sound; the steps of all are shuffled, those of each stay in order."""
    model = toy_model()

    def begin(i: int) -> Client:
        return Client(model, rates[i], detect={"min_on_ms": 15 * i}, emit={"updates_hz": 10 * (i % 2)})

    def step(client: Client, i: int, at: int) -> None:
        what, given = scripts[i][at]
        if what == "audio":
            sound = pcm16(np.roll(low_high(rates[i]), 977 * i))
            start = 2 * (sum(n for kind, n in scripts[i][:at] if kind == "audio") * rates[i] // 100 % (len(sound) // 2))
            client.hear((sound[start:] + sound)[: given * rates[i] // 100 * 2], 10**6)
        else:
            client.send(what, **given)

    together = [begin(i) for i in range(len(scripts))]
    done = [0] * len(scripts)
    order = [i for i, script in enumerate(scripts) for _ in script]
    random.shuffle(order)
    for i in order:
        step(together[i], i, done[i])
        done[i] += 1
    for i, client in enumerate(together):
        alone = begin(i)
        for at in range(len(scripts[i])):
            step(alone, i, at)
        for one in (alone, client):
            one.send("stop")
        assert bare(client.told) == bare(alone.told)
        assert client.of("summary")[0]["labels"] == alone.of("summary")[0]["labels"]


def test_events_are_on_the_clock_of_the_declared_rate(toy: Model) -> None:
    at_16k = alone(toy, pcm16(low_high()))
    client = Client(toy, 48_000)
    client.hear(pcm16(low_high(48_000)))
    client.send("stop")
    for slow, fast in zip(at_16k, bare(client.told), strict=True):
        assert (slow["label"], slow["phase"]) == (fast["label"], fast["phase"])
        assert abs(fast["onset_sample"] / 48_000 - slow["onset_sample"] / 16_000) <= 0.02
        assert fast["onset_ms"] == pytest.approx(fast["onset_sample"] / 48)


def test_one_event_keeps_its_id_from_onset_to_offset(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(low_high()))
    client.send("stop")
    onset, offset, other, _ = client.of("event")
    assert onset["event_id"] == offset["event_id"] != other["event_id"]
    assert len(onset["event_id"]) == 26
    assert (onset["is_final"], offset["is_final"]) == (False, True)
    assert onset["utc_onset"] == offset["utc_onset"] == "2026-01-02T03:04:05.500Z"


def test_a_label_that_is_on_at_the_stop_is_closed_at_the_last_sample(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(np.concatenate([silence(0.5), tone(200, 1.003)])))
    client.send("stop")
    offset = client.of("event")[-1]
    assert (offset["phase"], offset["reason"], offset["offset_sample"]) == ("offset", "stop", 24_048)
    summary = client.of("summary")[0]
    assert summary["audio_ms"] == summary["processed_ms"] == 1503
    assert summary["labels"] == [{"label": "low", "seconds": 1.003, "events": 1, "peak": offset["peak"]}]


def test_flush_closes_the_open_labels_and_the_stream_goes_on(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(tone(200, 0.5)))
    answers = client.send("flush", id="f1")
    assert [(a["type"], a.get("reason"), a.get("id")) for a in answers] == [
        ("event", "flush", None),
        ("flushed", None, "f1"),
    ]
    assert answers[-1]["sample"] == 8_000
    client.hear(pcm16(tone(200, 0.5)))
    assert [e["phase"] for e in client.of("event")] == ["onset", "offset", "onset"]


def test_configure_holds_from_the_sample_that_it_names(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(tone(200, 0.5)))
    (closed, configured) = client.send("configure", id="c7", detect={"labels": ["high"]})
    assert (closed["label"], closed["reason"]) == ("low", "reconfigure")
    assert (configured["type"], configured["id"], configured["sample"]) == ("configured", "c7", 8_000)
    assert configured["detect"]["labels"] == ["high"]
    client.hear(pcm16(tone(200, 0.5)))
    assert len(client.of("event")) == 2
    (configured,) = client.send("configure", detect={"labels": ["low"], "thresholds": {"low": {"on": 0.9, "off": 0.2}}})
    assert configured["detect"]["thresholds"] == {"low": {"on": 0.9, "off": 0.2}}
    client.hear(pcm16(tone(200, 0.5)))
    assert client.of("event")[-1]["threshold"] == 0.9


def test_a_wrong_configure_changes_nothing_and_names_each_mistake(toy: Model) -> None:
    client = Client(toy)
    detect = {"labels": ["kazoo", "low"], "thresholds": {"low": {"on": 0.3}}, "min_on_ms": 10}
    (failed,) = client.send("configure", id="c1", detect=detect)
    assert failed["type"] == "configure_failed"
    assert failed["id"] == "c1"
    assert [(e["path"], e["code"]) for e in failed["errors"]] == [
        ("detect.labels.0", "unknown_label"),
        ("detect.thresholds.low", "bad_thresholds"),
    ]
    assert "low, high" in failed["errors"][0]["message"]
    assert "on=0.3, off=0.4" in failed["errors"][1]["message"]
    (failed,) = client.send("configure", detect={"thresholds": {"low": {"on": 1.5}}})
    assert [(e["path"], e["code"]) for e in failed["errors"]] == [("detect.thresholds.low.on", "bad_thresholds")]
    assert client.session.closed is None
    assert client.session.stream is not None
    assert client.session.stream.hearing.pipeline.settings == default_settings(toy)


def test_a_second_model_hears_the_same_samples_apart_and_as_it_would_alone(toy: Model) -> None:
    other = replace(toy, name="other", on=(0.9, 0.6))
    witnessed: list[int] = []
    sound = pcm16(low_high())
    told = {}
    for which in ("main", "compare"):
        client = Client(toy, start=False, compare=other, witnessing=lambda rate, live: witnessed.append(rate))
        client.send("start", audio={"encoding": "pcm_s16le", "sample_rate": RATE}, model=which)
        client.hear(sound)
        client.send("stop")
        assert client.session.apart == (which == "compare")
        told[which] = client
    assert told["compare"].of("started")[0]["model"]["name"] == "other"
    assert told["compare"].of("started")[0]["effective"]["detect"]["thresholds"]["low"]["on"] == 0.9
    assert witnessed == [RATE]  # of what is heard apart nothing is kept
    for which, model in (("main", toy), ("compare", other)):
        alone = Client(model)
        alone.hear(sound)
        alone.send("stop")
        assert bare(told[which].of("event")) == bare(alone.of("event"))
    assert bare(told["main"].of("event")) != bare(told["compare"].of("event"))


def test_a_second_model_that_is_not_there_is_refused(toy: Model) -> None:
    client = Client(toy, start=False)
    client.send("start", audio={"encoding": "pcm_s16le", "sample_rate": RATE}, model="compare")
    assert [error["code"] for error in client.of("error")] == ["unknown_model"]
    assert client.session.closed is Close.BAD_MESSAGE


def test_the_effective_configuration_is_told_with_its_defaults(toy: Model) -> None:
    client = Client(toy, detect={"labels": ["high"], "min_on_ms": 70})
    (started,) = client.of("started")
    latch = LatchSettings(on=(0.5,), off=(0.4,), enabled=(True,))
    assert started["effective"]["detect"] == {
        "labels": ["high"],
        "thresholds": {"high": {"on": 0.7, "off": 0.4}},
        "min_on_ms": 70,
        "min_off_ms": latch.min_off_ms,
        "refractory_ms": 0,
    }
    assert started["effective"]["emit"] == {
        "scores_hz": 0,
        "frames_hz": 0,
        "levels_hz": 10,
        "heartbeat_s": 2,
        "updates_hz": 0,
        "wave": False,
        "linear": False,
        "explain": False,
    }
    assert (started["effective"]["on_overload"], started["resume"]) == ("block", None)
    assert started["effective"]["source"] == {"name": "stream", "kind": "network"}
    assert (started["hop_ms"], started["warmup_ms"], started["frame"]) == (10, 32, None)
    assert started["limits"]["max_chunk_bytes"] == LIMITS.max_chunk_bytes


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_after_a_gap_the_clock_goes_on_as_if_nothing_was_lost(toy: Model, rate: int) -> None:
    parts = [silence(0.5, rate), tone(200, 1, rate), silence(3, rate), tone(4000, 1, rate), silence(0.5, rate)]
    sound = pcm16(np.concatenate(parts))
    whole = Client(toy, rate)
    whole.hear(sound)
    whole.send("stop")
    cut = Client(toy, rate)
    lost = slice(rate * 3 * 2, rate * 32 // 10 * 2)  # 200 ms of the silence between the tones
    cut.hear(sound[: lost.start])
    told = cut.send("gap", samples=rate // 5, reason="capture_overflow")
    cut.clock.now += 0.2
    cut.hear(sound[lost.stop :])
    cut.send("stop")
    (notice,) = [out for out in told if out["type"] == "gap"]
    assert (notice["from_sample"], notice["samples"]) == (rate * 3, rate // 5)
    assert (notice["where"], notice["reason"]) == ("client", "capture_overflow")
    high = [e for e in whole.of("event") if e["label"] == "high"]
    after = [e for e in cut.of("event") if e["label"] == "high"]
    assert [(e["phase"], e["onset_sample"], e["offset_sample"]) for e in high] == [
        (e["phase"], e["onset_sample"], e["offset_sample"]) for e in after
    ]
    assert high[0]["utc_onset"] == after[0]["utc_onset"]
    (summary,) = cut.of("summary")
    assert (summary["audio_ms"], summary["processed_ms"], summary["dropped_ms"]) == (6000, 5800, 200)
    assert summary["gaps"] == 1


def test_a_gap_closes_open_labels_where_the_sound_was_lost(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(tone(200, 0.5)))
    event, notice = client.send("gap", samples=1_600)
    assert (event["phase"], event["reason"], event["offset_sample"]) == ("offset", "gap", 8_000)
    assert notice["reason"] == "unknown"
    client.hear(pcm16(tone(200, 0.5)))
    again = client.of("event")[-1]
    assert again["phase"] == "onset"
    assert again["onset_sample"] >= 9_600


def test_a_live_source_that_stalls_has_its_labels_closed_and_is_told_when_it_comes_back(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(tone(200, 0.5)))
    waited = client.wait(2.5)
    assert [(out["type"], out.get("reason"), out.get("state")) for out in waited if out["type"] != "heartbeat"] == [
        ("event", "stall", None),
        ("source", None, "stalled"),
    ]
    healthy, *_ = client.hear(pcm16(tone(200, 0.5)))
    assert (healthy["type"], healthy["state"]) == ("source", "healthy")
    again = client.of("event")[-1]
    assert again["phase"] == "onset"
    assert again["utc_onset"].startswith("2026-01-02T03:04:08")  # 0.5 s of sound and 2.5 s of nothing later


@pytest.mark.parametrize("closing", ["stall", "flush"])
@pytest.mark.parametrize("ending", ["stop", "gap"])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_label_that_was_closed_does_not_begin_again_for_what_was_heard_before(
    toy: Model, rate: int, ending: str, closing: str
) -> None:
    client = Client(toy, rate)
    client.hear(
        pcm16(tone(200, 0.5, rate=rate))[:-200], 640
    )  # the last hop is not complete, the resampler holds a rest
    if closing == "stall":
        client.wait(2.5)
    else:
        client.send("flush")
    client.send(ending, **({"samples": 100} if ending == "gap" else {}))
    assert [(event["phase"], event["reason"]) for event in client.of("event")] == [("onset", None), ("offset", closing)]
    if ending == "gap":
        client.hear(pcm16(tone(200, 0.5, rate=rate)))
        assert client.of("event")[-1]["phase"] == "onset"  # of what comes then, as ever


def test_the_time_without_a_connection_is_no_stall_no_idling_and_no_rate(toy: Model) -> None:
    client = Client(toy, source={"kind": "browser"})
    client.hear(pcm16(tone(200, 0.5)))
    client.clock.now += 100
    (resumed,) = client.keep(client.session.resumed())
    assert (resumed["type"], resumed["sample"]) == ("resumed", 8_000)
    assert client.keep(client.session.tick(client.clock.now + 1)) == []
    client.hear(pcm16(tone(200, 5)))
    client.send("stop")
    assert {out["type"] for out in client.told if isinstance(out, dict)} & {"warning", "source", "error"} == set()
    assert [(e["phase"], e["reason"]) for e in client.of("event")] == [("onset", None), ("offset", "stop")]


def test_a_file_may_wait(toy: Model) -> None:
    client = Client(toy, source={"kind": "file", "name": "x.wav"})
    client.hear(pcm16(tone(200, 0.5)))
    assert {out["type"] for out in client.wait(10)} == {"heartbeat"}
    assert client.of("event")[0]["utc_onset"] is None
    assert client.of("event")[0]["latency_ms"] is None


def test_a_session_without_messages_is_closed_as_idle_unless_it_says_keepalive(toy: Model) -> None:
    client = Client(toy)
    for _ in range(4):
        client.wait(20)
        client.send("keepalive")
    assert client.session.closed is None
    client.wait(30)
    assert client.session.closed is Close.IDLE
    assert [out["type"] for out in client.told[-2:] if isinstance(out, dict)] == ["error", "summary"]


def test_heartbeats_tell_what_was_received_and_what_waits(toy: Model) -> None:
    client = Client(toy)
    client.hear(pcm16(tone(200, 1)))
    client.clock.now += 1.1
    (beat,) = client.keep(client.session.tick(client.clock.now, 3_200))
    assert (beat["received_ms"], beat["processed_ms"], beat["lag_ms"], beat["open_events"]) == (1100, 1000, 100, 1)
    assert 0 < beat["realtime_factor"] < 1
    assert beat["dropped_ms"] == 0
    assert client.keep(client.session.tick(client.clock.now + 0.5)) == []


@pytest.mark.parametrize(("kind", "warned"), [("browser", True), ("microphone", True), ("network", False)])
def test_a_capture_at_another_rate_than_declared_is_warned_about_once(toy: Model, kind: str, warned: bool) -> None:
    client = Client(toy, 48_000, source={"kind": kind})
    client.rate = 44_100  # what it really is: 8 % off is within what clocks may do
    client.hear(pcm16(silence(5, 44_100)))
    assert client.of("warning") == []
    client.rate = 16_000
    client.hear(pcm16(silence(10, 16_000)))
    told = client.of("warning")
    assert [warning["code"] for warning in told] == ["rate_mismatch"] * warned
    if warned:
        assert "sample_rate=48000 was declared, but 16000 samples come each second (0.33 times)" in told[0]["message"]


def test_a_stall_and_the_burst_after_it_are_no_rate_mismatch(toy: Model) -> None:
    client = Client(toy, source={"kind": "browser"})
    client.hear(pcm16(silence(3)))
    client.clock.now += 4
    client.rate = 10**6  # four seconds in a burst
    client.hear(pcm16(silence(4)))
    client.rate = RATE
    client.hear(pcm16(silence(5)))
    assert client.of("warning") == []


def test_levels_are_decibels_and_digital_silence_is_null(toy: Model) -> None:
    client = Client(toy, emit={"levels_hz": 1})
    client.hear(pcm16(np.concatenate([silence(1), tone(1000, 1, amplitude=0.5), np.ones(RATE, np.float32)])))
    quiet, half, full = client.of("level")
    assert (quiet["rms_dbfs"], quiet["peak_dbfs"], quiet["clipped"]) == (None, None, 0)
    assert half["rms_dbfs"] == pytest.approx(-9.03, abs=0.01)
    assert half["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert (full["rms_dbfs"], full["clipped"]) == (pytest.approx(0, abs=0.01), RATE)


def test_scores_are_the_evidence_of_all_labels(toy: Model) -> None:
    client = Client(toy, emit={"scores_hz": 10})
    client.hear(pcm16(tone(200, 1)))
    scores = client.of("scores")
    assert 9 <= len(scores) <= 10
    assert [label for label, _ in scores[-1]["top"]] == ["low", "high"]
    assert scores[-1]["top"][0][1] > 0.9


def test_a_label_that_has_just_ended_rests_and_the_scores_say_so(toy: Model) -> None:
    client = Client(toy, detect={"refractory_ms": 60_000}, emit={"scores_hz": 10, "explain": True})
    client.hear(pcm16(np.concatenate([tone(200, 1), silence(1), tone(200, 1)])))
    assert [(event["label"], event["phase"]) for event in client.of("event")] == [("low", "onset"), ("low", "offset")]
    (held,) = client.of("scores")[-1]["suppressed"]
    assert (held["label"], held["why"]) == ("low", "refractory")
    assert held["score"] > 0.9


def test_scores_are_explained_when_asked_for(toy: Model) -> None:
    detect = {"labels": ["high"], "thresholds": {"high": {"on": 0.95, "off": 0.001}}}
    client = Client(toy, detect=detect, emit={"scores_hz": 10, "explain": True})
    client.hear(pcm16(tone(200, 1)))
    assert client.of("scores")[-1]["suppressed"] == [
        {"label": "low", "score": client.of("scores")[-1]["top"][0][1], "why": "muted"}
    ]
    client.send("configure", detect={"labels": ["low", "high"], "thresholds": {"low": {"on": 0.99999, "off": 0.5}}})
    client.hear(pcm16(tone(200, 0.3)))
    assert [one["why"] for one in client.of("scores")[-1]["suppressed"]] == ["below_threshold"]
    client.send("configure", detect={"thresholds": {"low": {"on": 0.7}}})
    client.hear(pcm16(tone(200, 0.3)))
    assert client.of("event")[-1]["label"] == "low"
    assert client.of("scores")[-1]["suppressed"] == []


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 55_999), max_size=30), hz=st.sampled_from([1, 7, 100]))
def test_updates_tell_a_growing_peak_the_same_in_any_chunking(cuts: list[int], hz: float) -> None:
    model, pcm = toy_model(), pcm16(low_high())
    whole = Client(model, emit={"updates_hz": hz})
    whole.hear(pcm, len(pcm))
    cut = Client(model, emit={"updates_hz": hz})
    for a, b in pairwise(sorted({0, 56_000, *cuts})):
        cut.hear(pcm[2 * a : 2 * b], len(pcm))
    for client in (whole, cut):
        client.send("stop")
    assert bare(cut.told) == bare(whole.told)
    events = whole.of("event")
    assert [e for e in bare(events) if e["phase"] != "update"] == alone(model, pcm)
    assert {e["phase"] for e in events} == {"onset", "update", "offset"}
    for before, after in pairwise(events):
        assert before["decided_sample"] <= after["decided_sample"]
        if after["phase"] == "update":
            assert after["event_id"] == before["event_id"]
            assert after["peak"] >= before["peak"] + 0.0099
            assert (after["is_final"], after["offset_sample"], after["reason"]) == (False, None, None)
            assert after["onset_sample"] == before["onset_sample"]
            assert after["decided_sample"] % (-(-100 // hz) * 160) == 0
        elif after["phase"] == "offset":
            assert after["peak"] >= before["peak"]


@pytest.mark.parametrize(("hz", "every", "chunk_bytes"), [(100, 1, 640), (50, 2, 641 * 2), (30, 4, 10**6)])
def test_frames_are_every_kth_of_the_engine_and_say_what_it_saw(
    toy: Model, hz: float, every: int, chunk_bytes: int
) -> None:
    client = Client(toy, emit={"frames_hz": hz})
    client.hear(pcm16(np.concatenate([silence(0.2), tone(200, 2.8)])), chunk_bytes)
    client.send("stop")
    (started,) = client.of("started")
    form = started["frame"]
    bits = form["spikes"]
    assert form["every"] == every
    assert form["bytes"] == form["bands"] + -(-bits // 8) + 2 * form["labels"]
    assert (bits, form["bands"], form["labels"]) == (toy.front_end.fibres + toy.neurons, 64, 2)
    first_samples, rows = [], []
    for out in client.told:
        if isinstance(out, bytes):
            magic, version, count, sample = HEADER.unpack_from(out)
            assert (magic, version) == (0xF5, 1)
            assert len(out) == HEADER.size + count * form["bytes"]
            first_samples += [sample + i * 160 * every for i in range(count)]
            rows += list(np.frombuffer(out, np.uint8, offset=HEADER.size).reshape(count, -1))
    assert first_samples == list(range(0, 300 * 160, 160 * every))
    assert np.all(rows[0] == 0) or not rows[0][:64].any()  # silence: every band at the floor
    last = rows[-1]
    assert np.argmax(last[:64]) < 28
    assert last[:64].max() == pytest.approx(255 * (90 / 100), abs=26)
    spikes = np.unpackbits(last[64 : 64 + -(-bits // 8)], bitorder="little")
    assert spikes[bits:].sum() == 0
    low, high = last[-4:].view("<i2") / form["evidence_scale"]
    assert low > 0 > high


@pytest.mark.parametrize(
    ("text", "code", "close"),
    [
        ("hello", "bad_json", 4400),
        ('{"type":"start","audio":{"sample_rate":NaN}}', "bad_json", 4400),
        ("[" * 100_000, "chunk_too_large", 1009),
        ("[" * 60_000, "bad_json", 4400),
        ("[1]", "bad_message", 4400),
        ("null", "bad_message", 4400),
        ('{"kind":"start"}', "bad_message", 4400),
        ('{"type":7}', "bad_message", 4400),
        ('{"type":"start"}', "bad_message", 4400),
        ('{"type":"flush"}', "bad_message", 4400),
        ('{"type":"gap","samples":1}', "bad_message", 4400),
        ('{"type":"configure","detect":{}}', "bad_message", 4400),
    ],
)
def test_text_that_is_no_message_ends_the_session_with_a_code(toy: Model, text: str, code: str, close: int) -> None:
    client = Client(toy, start=False)
    client.keep(client.session.text(text))
    error, summary = client.told[-2:]
    assert isinstance(error, dict)
    assert isinstance(summary, dict)
    assert (error["code"], error["fatal"], client.session.closed) == (code, True, close)
    assert len(error["message"]) < 500
    assert summary["type"] == "summary"
    assert client.session.text('{"type":"stop"}') == client.session.audio(b"12", 0) == []


@pytest.mark.parametrize(
    ("change", "code", "close", "says"),
    [
        ({"audio": {"encoding": "opus", "sample_rate": 48_000}}, "unsupported_encoding", 4415, "'opus'"),
        ({"audio": {"encoding": "pcm_s16le", "sample_rate": 7_999}}, "sample_rate_out_of_range", 4400, "7999.*8000"),
        ({"audio": {"encoding": "pcm_s16le", "sample_rate": 192_001}}, "sample_rate_out_of_range", 4400, "192000"),
        ({"audio": {"encoding": "pcm_s16le"}}, "sample_rate_out_of_range", 4400, "audio.sample_rate is missing"),
        ({"audio": {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 33}}, "bad_channels", 4400, "33.*32"),
        ({"audio": {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 0}}, "bad_channels", 4400, "is 0"),
        (
            {"audio": {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 2, "channel_select": 2}},
            "bad_channels",
            4400,
            "channel_select=2: audio.channels is 2",
        ),
        (
            {"audio": {"encoding": "pcm_s16le", "sample_rate": 16_000, "framing": "boxed"}},
            "bad_message",
            4400,
            "audio.framing is 'boxed'",
        ),
        ({"on_overload": "panic"}, "bad_message", 4400, "on_overload is 'panic'"),
        ({"resume": {"token": "x", "last_seq": 3}}, "bad_message", 4400, "only the first message of a connection"),
        ({"detect": {"labels": ["theremin"]}}, "unknown_label", 4400, "'theremin'.*low, high"),
        ({"detect": {"labels": []}}, "bad_message", 4400, "detect.labels"),
        ({"detect": {"thresholds": {"theremin": {"on": 0.5}}}}, "unknown_label", 4400, "theremin"),
        ({"detect": {"thresholds": {"low": {"on": 0.2}}}}, "bad_thresholds", 4400, "on=0.2, off=0.4"),
        ({"detect": {"thresholds": {"low": {"on": 2}}}}, "bad_thresholds", 4400, "detect.thresholds.low.on is 2"),
        ({"detect": {"min_on_ms": -1}}, "bad_message", 4400, "detect.min_on_ms is -1"),
        ({"emit": {"frames_hz": 1_000}}, "bad_message", 4400, "emit.frames_hz is 1000"),
        ({"protocol": 2}, "bad_message", 4400, "protocol is 2"),
        ({"source": {"name": "x" * 65}}, "bad_message", 4400, "source.name"),
    ],
)
def test_a_start_that_cannot_be_is_refused_by_name(
    toy: Model, change: dict[str, Any], code: str, close: int, says: str
) -> None:
    client = Client(toy, **change)
    (error,) = client.of("error")
    assert (error["code"], client.session.closed) == (code, close)
    assert re.search(says, error["message"]), error["message"]


def test_fields_that_this_version_does_not_know_are_ignored(toy: Model) -> None:
    client = Client(toy, colour="blue", source={"name": "x", "colour": "red"})
    assert client.of("started")


def test_an_unknown_type_earns_a_warning_and_the_session_goes_on(toy: Model) -> None:
    client = Client(toy)
    (warning,) = client.send("dance")
    assert (warning["type"], warning["code"]) == ("warning", "unknown_message_type")
    assert "'dance'" in warning["message"]
    assert client.session.closed is None


def test_a_second_start_is_refused(toy: Model) -> None:
    client = Client(toy)
    client.send("start", audio={"encoding": "pcm_s16le", "sample_rate": 16_000})
    assert client.of("error")[0]["code"] == "already_started"


def test_what_was_accepted_before_an_error_is_not_lost(toy: Model) -> None:
    pcm = pcm16(np.concatenate([silence(0.5), tone(200, 1.005)]))
    client = Client(toy)
    client.hear(pcm)
    client.keep(client.session.audio(b"123", client.clock.now))
    types = [out["type"] for out in client.told if isinstance(out, dict)]
    assert types[-3:] == ["event", "error", "summary"]
    stopped = alone(toy, pcm)
    assert [e | {"reason": "stop"} if e["reason"] == "error" else e for e in bare(client.told)] == stopped
    assert client.of("summary")[0]["audio_ms"] == 1505


def test_sessions_of_one_model_share_nothing_that_changes(toy: Model) -> None:
    loud, quiet = Client(toy), Client(toy)
    loud.send("configure", detect={"labels": ["high"], "thresholds": {"high": {"on": 0.99, "off": 0.98}}})
    quiet.hear(pcm16(low_high()))
    quiet.send("stop")
    assert bare(quiet.told) == alone(toy, pcm16(low_high()))


def test_latency_is_from_the_arrival_of_the_deciding_sample(toy: Model) -> None:
    client = Client(toy, 48_000)
    pcm = pcm16(low_high(48_000))
    for at in range(0, len(pcm), 1920):
        client.clock.now += 0.02
        arrived = client.clock.now
        client.clock.now += 0.005  # it waited for a thread
        client.keep(client.session.audio(pcm[at : at + 1920], arrived))
    onset = client.of("event")[0]
    # 5 ms of waiting; the resampler's delay of some tens of ms; 25 ms from chunk to chunk here
    assert 5 <= onset["latency_ms"] <= 80
    assert round(onset["latency_ms"] % 25, 3) == 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["audio", "source", "detect", "emit", "id", "samples", "reason", "seq", "labels", "thresholds", "protocol"]
)
MESSAGES = st.one_of(
    st.text(max_size=40),
    JSON.map(json.dumps),
    st.tuples(st.sampled_from(sorted(CLIENT)), st.dictionaries(FIELDS, JSON, max_size=4)).map(
        lambda pair: json.dumps({"type": pair[0], **pair[1]})
    ),
    st.just('{"type":"gap","samples":700}'),
    st.just('{"type":"flush"}'),
    st.just('{"type":"configure","detect":{"labels":["low"]}}'),
    st.integers(1, 2_000).map(lambda n: pcm16(tone(200, n / 16_000))),
    st.binary(max_size=64),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, max_size=30), st.booleans())
def test_whatever_a_client_sends_the_session_keeps_its_rules(messages: list[str | bytes], start: bool) -> None:
    client = Client(toy_model(), start=start, emit={"frames_hz": 25, "scores_hz": 25})
    for message in messages:
        client.clock.now += 0.1
        if isinstance(message, str):
            client.keep(client.session.text(message))
        else:
            client.keep(client.session.audio(message, client.clock.now))
        client.keep(client.session.tick(client.clock.now))
    client.keep(client.session.end("stop"))
    texts = [out for out in client.told if isinstance(out, dict)]
    assert [out["seq"] for out in texts] == list(range(len(texts)))
    assert [out["type"] for out in texts].count("summary") == 1
    assert texts[-1]["type"] == "summary"
    open_ids: set[str] = set()
    for event in client.of("event"):
        if event["phase"] == "onset":
            assert event["event_id"] not in open_ids
            open_ids.add(event["event_id"])
        else:
            open_ids.remove(event["event_id"])
            assert event["onset_sample"] <= event["offset_sample"]
    assert not open_ids
    summary = texts[-1]
    assert summary["audio_ms"] == pytest.approx(summary["processed_ms"] + summary["dropped_ms"], abs=0.01)
