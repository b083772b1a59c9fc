"""Scenes as the network sees them: spikes of the engine's ear, packed, with their truth. Knows the ear and scenes.

Everything that a network trains on passes through `engine.ear.Ear`; there is no second front end.
"""

import math
import mmap
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.ear import Ear
from models.data.ontology import LABELS
from models.data.scenes import FRAMES, HOP_SAMPLES, Stage


@dataclass(frozen=True)
class Bank:
    """Scenes as spikes and truth; each depends on the seed and its number alone."""

    spikes: NDArray[np.uint8]  # (scenes, FRAMES, fibres / 8) bits, little-endian
    truth: NDArray[np.uint8]  # (scenes, FRAMES, labels)
    fibres: int

    def __len__(self) -> int:
        return len(self.spikes)

    def of(self, epoch: int) -> "Bank":
        """The scenes to learn from in an epoch: always these."""
        return self

    def batch(self, index: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Spikes (FRAMES, batch, fibres) float32 and truth (FRAMES, batch, labels), time first as the network runs."""
        packed = np.ascontiguousarray(self.spikes[index].transpose(1, 0, 2))
        spikes = np.unpackbits(packed, axis=2, count=self.fibres, bitorder="little").astype(np.float32)
        return spikes, np.ascontiguousarray(self.truth[index].transpose(1, 0, 2))


class Banks:
    """`count` banks that epochs take in turn. Each is made once: the first now, each next one by a thread while its
    predecessor is learned from. All are kept, in files without a name that go with the process: about a gigabyte for
    28 000 scenes, which the system holds in memory as far as there is room."""

    def __init__(self, build: Callable[[int], Bank], count: int) -> None:
        """build: gives the bank of a number under `count`, on any thread. Raises ValueError for a count under 1."""
        if count < 1:
            raise ValueError(f"banks={count} must be at least 1")
        self._build, self._count = build, count
        self._thread = ThreadPoolExecutor(1, "scenes")
        self._banks: dict[int, Future[Bank]] = {}
        first = self._bank(0).result()
        self._scenes, self.fibres = len(first), first.fibres

    def __len__(self) -> int:
        return self._scenes

    def of(self, epoch: int) -> Bank:
        """The scenes to learn from in an epoch."""
        bank = self._bank(epoch % self._count).result()
        self._bank((epoch + 1) % self._count)
        return bank

    def close(self) -> None:
        """Stop making what nobody waits for."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _bank(self, number: int) -> Future[Bank]:
        if number not in self._banks:
            self._banks[number] = self._thread.submit(self._build, number)
        return self._banks[number]


def build(stage: Stage, front_end: FrontEnd, scenes: int, seed: int, first: int = 0) -> Bank:
    """Scenes `first` to before `first + scenes` through the ear.

    Raises ValueError if the front end's rate or hop is not the scenes', OSError if the folder for temporary files has
    no room for them.
    """
    if front_end.sample_rate_hz != 16_000 or front_end.hop_samples != HOP_SAMPLES:
        raise ValueError(
            f"scenes are 16000 Hz with hops of {HOP_SAMPLES}; "
            f"the front end has {front_end.sample_rate_hz} Hz and {front_end.hop_samples}"
        )
    ear = Ear(front_end)
    spikes = _on_disk(scenes, FRAMES, (front_end.fibres + 7) // 8)
    truth = _on_disk(scenes, FRAMES, len(LABELS))
    for index in range(scenes):
        scene = stage.scene(np.random.default_rng((seed, first + index)))
        ear.reset()
        _, fired = ear.feed(scene.samples)
        spikes[index] = np.packbits(fired, axis=1, bitorder="little")
        truth[index] = scene.truth
    return Bank(spikes, truth, front_end.fibres)


def _on_disk(*shape: int) -> NDArray[np.uint8]:
    """Zeros in a file of TMPDIR that has no name and ends with the array."""
    size = math.prod(shape)
    with tempfile.TemporaryFile(prefix="spiccato-scenes-") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told here, not by a signal at some write
        except AttributeError:  # not a POSIX system
            file.truncate(size)
        except OSError as error:
            where = f"{tempfile.gettempdir()} has no room for {size} bytes of scenes; TMPDIR may name another folder"
            raise OSError(error.errno, where) from error
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8).reshape(shape)
