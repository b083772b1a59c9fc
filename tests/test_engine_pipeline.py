"""The whole engine: known sounds, any chunking, reset, flush, hostile samples."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Event
from engine.latch import LatchSettings
from engine.pipeline import Pipeline, default_settings
from engine.weights import Model, ModelError, from_bytes, load, save, to_bytes
from tests.synth import low_high, silence, tone
from tests.toy import toy_model

NOISY = (
    low_high()
    + 0.02 * np.random.default_rng(5).standard_normal(len(low_high())) * (np.arange(len(low_high())) % 7000 < 3000)
).astype(np.float32)


def hear(pipeline: Pipeline, samples: np.ndarray) -> list[Event]:
    return pipeline.feed(samples) + pipeline.flush()


def test_the_toy_model_names_the_low_and_the_high_tone(toy: Model) -> None:
    events = hear(Pipeline(toy), low_high())
    assert [(e.phase, e.label) for e in events] == [
        ("onset", "low"), ("offset", "low"), ("onset", "high"), ("offset", "high"),
    ]  # fmt: skip
    low, high = events[0], events[2]
    assert abs(low.onset_sample - 8_000) <= 320
    assert abs(high.onset_sample - 32_000) <= 800
    assert 0 < low.decided_sample - low.onset_sample <= 1600
    assert events[1].offset_sample == pytest.approx(24_000, abs=4_800)
    assert events[1].reason == "decay"


@given(sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_any_chunking_gives_the_same_events_and_the_same_bits(sizes: list[int]) -> None:
    whole, chunked = Pipeline(toy_model()), Pipeline(toy_model())
    expected = hear(whole, NOISY)
    events: list[Event] = []
    at = 0
    for size in [*sizes, len(NOISY)]:
        events += chunked.feed(NOISY[at : at + size])
        at += size
    events += chunked.flush()
    assert events == expected
    assert len(events) >= 4
    assert chunked.trace.tobytes() == whole.trace.tobytes()


def test_reset_equals_new(toy: Model) -> None:
    used = Pipeline(toy)
    hear(used, NOISY)
    used.reset()
    new = Pipeline(toy)
    assert used._state.tobytes() == new._state.tobytes()
    assert hear(used, NOISY) == hear(new, NOISY)


def test_flush_closes_open_labels_at_the_last_real_sample(toy: Model) -> None:
    pipeline = Pipeline(toy)
    events = pipeline.feed(tone(200, 1.0)[:15_999])
    assert pipeline.open_labels == ("low",)
    last = pipeline.flush("stop")[-1]
    assert (last.phase, last.reason, last.offset_sample, last.decided_sample) == ("offset", "stop", 15_999, 15_999)
    assert pipeline.open_labels == ()
    assert pipeline.flush() == []
    with pytest.raises(RuntimeError, match="reset"):
        pipeline.feed(tone(200, 0.1))
    assert events[0].phase == "onset"


def test_release_closes_open_labels_and_the_stream_goes_on(toy: Model) -> None:
    pipeline = Pipeline(toy)
    pipeline.feed(tone(200, 1.0))
    assert [e.reason for e in pipeline.release("flush")] == ["flush"]
    again = pipeline.feed(tone(200, 0.5))
    assert [(e.phase, e.label) for e in again] == [("onset", "low")]
    assert again[0].onset_sample >= 16_000  # where it was closed, though the sound rose long before


def test_settings_of_one_stream_leave_another_alone(toy: Model) -> None:
    deaf, hearing = Pipeline(toy), Pipeline(toy)
    deaf.configure(LatchSettings(on=toy.on, off=toy.off, enabled=(False, False)))
    assert hear(deaf, low_high()) == []
    assert len(hear(hearing, low_high())) == 4
    assert hearing.settings == default_settings(toy)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e9])
def test_a_sample_out_of_range_is_refused_by_index_and_nothing_is_heard(toy: Model, bad: float) -> None:
    pipeline = Pipeline(toy)
    samples = tone(200, 0.5)
    samples[123] = bad
    before = pipeline._state.tobytes()
    with pytest.raises(ValueError, match="sample 123 is"):
        pipeline.feed(samples)
    assert pipeline._state.tobytes() == before


@pytest.mark.parametrize(
    "samples",
    [
        silence(30),
        np.full(160_000, 0.5, np.float32),
        np.full(160_000, 1e-40, np.float32),
        np.eye(1, 160_000, 80_000, dtype=np.float32)[0],
    ],
    ids=["silence", "direct current", "denormals", "a click"],
)
def test_no_label_comes_out_of_nothing(toy: Model, samples: np.ndarray) -> None:
    pipeline = Pipeline(toy)
    events = hear(pipeline, samples)
    quiet = [e for e in events if e.decided_sample - 80_000 > 16_000 or e.decided_sample < 80_000]
    assert [e for e in quiet if e.phase == "onset" and e.decided_sample > 16_000] == []
    assert np.isfinite(pipeline.trace["evidence"]).all()
    assert np.isfinite(pipeline.trace["energy"]).all()


def test_a_full_scale_square_wave_keeps_every_number_finite(toy: Model) -> None:
    pipeline = Pipeline(toy)
    hear(pipeline, np.sign(tone(100, 5)) * np.float32(1.0))
    assert np.isfinite(pipeline._state["v"]).all()
    assert np.isfinite(pipeline.trace["energy"]).all()


def test_trace_holds_the_last_frames(toy: Model) -> None:
    pipeline = Pipeline(toy)
    pipeline.feed(tone(200, 1.0))
    assert pipeline.frames == 100
    newest = pipeline.trace[(pipeline.frames - 1) % len(pipeline.trace)]
    assert newest["evidence"][0] > 0 > newest["evidence"][1]
    assert newest["cochlea"][:28].sum() > 0


def test_a_model_file_comes_back_the_same(toy: Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(toy, path)
    back = load(path)
    assert to_bytes(back) == to_bytes(toy) == path.read_bytes()
    assert len(back.sha256) == 64
    assert hear(Pipeline(back), NOISY) == hear(Pipeline(toy), NOISY)


def test_a_damaged_model_file_is_refused_by_name(toy: Model, tmp_path: Path) -> None:
    data = to_bytes(toy)
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(ModelError, match="tensors_sha256"):
        from_bytes(flipped)
    with pytest.raises(ModelError, match="not a Spiccato model file"):
        from_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="not a Spiccato model file"):
        from_bytes(b"")
    with pytest.raises(ModelError, match=r"nowhere.*No such file"):
        load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        (b'\\"format\\": 1', b'\\"format\\": 9', "format=9"),
        (b"snntorch.Leaky>=0.8", b"snntorch.Leaky>=0.1", "semantics"),
        (b'\\"bands\\": 64', b'\\"bands\\": 63', "layer0.weight takes 64 inputs"),
        (b'\\"gate_dbfs\\"', b'\\"gate_dbXX\\"', "gate_dbXX"),
        (b'\\"high\\"]', b'\\"low\\" ]', "labels"),
        (b'\\"reset\\": \\"none\\"', b'\\"reset\\": \\"nine\\"', "reset='nine'"),
    ],
)
def test_a_model_file_that_does_not_fit_is_refused_by_name(toy: Model, old: bytes, new: bytes, name: str) -> None:
    data = to_bytes(toy)
    assert data.count(old) == 1
    with pytest.raises(ModelError, match=name.replace("[", r"\[")):
        from_bytes(data.replace(old, new))


def test_streams_of_a_model_share_its_parameters(toy: Model) -> None:
    one, other = Pipeline(toy), Pipeline(toy)
    assert one._net is other._net
    assert not one._net.flags.writeable
    assert not np.shares_memory(one._state, other._state)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_the_events_of_a_label_follow_one_another(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [
        tone(float(rng.choice([200, 4000])), rng.uniform(0.02, 0.6), amplitude=rng.uniform(0, 0.5)) for _ in range(25)
    ]
    pipeline = Pipeline(toy_model())
    ended = dict.fromkeys(("low", "high"), 0)
    began: dict[str, int] = {}
    for event in hear(pipeline, np.concatenate(parts)):
        if event.phase == "onset":
            assert event.label not in began
            assert ended[event.label] <= event.onset_sample < event.decided_sample
            began[event.label] = event.onset_sample
        else:
            assert event.onset_sample == began.pop(event.label)
            assert event.offset_sample is not None
            assert event.onset_sample < event.offset_sample <= event.decided_sample
            ended[event.label] = event.offset_sample
    assert not began
