"""How the shipped model behaves as a detector: it lets go, it changes, it says nothing in silence."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from engine.pipeline import Pipeline
from engine.weights import Model
from tests.synth import render, silence

RATE = 16_000


def note(folder: Path, instrument: str, key: int, seconds: float) -> NDArray[np.float32]:
    sound, rate = soundfile.read(render(folder / f"{instrument}.wav", instrument, [key], seconds), dtype="float32")
    return np.asarray(soxr.resample(sound, rate, RATE)[: round(seconds * RATE)], np.float32)


@pytest.mark.parametrize(("instrument", "key"), [("violin", 69), ("cello", 48), ("trumpet", 67)])
def test_after_a_note_of_eight_seconds_the_label_lets_go_and_the_next_instrument_is_named(
    orchestra: Model, tmp_path: Path, instrument: str, key: int
) -> None:
    held, following = note(tmp_path, instrument, key, 8.0), note(tmp_path, "clarinet", 62, 2.0)
    pipeline = Pipeline(orchestra)
    events = pipeline.feed(np.concatenate([silence(0.5), held, following, silence(1.0)]))
    change = 8.5 * RATE

    onset = next(e for e in events if e.label == instrument and e.phase == "onset")
    assert onset.decided_sample < 1.5 * RATE
    offset = next(e for e in events if e.label == instrument and e.phase == "offset")
    assert change < offset.decided_sample < change + 0.75 * RATE
    clarinet = next(e for e in events if e.label == "clarinet" and e.phase == "onset")
    assert change < clarinet.decided_sample < change + 1.0 * RATE
    assert pipeline.open_labels == ()


def test_the_shipped_model_says_nothing_in_silence(orchestra: Model) -> None:
    hiss = 1e-4 * np.random.default_rng(0).standard_normal(20 * RATE).astype(np.float32)
    assert Pipeline(orchestra).feed(silence(20.0)) == []
    assert Pipeline(orchestra).feed(hiss) == []


def test_the_shipped_model_gives_the_same_labels_at_every_level(orchestra: Model, tmp_path: Path) -> None:
    sound = np.concatenate([silence(0.3), note(tmp_path, "oboe", 67, 2.0), silence(0.5)])
    normal, quiet, loud = (Pipeline(orchestra).feed(sound * np.float32(gain)) for gain in (1.0, 2.0**-5, 2.0**4))
    assert next(e.label for e in normal if e.phase == "onset") == "oboe"
    for other in (quiet, loud):
        assert [(e.phase, e.label) for e in other] == [(e.phase, e.label) for e in normal]
        for ours, theirs in zip(normal, other, strict=True):
            assert abs(ours.decided_sample - theirs.decided_sample) <= 0.05 * RATE  # the gate moves faint edges
