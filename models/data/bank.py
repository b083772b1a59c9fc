"""Scenes as the network sees them: spikes of the engine's ear, packed, with their truth. Knows the ear and scenes.

Everything that a network trains on passes through `engine.ear.Ear`; there is no second front end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.ear import Ear
from models.data.ontology import LABELS
from models.data.scenes import FRAMES, HOP_SAMPLES, Stage


@dataclass(frozen=True)
class Bank:
    """Scene `i` depends on the seed and `i` alone."""

    spikes: NDArray[np.uint8]  # (scenes, FRAMES, fibres / 8) bits, little-endian
    truth: NDArray[np.uint8]  # (scenes, FRAMES, labels)
    fibres: int

    def __len__(self) -> int:
        return len(self.spikes)

    def batch(self, index: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Spikes (FRAMES, batch, fibres) float32 and truth (FRAMES, batch, labels), time first as the network runs."""
        packed = np.ascontiguousarray(self.spikes[index].transpose(1, 0, 2))
        spikes = np.unpackbits(packed, axis=2, count=self.fibres, bitorder="little").astype(np.float32)
        return spikes, np.ascontiguousarray(self.truth[index].transpose(1, 0, 2))


def build(stage: Stage, front_end: FrontEnd, scenes: int, seed: int) -> Bank:
    """`scenes` scenes through the ear. Raises ValueError if the front end's rate or hop is not the scenes'."""
    if front_end.sample_rate_hz != 16_000 or front_end.hop_samples != HOP_SAMPLES:
        raise ValueError(
            f"scenes are 16000 Hz with hops of {HOP_SAMPLES}; "
            f"the front end has {front_end.sample_rate_hz} Hz and {front_end.hop_samples}"
        )
    ear = Ear(front_end)
    spikes = np.empty((scenes, FRAMES, (front_end.fibres + 7) // 8), np.uint8)
    truth = np.empty((scenes, FRAMES, len(LABELS)), np.uint8)
    for index in range(scenes):
        scene = stage.scene(np.random.default_rng((seed, index)))
        ear.reset()
        _, fired = ear.feed(scene.samples)
        spikes[index] = np.packbits(fired, axis=1, bitorder="little")
        truth[index] = scene.truth
    return Bank(spikes, truth, front_end.fibres)
