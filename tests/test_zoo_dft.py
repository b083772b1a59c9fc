"""`learned-dft`: the layer is the DFT to float32's last bits, the bins find nine tones, and the command does both."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.zoo import dft_layer, file, learned_bins
from models.zoo.system import ZooError
from spiccato.cli import app
from tests.synth import tone


def test_the_layer_is_the_fft_within_the_rounding_of_float32() -> None:
    weight, losses = dft_layer.learn(64, seed=3)
    assert losses[-1] < 1e-25 * losses[0]
    frames = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    frames = np.concatenate([frames, 1e4 * np.eye(64, dtype=np.float32)])  # single clicks reach every weight alone
    off = np.abs(frames @ weight - dft_layer.dft(frames)).max(axis=1)
    assert np.all(off <= dft_layer.rounding_bound(frames))
    early, _ = dft_layer.learn(64, seed=3, steps=30)
    assert np.abs(frames @ early - dft_layer.dft(frames)).max() > dft_layer.rounding_bound(frames).max()


def test_a_frame_that_has_no_half_is_refused() -> None:
    with pytest.raises(ValueError, match="frame_samples=63 is not even"):
        dft_layer.learn(63, seed=1)


def tones(hz: np.ndarray, amplitudes: np.ndarray, phases: np.ndarray, samples: int = 1024) -> np.ndarray:
    t = np.arange(samples)[:, None]
    return (amplitudes * np.cos(2 * np.pi / 16_000 * hz * t + phases)).sum(axis=1)


def test_bins_home_in_on_nine_tones_and_stay_right_as_a_layer() -> None:
    random = np.random.default_rng(7)
    hz = np.array([101.3, 130.0, 440.44, 457.0, 1000.9, 2500.2, 2533.3, 6000.1, 7777.7])
    amplitudes, phases = random.uniform(0.05, 1, 9), random.uniform(0, 6, 9)
    w, found = learned_bins.home_in(tones(hz, amplitudes, phases)[None], 9)
    assert np.allclose(w[0] * 16_000 / (2 * np.pi), hz, atol=1e-6)
    assert np.allclose(found[0], amplitudes, atol=1e-8)
    _, unlearned = learned_bins.home_in(tones(hz, amplitudes, phases)[None], 9, steps=0, last_steps=0)
    assert np.abs(unlearned[0] - amplitudes).max() > 1e-3  # it is the learning that does it
    new = random.uniform(0.05, 1, 9)
    said = tones(hz, new, phases[::-1]) @ learned_bins.layer(w[0], 1024)
    assert np.allclose(learned_bins.amplitudes(said), new, atol=1e-7)


def test_silence_and_more_bins_than_tones_give_numbers() -> None:
    for frame in (np.zeros(256), tones(np.array([1000.0]), np.array([0.5]), np.zeros(1), 256)):
        w, found = learned_bins.home_in(frame[None], 3)
        assert np.isfinite(w).all()
        assert np.isfinite(found).all()
    with pytest.raises(ValueError, match="bins=65 is not within 1 and a quarter of the 256 samples"):
        learned_bins.home_in(np.zeros((1, 256)), 65)


def test_learned_dft_trains_by_the_command_and_comes_back_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "dft.safetensors"
    settings = ("frame_samples=32", "judged_seeds=2", "judged_draws=3", "bins_frame_samples=512")
    run = CliRunner().invoke(
        app, ["train", "--system", "learned-dft", "--out", str(out), *(f"--set={each}" for each in settings)]
    )
    assert run.exit_code == 0, run.output
    figures = json.loads(out.with_suffix(".json").read_text())["figures"]
    assert figures["layer"]["of_bound"] < 1.0
    assert figures["bins"]["no noise"]["amplitudes"] == 2 * 3 * 9
    assert figures["bins"]["no noise"]["right"] > 95.0
    kept = file.load(out)
    assert kept.trained.parameters == 32 * 32
    told = kept.trained.predict(tone(440.0, 0.5))  # type: ignore[attr-defined]
    assert min(abs(hz - 440.0) for hz in told["hz"]) < 0.1
    with pytest.raises(ZooError, match="has 100 samples, its frame 512"):
        kept.trained.predict(np.zeros(100, np.float32))  # type: ignore[attr-defined]
