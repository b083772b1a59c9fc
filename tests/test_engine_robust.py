"""Numbers at their limits: a day of silence, counters past 2 ** 31, denormals, full scale, hiss, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.ear import MAX_AMPLITUDE, Ear
from engine.events import Event
from engine.pipeline import Pipeline
from engine.weights import Model
from tests.hour import minute_of_sound
from tests.synth import low_high, silence, tone
from tests.toy import toy_model

RATE = 16_000
DAY_FRAMES = 24 * 3600 * 100
# what counts frames or samples for ever, also in silence
COUNTERS = ("frame", "written", "rise")


def remembered(pipeline: Pipeline) -> dict[str, bytes]:
    """All that the stream remembers but its counters."""
    names = pipeline._state.dtype.names or ()
    return {name: pipeline._state[name].tobytes() for name in names if name not in COUNTERS}


def move(pipeline: Pipeline, frames: int) -> None:
    """Make the stream as old as if it had heard so many more frames."""
    state = pipeline._state
    state["frame"] += frames
    state["written"] += frames * pipeline.model.front_end.hop_samples
    state["rise"] += frames
    state["ended"] += frames


def shifted(events: list[Event], samples: int) -> list[Event]:
    return [
        e._replace(
            onset_sample=e.onset_sample + samples,
            offset_sample=None if e.offset_sample is None else e.offset_sample + samples,
            decided_sample=e.decided_sample + samples,
        )
        for e in events
    ]


def onsets(events: list[Event], after: float = 0.0) -> list[tuple[str, int]]:
    """Labels that turned on, decided later than `after` seconds."""
    return [(e.label, e.decided_sample) for e in events if e.phase == "onset" and e.decided_sample > after * RATE]


def hiss(dbfs: float, seconds: float, seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (10 ** (dbfs / 20) * noise).astype(np.float32)


@pytest.mark.parametrize("before", [silence(0.01), tone(200, 2.0)], ids=["from-the-start", "after-a-tone"])
def test_in_digital_silence_the_stream_comes_to_rest_for_a_day_and_for_ever(
    toy: Model, before: NDArray[np.float32]
) -> None:
    """A frame of silence is a function of what the stream remembers and of where the ring's next sample goes.

    So where sixteen frames, after which the ring's position comes round (lcm(160, 512) = 16 hops), change nothing but
    the counters, no number of frames ever will. Counters beyond a day have their own test.
    """
    pipeline = Pipeline(toy)
    pipeline.feed(before)
    heard = pipeline.frames
    events = pipeline.feed(silence(60.0))
    assert onsets(events) == []
    assert pipeline.open_labels == ()
    at_rest = remembered(pipeline)
    for _ in range(16):
        pipeline.feed(silence(0.01))
        assert remembered(pipeline) == at_rest
    assert pipeline._state["envelope"] == 0  # not a denormal number
    pipeline.feed(silence(3600.0))
    assert remembered(pipeline) == at_rest
    assert pipeline.frames == heard + 6_000 + 16 + 360_000
    assert pipeline.samples == pipeline.frames * 160
    assert (pipeline._state["rise"] == pipeline.frames).all()


def test_after_a_day_of_silence_a_tone_is_heard_as_after_a_minute(toy: Model) -> None:
    minute, day = Pipeline(toy), Pipeline(toy)
    for pipeline in (minute, day):
        pipeline.feed(silence(60.0))
    day.feed(silence(600.0))
    move(day, DAY_FRAMES - day.frames)
    assert day.samples == DAY_FRAMES * 160
    expected = minute.feed(low_high()) + minute.flush()
    assert len(expected) == 4
    assert day.feed(low_high()) + day.flush() == shifted(expected, (DAY_FRAMES - 6_000) * 160)


@given(
    boundary=st.sampled_from([2**31 // 160, 2**32 // 160, 2**53 // 160, 2**24, 2**31, 2**32, 2**40]),
    early=st.integers(0, 400),
)
@settings(max_examples=25, deadline=None)
def test_counters_pass_every_boundary_without_a_trace(boundary: int, early: int) -> None:
    """2 ** 31 samples are 37 hours at 16 kHz. Samples and frames count in 64 bits."""
    fresh, old = Pipeline(toy_model()), Pipeline(toy_model())
    move(old, boundary - early)
    expected = fresh.feed(low_high()) + fresh.flush()
    assert old.feed(low_high()) + old.flush() == shifted(expected, (boundary - early) * 160)
    assert old.samples == len(low_high()) + (boundary - early) * 160
    for name in ("v", "spikes", "cochlea_v", "envelope", "before"):
        assert old._state[name].tobytes() == fresh._state[name].tobytes()


def test_denormal_samples_are_silence(toy: Model) -> None:
    rng = np.random.default_rng(1)
    faint = (1e-40 * rng.standard_normal(20 * RATE)).astype(np.float32)
    assert np.any(faint != 0)
    one, other = Pipeline(toy), Pipeline(toy)
    assert one.feed(faint) == other.feed(silence(20.0)) == []
    for name in ("v", "spikes", "cochlea_v", "envelope", "before"):
        assert one._state[name].tobytes() == other._state[name].tobytes()


def test_no_neuron_of_the_shipped_model_decays_into_denormals(orchestra: Model) -> None:
    """On some processors a denormal costs a hundred normal numbers; a silence must not cost more than a sound.

    The cochlea's membranes pass through them, on the way to zero, for 0.3 s: from one second of silence on. A neuron
    whose bias is 0 on the grid stays there; two of 256 cost nothing that could be measured.
    """
    pipeline = Pipeline(orchestra)
    pipeline.feed(minute_of_sound(0)[: 5 * RATE])
    for seconds in (2.0, 3.0, 10.0, 60.0, 600.0):
        pipeline.feed(silence(seconds))
        for name in ("v", "cochlea_v", "before"):
            values = np.abs(pipeline._state[name][0])
            denormal = np.count_nonzero((values > 0) & (values < np.finfo(np.float32).tiny))
            assert denormal <= (len(values) // 100 if name == "v" else 0), name


T = np.arange(10 * RATE) / RATE
NOTHING = {
    "direct current": np.full(10 * RATE, 0.5, np.float32),
    "full direct current": np.full(10 * RATE, 1.0, np.float32),
    "a click": np.eye(1, 10 * RATE, 5 * RATE, dtype=np.float32)[0],
    "denormals": np.full(10 * RATE, 1e-40, np.float32),
    "silence": silence(600.0),
}
HARSH = {
    "a full-scale square wave": np.sign(np.sin(2 * np.pi * 100 * T)).astype(np.float32),
    "alternating full scale": np.where(np.arange(10 * RATE) % 2, 1, -1).astype(np.float32),
    "the loudest that is let in": np.where(np.arange(10 * RATE) % 7, MAX_AMPLITUDE, -MAX_AMPLITUDE).astype(np.float32),
    "full-scale noise": np.clip(hiss(10.0, 10.0), -1, 1),
}


@pytest.mark.parametrize("name", NOTHING)
def test_the_shipped_model_makes_no_label_out_of_nothing(orchestra: Model, name: str) -> None:
    pipeline = Pipeline(orchestra)
    assert pipeline.feed(NOTHING[name]) + pipeline.flush() == []
    assert all(np.isfinite(pipeline.trace[field]).all() for field in ("level", "energy", "evidence"))


@pytest.mark.parametrize("name", HARSH)
def test_after_the_harshest_sound_every_number_is_finite_and_every_label_lets_go(orchestra: Model, name: str) -> None:
    pipeline = Pipeline(orchestra)
    events = pipeline.feed(HARSH[name])
    assert all(np.isfinite(pipeline.trace[field]).all() for field in ("level", "energy", "evidence"))
    events += pipeline.feed(silence(2.0))
    assert pipeline.open_labels == ()
    assert onsets(events, after=10.5) == []
    assert all(0 <= event.score <= event.peak <= 1 for event in events)


@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(["constant", "square", "noise", "click", "ramp"]),
            st.sampled_from([0.0, 1e-45, 1e-38, 1e-20, 1e-6, 0.1, 1.0, 1000.0]),
            st.integers(1, 8_000),
        ),
        max_size=12,
    )
)
@settings(max_examples=40, deadline=None)
def test_whatever_was_heard_silence_brings_the_stream_back_to_rest(parts: list[tuple[str, float, int]]) -> None:
    rng = np.random.default_rng(2)
    shapes = {
        "constant": np.ones,
        "square": lambda n: np.sign(np.sin(0.3 * np.arange(n) + 0.1)),
        "noise": lambda n: rng.uniform(-1, 1, n),
        "click": lambda n: np.eye(1, n)[0],
        "ramp": lambda n: np.linspace(-1, 1, n),
    }
    pipeline, rested = Pipeline(toy_model()), Pipeline(toy_model())
    rested.feed(silence(10.0))
    for kind, amplitude, count in parts:
        pipeline.feed((amplitude * shapes[kind](count)).astype(np.float32))
        assert np.isfinite(pipeline._state["v"]).all()
        assert np.isfinite(pipeline._state["envelope"]).all()
    pipeline.feed(silence(10.0))
    assert pipeline.open_labels == ()
    np.testing.assert_allclose(pipeline._state["v"], rested._state["v"], rtol=1e-6)
    for name in ("cochlea_v", "cochlea_spikes", "before"):
        assert not pipeline._state[name].any()


@given(
    value=st.sampled_from([np.nan, np.inf, -np.inf, np.nextafter(np.float32(MAX_AMPLITUDE), np.float32(2000)), 3e38]),
    at=st.integers(0, 4_999),
)
@settings(max_examples=20, deadline=None)
def test_a_sample_that_is_no_sound_is_refused_by_index_and_the_stream_is_unharmed(value: float, at: int) -> None:
    bad = tone(200, 5_000 / RATE)
    bad[at] = value
    pipeline, ear = Pipeline(toy_model()), Ear(toy_model().front_end)
    pipeline.feed(tone(200, 0.3))
    before = pipeline._state.tobytes()
    for block in (pipeline, ear):
        with pytest.raises(ValueError, match=f"sample {at} is"):
            block.feed(bad)
    assert pipeline._state.tobytes() == before
    bad[at] = -MAX_AMPLITUDE  # the limit itself is let in
    pipeline.feed(bad)
    ear.feed(bad)


def test_the_gate_keeps_hiss_from_being_turned_up(toy: Model) -> None:
    """The toy calls a hiss high. Without a gate it says so at -90 dBFS as well, with one it does not."""
    open_gate = replace(toy, front_end=replace(toy.front_end, gate_dbfs=-120.0))
    assert {label for label, _ in onsets(Pipeline(toy).feed(hiss(-50, 5.0)))} == {"high"}
    assert {label for label, _ in onsets(Pipeline(open_gate).feed(hiss(-90, 5.0)))} == {"high"}
    assert onsets(Pipeline(toy).feed(hiss(-90, 5.0))) == []


def test_hiss_below_the_gate_is_no_instrument_at_any_level(orchestra: Model) -> None:
    """Steady at -75 dBFS, in steps, and slowly up from -120 dBFS to -71 dBFS and down again."""
    assert onsets(Pipeline(orchestra).feed(hiss(-75, 60.0))) == []
    steps = np.concatenate([hiss(dbfs, 4.0, seed) for seed, dbfs in enumerate((-90, -75, -110, -72, -80, -75, -100))])
    assert onsets(Pipeline(orchestra).feed(steps)) == []
    dbfs = np.concatenate([np.linspace(-120, -71, 30 * RATE), np.linspace(-71, -120, 30 * RATE)])
    swept = hiss(0.0, 60.0, 1) * (10 ** (dbfs / 20)).astype(np.float32)
    assert onsets(Pipeline(orchestra).feed(swept)) == []


def test_hiss_after_a_sound_stays_hiss(orchestra: Model) -> None:
    sound = minute_of_sound(1)[10 * RATE : 30 * RATE]
    pipeline = Pipeline(orchestra)
    events = pipeline.feed(sound)
    assert onsets(events) != []
    assert onsets(pipeline.feed(hiss(-75, 60.0)), after=20.5) == []
    assert pipeline.open_labels == ()


@given(exponent=st.integers(-7, 11))
@settings(max_examples=10, deadline=None)
def test_levels_a_power_of_two_apart_give_the_same_bits_from_features_to_events(exponent: int) -> None:
    """With a sound that stays above the gate, its first frame too: a power of two scales float32 without rounding."""
    model = toy_model()
    model = replace(model, front_end=replace(model.front_end, gate_dbfs=-120.0))
    sound = low_high() + hiss(-45, len(low_high()) / RATE)
    streams, events = [], []
    for gain in (1.0, 2.0**exponent):
        pipeline = Pipeline(model)
        events.append(pipeline.feed(sound * np.float32(gain)) + pipeline.flush())
        streams.append(pipeline)
    assert len(events[0]) >= 4
    assert events[0] == events[1]
    for name in ("v", "spikes", "cochlea_v", "before"):
        assert streams[0]._state[name].tobytes() == streams[1]._state[name].tobytes()
    assert streams[0].trace["evidence"].tobytes() == streams[1].trace["evidence"].tobytes()
