"""`spiking-flute`: its loss, its synthesis, what it leaves out, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.zoo import file, synthesis
from models.zoo.spiking_flute import features_of, judged, loss_of
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
    assert np.allclose(features_of(sound)[:20], features_of(sound[:3_200]), atol=1e-4)
    assert np.allclose(features_of(sound), features_of(0.1 * sound), atol=0.1)
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
    quick = ("--epochs=1", "--set=examples=8", "--set=patches=2", "--set=piece_s=0.3", "--no-soundfonts")
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
