"""`spiking-flute`: its loss, its synthesis, what it leaves out, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.zoo import file, synthesis
from models.zoo.flute_features import features_of
from models.zoo.spiking_flute import TURN, best_share, curve, judged, loss_of, turns
from models.zoo.system import ZooError
from spiccato.cli import app
from tests.models_corpus import write_corpus, write_nsynth
from tests.synth import tone


def test_the_loss_forgives_a_share_of_the_time_and_false_positives_cost_more_as_the_penalty_grows() -> None:
    right, wrong, yes, no = 9.0, -9.0, torch.ones(1), torch.zeros(1)
    margin = torch.full((100, 1), right)
    margin[:45] = wrong
    assert loss_of(margin, yes, 2.0) < 1e-3  # 55 of 100 steps are right
    margin[:46] = wrong
    assert loss_of(margin, yes, 2.0) > 0.1
    assert loss_of(-margin, no, 2.0) - loss_of(-margin, no, 0.1) == pytest.approx(1.9 * 0.46, abs=1e-3)
    assert loss_of(margin, yes, 2.0) == loss_of(margin, yes, 0.1)  # a missed flute is no false positive


def test_figures_are_of_the_acoustic_class() -> None:
    told = judged([True] * 55 + [False] * 125, [True] * 55 + [True] * 11 + [False] * 114)
    assert (told["accuracy"], told["precision"], told["recall"], told["synthetic_right"]) == (93.89, 83.33, 100.0, 91.2)


def test_the_share_is_the_most_accurate_of_those_that_are_precise_enough() -> None:
    acoustic = np.array([True] * 10 + [False] * 100)
    shares = np.concatenate([np.full(7, 0.9), np.full(3, 0.4), np.full(30, 0.6), np.full(70, 0.1)])
    limit, right = best_share(acoustic, shares)
    assert 0.6 < limit < 0.9  # 0.25 would be as accurate, and wrong in a third of what it calls acoustic
    assert right == pytest.approx((0.7 + 1.0) / 2)
    assert best_share(np.ones(3, bool), np.ones(3))[0] == 0.5  # nothing to choose by: the mode


def test_the_curve_tells_what_recall_each_precision_leaves() -> None:
    rows = curve(np.array([True, True, False, True]), np.array([0.9, 0.8, 0.7, 0.6]))
    assert [(row["precision"], row["recall"]) for row in rows] == [
        (1, 0.3333),
        (1, 0.6667),
        (0.6667, 0.6667),
        (0.75, 1),
    ]


def test_noise_between_the_partials_is_heard() -> None:
    partials = sum(tone(440.0 * k, 0.5) / k for k in range(1, 16))
    noise = np.random.default_rng(1).standard_normal(len(partials)).astype(np.float32)
    little, much = (features_of(partials + level * noise, ("noise",)).mean(axis=0) for level in (1e-4, 1e-2))
    assert np.all(much[11:19] > little[11:19] + 3.0)  # where each part of the spectrum has a partial


def test_a_long_note_is_as_many_short_ones() -> None:
    heard = np.arange(2 * TURN + 3, dtype=np.float32)[:, None]
    split = turns(heard)
    assert split.shape == (TURN, 3, 1)
    assert np.array_equal(split[:, 1, 0], heard[TURN : 2 * TURN, 0])
    assert turns(heard[:5]).shape == (5, 1, 1)


@pytest.mark.parametrize("method", synthesis.METHODS)
def test_a_synthetic_note_has_the_pitch_that_was_asked_for(method: str) -> None:
    random = np.random.default_rng(2)
    for _ in range(3):
        note = synthesis.note(random, synthesis.patch(random, method), 69, seconds=1.0)
        assert note.shape == (16_000,)
        assert np.abs(note).max() == pytest.approx(0.5, abs=0.1)
        lag = 16_000 / 440.0
        part = note[4_000:8_000]
        late = np.interp(np.arange(4_000, 8_000) - 2 * lag, np.arange(16_000), note)  # an octave lower counts too
        assert np.corrcoef(part, late)[0, 1] > 0.6


def test_features_hear_nothing_later_and_no_level() -> None:
    sound = tone(440.0, 0.5)
    assert features_of(sound[:3_200]).shape == (11, 168)  # of whole frames of 100 ms
    assert np.allclose(features_of(sound)[:11], features_of(sound[:3_200]), atol=1e-4)
    assert np.allclose(features_of(sound), features_of(0.1 * sound), atol=0.5)
    assert np.isfinite(features_of(np.zeros(1_600, np.float32))).all()


def test_spiking_flute_trains_by_the_command_and_leaves_nsynths_flutes_out(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    nsynth = write_nsynth(
        tmp_path / "nsynth",
        {
            "flute_acoustic_002-060-100": ("flute", "acoustic"),
            "flute_synthetic_000-060-100": ("flute", "synthetic"),
            "brass_acoustic_006-060-100": ("brass", "acoustic"),
            "bass_synthetic_033-040-100": ("bass", "synthetic"),
        },
    )
    out = tmp_path / "it.safetensors"
    quick = (
        "--epochs=1",
        "--set=examples=8",
        "--set=patches=2",
        "--set=piece_s=0.3",
        "--set=seeds=2",
        "--no-soundfonts",
    )
    run = CliRunner().invoke(
        app,
        ["train", "--system", "spiking-flute", f"--data={corpus}", f"--data={nsynth}", f"--out={out}", *quick],
    )
    assert run.exit_code == 0, run.output
    figures = json.loads(out.with_suffix(".json").read_text())["figures"]
    assert figures["nsynth_flutes_left_out"] == 2
    kept, again = file.load(out).trained, file.load(out).trained
    sound = tone(880.0, 0.5)
    assert np.array_equal(kept.margin(sound), again.margin(sound))  # type: ignore[attr-defined]
    assert kept.predict(sound)["label"] in ("acoustic", "synthetic")  # type: ignore[attr-defined]
    with pytest.raises(ZooError, match="has 100 samples"):
        kept.predict(np.zeros(100, np.float32))  # type: ignore[attr-defined]
