"""Thresholds and figures, worked out by hand on made-up evidence."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("soundfile")

from engine.events import Event
from engine.weights import Model
from models.calibrate import HYSTERESIS, thresholds
from models.data.corpus import Clip
from models.data.ontology import LABELS
from models.evaluate import answer, balanced_accuracy, by_label, false_onsets, latency, release
from models.hearing import Heard, hear
from tests.synth import tone
from tests.toy import toy_model

NAMES = list(LABELS)


def heard(label: str, membranes: dict[str, float], events: list[Event] | None = None, frames: int = 100) -> Heard:
    """A clip of `label` during which the named membranes stand still, all others at -4."""
    evidence = np.full((frames, len(NAMES)), -4.0, np.float32)
    for name, v in membranes.items():
        evidence[:, NAMES.index(name)] = v
    clip = Clip("x", label, "library", "group", "report", "", np.zeros(frames * 160, np.int16))
    return Heard(clip, evidence, events or [], onset_sample=5_120, end_sample=5_120 + frames * 160)


def event(phase: str, label: str, decided: int) -> Event:
    return Event(phase, label, 5_120, None, decided, 0.9, 0.9, 0.5)  # type: ignore[arg-type]


def model_with(labels: tuple[str, ...]) -> Model:
    toy = toy_model()
    layer = toy.layers[0]
    wide = replace(
        layer,
        weight=np.zeros((layer.weight.shape[0], len(labels)), np.int8),
        bias=np.full(len(labels), -16, np.int32),
        beta=np.full(len(labels), 0.9, np.float32),
        threshold=np.ones(len(labels), np.float32),
    )
    count = len(labels)
    return replace(
        toy, labels=labels, families=("test",) * count, layers=(wide,), on=(0.5,) * count, off=(0.3,) * count
    )


def test_a_threshold_lies_between_the_instrument_and_everything_else() -> None:
    instruments = [heard("flute", {"flute": v}) for v in (3.0, 3.5)] + [heard("oboe", {"flute": 1.0, "oboe": 2.0})]
    on, off = thresholds(instruments, [heard("noise", {"flute": 1.5})])
    v = float(np.log(on[NAMES.index("flute")] / (1 - on[NAMES.index("flute")])))
    assert 1.5 <= v < 3.0
    low = off[NAMES.index("flute")]
    assert float(np.log(low / (1 - low))) == pytest.approx(v - HYSTERESIS, abs=0.01)


def test_every_label_gets_thresholds_that_a_model_accepts() -> None:
    on, off = thresholds([heard("flute", {})], [])
    assert len(on) == len(NAMES)
    assert all(0 < low < high < 1 for low, high in zip(off, on, strict=True))


def test_balanced_accuracy_counts_every_label_alike() -> None:
    model = model_with(tuple(NAMES))
    clips = [heard("flute", {"flute": 2.0})] * 9 + [heard("oboe", {"flute": 2.0})]
    assert balanced_accuracy(model, clips, 1000) == 50.0


def test_the_answer_after_a_time_knows_nothing_of_what_follows() -> None:
    one = heard("flute", {})
    one.evidence[:20, NAMES.index("oboe")] = 2.0
    one.evidence[20:, NAMES.index("flute")] = 5.0
    assert NAMES[answer(one, 200)] == "oboe"
    assert NAMES[answer(one, 1000)] == "flute"


def test_recall_and_precision_come_from_events() -> None:
    model = model_with(tuple(NAMES))
    own = [event("onset", "flute", 7_000)]
    table = by_label(model, [heard("flute", {}, own), heard("flute", {}), heard("oboe", {}, own)])
    assert table["flute"]["recall"] == 50.0
    assert table["flute"]["precision"] == pytest.approx(33.3)
    assert table["oboe"]["f1"] == 0.0


def test_latency_counts_from_the_notes_onset_and_release_from_the_clips_end() -> None:
    one = heard("flute", {}, [event("onset", "flute", 5_120 + 1_600), event("offset", "flute", 5_120 + 16_000 + 3_200)])
    assert latency([one]) == {"events": 1, "median": 100.0, "p95": 100.0}
    assert release([one]) == {"events": 1, "median": 200.0, "p95": 200.0}
    assert latency([heard("flute", {})]) == {"events": 0}


def test_false_onsets_are_counted_by_the_hour() -> None:
    model = model_with(("flute", "oboe"))
    noise = heard("noise", {}, [event("onset", "oboe", 7_000)], frames=36_000)
    figures = false_onsets(model, [noise])
    assert figures == {"hours": 0.1, "onsets": 1, "per_hour_and_label": 5.0, "labels": {"oboe": 1}}


def test_a_clip_is_heard_from_its_onset_to_its_end_whatever_its_level(toy: Model) -> None:
    sound = np.concatenate([np.zeros(1_600, np.float32), tone(200, 0.5)])
    loud, quiet = (
        Clip("x", "low", "library", "group", "report", "", (gain * sound * 32767).astype(np.int16))
        for gain in (1.0, 0.05)
    )
    one, other = hear(toy, [loud, quiet])
    assert one.onset_sample == (32 + 10) * 160
    assert len(one.evidence) == 50
    assert [e.label for e in one.events] == [e.label for e in other.events] == ["low", "low"]
