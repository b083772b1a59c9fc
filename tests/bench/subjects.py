"""What is measured: networks on the power-of-two grid, the sound that they hear, spikes at a given rate."""

import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.ear import Ear
from engine.weights import Layer, Model

RATE_HZ = 16_000
REFERENCE = (64, 128, 128, 16)  # at a hop of 10 ms: the network that every figure of the project refers to
RIVAL_SIZE = (128, 128, 64, 16)  # where a plain C loop was first held against the engine


def network(inputs: int, *widths: int, front_end: FrontEnd | None = None) -> Model:
    """A network of random weights on the grid, about one neuron in ten firing on music. The last layer has no reset,
    as in a trained model. `inputs` must be what the front end gives: bands times fibre gains.
    """
    rng = np.random.default_rng(0)
    sizes = [inputs, *widths]
    layers = tuple(
        Layer(
            weight=rng.integers(-64, 72, (sizes[i], sizes[i + 1])).astype(np.int8),
            bias=rng.integers(-8, 9, sizes[i + 1]).astype(np.int32),
            shift=8,
            beta=rng.uniform(0.6, 0.98, sizes[i + 1]).astype(np.float32),
            threshold=np.ones(sizes[i + 1], np.float32),
            reset="none" if i == len(widths) - 1 else "subtract",
        )
        for i in range(len(widths))
    )
    labels = widths[-1]
    return Model(
        name="-".join(map(str, sizes)), version="0", labels=tuple(f"label{i}" for i in range(labels)),
        families=("none",) * labels, front_end=front_end or FrontEnd(bands=inputs), layers=layers,
        on=(0.99,) * labels, off=(0.5,) * labels,
    )  # fmt: skip


def shape(model: Model) -> str:
    return "-".join(map(str, [model.front_end.fibres, *(layer.weight.shape[1] for layer in model.layers)]))


def sound(seconds: float) -> NDArray[np.float32]:
    """Notes with harmonics and rests over noise: about the spike rates of music."""
    rng = np.random.default_rng(1)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch = 220 * 2 ** (rng.integers(0, 24, len(t) // 8_000 + 1).repeat(8_000)[: len(t)] / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = np.exp(-((t * 2) % 1) * 3)
    return (0.1 * tone * envelope + 0.003 * rng.standard_normal(len(t))).astype(np.float32)


def heard(model: Model, samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The cochlea's spikes of these samples, (frames, fibres)."""
    return Ear(model.front_end).feed(samples)[1]


def random_spikes(frames: int, inputs: int, rate: float) -> NDArray[np.uint8]:
    """Independent spikes, each with probability `rate`, (frames, inputs)."""
    return (np.random.default_rng(2).random((frames, inputs)) < rate).astype(np.uint8)
