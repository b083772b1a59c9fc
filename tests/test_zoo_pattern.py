"""`temporal-pattern`: trains, delays, streaming, and what it learns of notes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.data.corpus import Clip
from models.zoo import file
from models.zoo.delay_network import DelayNetwork, Stream
from models.zoo.modulation import KINDS as NOTE_KINDS
from models.zoo.modulation import modulated, modulations, notes_of, tracks
from models.zoo.pattern_trains import KINDS, Task, pattern, trains
from models.zoo.system import Run, ZooError
from models.zoo.temporal_pattern import HOLD, TemporalPatternSettings, found, latched, learn_pattern
from spiccato.cli import app
from tests.synth import tone


def test_a_stream_gives_the_spikes_of_the_whole_train_in_any_chunks() -> None:
    torch.manual_seed(0)
    network = DelayNetwork(channels=2, delays=9, hidden=6, outputs=3, output_beta=0.9)
    spikes = (np.random.default_rng(0).random((80, 1, 2)) < 0.3).astype(np.float32)
    with torch.no_grad():
        whole, hidden = network(torch.from_numpy(spikes))
    assert 0 < hidden.sum() < hidden.numel()
    stream = Stream(network)
    pieces = [stream.feed(piece[:, 0]) for piece in np.split(spikes, [1, 2, 30])]
    assert np.allclose(np.concatenate(pieces), whole[:, 0], atol=1e-6)
    stream.reset()
    assert np.array_equal(stream.feed(spikes[:30, 0]), Stream(network).feed(spikes[:30, 0]))


def test_the_kinds_of_trains_are_what_they_are_called() -> None:
    task, random = Task(lost=0.0, added=0.0), np.random.default_rng(3)
    own = pattern(random, task)
    made = trains(random, own, np.arange(len(KINDS)), 4_000, task)
    again = (made[: -task.period] * made[task.period :]).sum(axis=0) / made[: -task.period].sum(axis=0)
    assert again[KINDS.index("pattern")] == again[KINDS.index("other")] == 1.0
    assert again[KINDS.index("jittered")] < 0.3
    assert again[KINDS.index("random")] < 0.3
    assert made.mean(axis=0) == pytest.approx(task.spikes / task.period, rel=0.2)
    phases = {int(trains(random, own, np.zeros(1, int), 100, task)[:, 0].argmax()) for _ in range(40)}
    assert len(phases) > 5


def test_a_pattern_is_learned_at_any_phase_and_stays_found() -> None:
    settings = TemporalPatternSettings(batches=120, batch=32, steps=250, judged_trains=40)
    network, own, history = learn_pattern(settings, (1, 0))
    assert history[-1] >= 90.0
    minute = trains(np.random.default_rng(5), own, np.array([0, 3]), 3_000, Task())
    on = found(network, minute[:, :, None])[200:, :, 0]
    assert on[:, 0].mean() > 0.98
    assert on[:, 1].mean() < 0.02


def test_pitch_and_level_become_spikes_only_when_they_move() -> None:
    random = np.random.default_rng(0)
    still = tone(440.0, 2.0)
    cents, _, voiced = tracks(still)
    assert np.allclose(cents[20:-5], 1200 * np.log2(440.0), atol=1.0)
    assert voiced[20:-5].all()
    count = {kind: modulations(modulated(random, still, kind))[20:-15].sum(axis=0) for kind in NOTE_KINDS}
    assert count["steady"].sum() == 0
    assert count["vibrato"][:2].min() > 10 * max(1, count["vibrato"][2:].max())
    assert count["tremolo"][2:].min() > 10
    assert count["tremolo"][:2].max() == 0
    assert modulations(np.zeros(16_000, np.float32)).sum() == 0
    whole, part = modulations(modulated(random, still, "drift")), None
    part = modulations(modulated(np.random.default_rng(1), still, "vibrato")[:8_000])
    assert len(part) == 50
    assert len(whole) == 200


def test_only_notes_that_stand_still_are_modulated() -> None:
    def clip(name: str, sound: np.ndarray) -> Clip:
        samples = np.round(sound * 32767).astype(np.int16)
        return Clip(name, "flute", "made", "made/1", "train", "", samples, pitch=69)

    still = tone(440.0, 2.0)
    waving = modulated(np.random.default_rng(0), still, "vibrato")
    notes = notes_of([clip("still", still), clip("waving", waving)], 1, Run())
    assert notes.kinds.tolist() == list(NOTE_KINDS)
    assert notes.truth.tolist() == [[False, False], [False, False], [True, False], [False, True]]
    with pytest.raises(ZooError, match="no note of this part of the data stands still"):
        notes_of([clip("waving", waving)], 1, Run())


def test_temporal_pattern_trains_by_the_command_and_comes_back_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "it.safetensors"
    quick = ("seeds=2", "batches=2", "batch=4", "judged_trains=8", "steps=200", "judged_minutes=1")
    run = CliRunner().invoke(
        app, ["train", "--system", "temporal-pattern", "--out", str(out), *(f"--set={each}" for each in quick)]
    )
    assert run.exit_code == 0, run.output
    figures = json.loads(out.with_suffix(".json").read_text())["figures"]
    assert len(figures["patterns"]) == 2
    kept, again = file.load(out).trained, file.load(out).trained
    spikes = trains(np.random.default_rng(0), np.array([1, 5]), np.arange(4), 200, Task())[:, :, None]
    assert np.array_equal(found(kept.networks[1], spikes), found(again.networks[1], spikes))  # type: ignore[attr-defined]
    with pytest.raises(ZooError, match="trained without --data"):
        kept.predict(tone(440.0, 1.0))  # type: ignore[attr-defined]


def test_what_was_found_is_lost_only_well_below_the_threshold() -> None:
    membranes = np.array([-0.1, 0.1, -0.1, 0.1, 2 * HOLD, -0.1], np.float32)[:, None]
    assert latched(membranes)[:, 0].tolist() == [False, True, True, True, False, False]
