"""`learned-dft`: a layer that learns the Fourier transform, and bins that home in on nine frequencies. Knows the task:
what is drawn, and what counts as right."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import erf, sqrt
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from models.zoo import dft_layer, learned_bins
from models.zoo.data import Data
from models.zoo.system import Run, Settings, Solver, System, Tensors, ZooError

RATE_HZ = 16_000
LOWEST_HZ, HIGHEST_HZ = 50.0, 7_900.0
SOFTEST = 0.05  # amplitudes are from here to 1
TOLERANCE = 0.0005  # right in three decimals
FRAMES = 2_000  # of noise that the layer is compared with the FFT on


@dataclass(frozen=True, kw_only=True)
class LearnedDftSettings(Settings):
    frame_samples: int = 512  # of the layer
    steps: int = dft_layer.STEPS
    bins: int = 9
    bins_frame_samples: int = 1_024
    judged_seeds: int = 10
    judged_draws: int = 100  # sums of tones, each seed


class LearnedDft(Solver):
    def __init__(self, weight: NDArray[np.float32], settings: LearnedDftSettings) -> None:
        self.weight = weight  # (frame, frame)
        self.settings = settings

    @property
    def parameters(self) -> int:
        return int(self.weight.size)

    def tensors(self) -> Tensors:
        return {"weight": self.weight}

    def predict(self, samples: NDArray[np.float32]) -> dict[str, Any]:
        """The bins on the sound's loudest frame: frequencies in Hz and amplitudes, of full scale."""
        size = self.settings.bins_frame_samples
        if len(samples) < size:
            raise ZooError(f"learned-dft: the sound has {len(samples)} samples, its frame {size}")
        frames = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
        loudest = int(np.square(frames).sum(axis=1).argmax())
        w, a = learned_bins.home_in(frames[loudest : loudest + 1], self.settings.bins)
        return {
            "at_ms": round(1000.0 * loudest * size / RATE_HZ, 1),
            "hz": np.round(_hz(w[0]), 2).tolist(),
            "amplitudes": np.round(a[0], 4).tolist(),
        }

    def figures(self, data: Data, run: Run) -> dict[str, Any]:
        layer = layer_figures(self.weight, self.settings.seed)
        run.report(f"the layer: {layer}")
        bins = {}
        for name, snr_db in (("no noise", None), ("60 dB", 60.0), ("40 dB", 40.0)):
            bins[name] = bins_figures(self.settings, snr_db)
            run.report(f"the bins, {name}: {bins[name]}")
        clean = bins["no noise"]
        return {
            "headline": [
                {
                    "what": f"learned DFT, greatest difference to the FFT (frames of {self.settings.frame_samples})",
                    "ours": f"{layer['difference']:.1e}, {layer['of_bound']:.2%} of float32's bound",
                    "to_beat": "equals the FFT",
                },
                {
                    "what": "its CPU time, as a multiple of the FFT's",
                    "ours": f"{layer['times_the_fft']}",
                    "to_beat": "none",
                },
                {
                    "what": f"{self.settings.bins} amplitudes right in three decimals",
                    "ours": f"{clean['right']} %, worst of {self.settings.judged_seeds} seeds {clean['worst_seed']} %",
                    "to_beat": "62.8 %",
                },
                {
                    "what": "the same, noise 60 dB below",
                    "ours": f"{bins['60 dB']['right']} %",
                    "to_beat": "none",
                },
            ],
            "layer": layer,
            "bins": bins,
        }


def train(settings: LearnedDftSettings, data: Data, run: Run) -> LearnedDft:
    try:
        weight, losses = dft_layer.learn(settings.frame_samples, settings.seed, settings.steps)
    except ValueError as error:
        raise ZooError(f"learned-dft: {error}") from error
    if 4 * settings.bins > settings.bins_frame_samples:
        raise ZooError(f"learned-dft: bins={settings.bins} are more than a quarter of bins_frame_samples")
    run.report(f"loss {losses[0]:.2g} at first, {losses[-1]:.2g} after {len(losses)} steps")
    return LearnedDft(weight, settings)


def layer_figures(weight: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """The layer beside the FFT, on noise that it has not heard; times are CPU times of one of many frames."""
    size = len(weight)
    frames = np.random.default_rng((seed, 1)).standard_normal((FRAMES, size)).astype(np.float32)
    true = dft_layer.dft(frames)
    off = np.abs(frames @ weight - true).max(axis=1)
    exact = dft_layer.dft(np.eye(size)).astype(np.float32)
    layer_us = _us(lambda: frames @ weight)
    fft_us = _us(lambda: scipy.fft.rfft(frames))
    return {
        "frame_samples": size,
        "difference": float(off.max()),
        "of_bound": float((off / dft_layer.rounding_bound(frames)).max()),
        "difference_of_the_true_dft_matrix": float(np.abs(frames @ exact - true).max()),
        "largest_output": float(np.abs(true).max()),
        "weights_equal_bit_for_bit": float((weight == exact).mean()),
        "layer_us": round(layer_us, 2),
        "fft_us": round(fft_us, 2),
        "times_the_fft": round(layer_us / fft_us, 1),
    }


def bins_figures(settings: LearnedDftSettings, snr_db: float | None) -> dict[str, Any]:
    """Shares in percent of amplitudes that are right, over seeds and draws of `settings`."""
    right, unlearned, layered, limit = [], [], [], []
    for seed in range(1, settings.judged_seeds + 1):
        random = np.random.default_rng((settings.seed, seed))
        frames, hz, amplitudes, noise = tones(random, settings, snr_db)
        w, found = learned_bins.home_in(frames, settings.bins)
        right.append(np.abs(found - amplitudes) < TOLERANCE)
        _, at_peaks = learned_bins.home_in(frames, settings.bins, steps=0, last_steps=0)
        unlearned.append(np.abs(at_peaks - amplitudes) < TOLERANCE)
        limit.append(_at_best(noise, settings.bins_frame_samples))
        again, _, new, _ = tones(random, settings, snr_db, hz)
        said = [
            learned_bins.amplitudes(frame @ learned_bins.layer(own, len(frame)))
            for own, frame in zip(w, again, strict=True)
        ]
        layered.append(np.abs(np.array(said) - new) < TOLERANCE)
    each = [100.0 * float(seed.mean()) for seed in right]
    return {
        "amplitudes": int(np.size(right)),
        "right": round(float(np.mean(each)), 2),
        "worst_seed": round(min(each), 2),
        "all_nine_right": round(100.0 * float(np.mean([seed.all(axis=1) for seed in right])), 2),
        "bins_at_the_peaks_of_the_fft": round(100.0 * float(np.mean(unlearned)), 2),
        "as_a_layer_on_new_frames": round(100.0 * float(np.mean(layered)), 2),
        "at_best_in_this_noise": round(100.0 * float(np.mean(limit)), 2),
    }


def tones(
    random: np.random.Generator,
    settings: LearnedDftSettings,
    snr_db: float | None,
    hz: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Frames, frequencies (drawn unless given), amplitudes and the noise's standard deviation of each frame.

    Frequencies may lie as close as chance has it, amplitudes and phases are uniform.
    """
    size = (settings.judged_draws, settings.bins)
    if hz is None:
        hz = np.sort(random.uniform(LOWEST_HZ, HIGHEST_HZ, size), axis=1)
    amplitudes = random.uniform(SOFTEST, 1.0, size)
    phases = random.uniform(0.0, 2.0 * np.pi, size)
    angle = 2.0 * np.pi / RATE_HZ * np.arange(settings.bins_frame_samples)[:, None] * hz[:, None] + phases[:, None]
    frames = (np.cos(angle) @ amplitudes[:, :, None])[:, :, 0]
    noise = np.zeros(len(frames))
    if snr_db is not None:
        noise = np.sqrt(np.square(frames).mean(axis=1) * 10.0 ** (-snr_db / 10.0))
        frames = frames + random.standard_normal(frames.shape) * noise[:, None]
    return frames, hz, amplitudes, noise


def _at_best(noise: NDArray[np.float64], samples: int) -> float:
    """The share that the best unbiased estimate of tones far apart has right: its variance is 2 noise^2 / samples
    (Rife and Boorstyn, IEEE Transactions on Information Theory 20, 1974)."""
    deviations = noise * sqrt(2.0 / samples)
    return float(np.mean([1.0 if d == 0.0 else erf(TOLERANCE / d / sqrt(2.0)) for d in deviations]))


def _us(run: Callable[[], object]) -> float:
    """The least CPU time of three runs, for each of FRAMES."""
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1e6 * min(times) / FRAMES


def _hz(w: NDArray[np.float64]) -> NDArray[np.float64]:
    return w * RATE_HZ / (2.0 * np.pi)


def restore(settings: LearnedDftSettings, about: dict[str, Any], tensors: Tensors) -> LearnedDft:
    return LearnedDft(tensors["weight"], settings)


SYSTEM = System(
    name="learned-dft",
    source="unpublished notes: a linear layer learns the DFT of noise; bins that shift to nine given frequencies",
    settings=LearnedDftSettings,
    train=train,
    restore=restore,
    kind="task",
    needs_data=False,
    notes="bins learn by Gauss-Newton steps, one after the other",
)
