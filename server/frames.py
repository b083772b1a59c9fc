"""The binary `frame` message: bands, spikes and evidence of each frame, packed for the page. Knows the engine's trace.

Header, little-endian: u8 0xF5, u8 1, u16 frames, u64 sample of the first. Then for each frame the bands as u8 dB,
the spikes as bits (cochlea, then the network layer after layer), the output membranes as i16; where they were asked for
the extremes of its samples as pairs of i16, and a linear spectrum as u8 dB.
"""

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model

MAGIC, VERSION = 0xF5, 1
HEADER = struct.Struct("<BBHQ")
DB_FLOOR, DB_CEIL = -100, 0
EVIDENCE_SCALE = 256  # steps for each unit of log-odds


@dataclass(frozen=True)
class FrameLayout:
    """Lengths that a reader needs, told in `started.frame`."""

    bands: int
    spikes: int
    labels: int
    every: int  # engine frames for each sent frame
    layers: tuple[int, ...]  # whose spikes these are: the cochlea's fibres, then each layer's neurons
    wave: int = 0  # pairs of least and greatest sample
    linear: int = 0  # bins of the linear spectrum

    @property
    def bytes(self) -> int:
        return self.bands + math.ceil(self.spikes / 8) + 2 * self.labels + 4 * self.wave + self.linear


def layout(model: Model, frames_hz: float) -> FrameLayout:
    every = math.ceil(1.0 / model.front_end.hop_s / frames_hz - 1e-9)
    return FrameLayout(
        bands=model.front_end.bands,
        spikes=model.front_end.fibres + model.neurons,
        labels=len(model.labels),
        every=max(1, every),
        layers=(model.front_end.fibres, *(len(layer.bias) for layer in model.layers)),
    )


def pack(
    rows: NDArray[np.void],
    first_sample: int,
    wave: NDArray[np.int16] | None = None,
    linear: NDArray[np.float32] | None = None,
) -> bytes:
    """rows: (n,) of `Pipeline.trace`. first_sample: on the session's clock. wave: (n, pairs, 2). linear: (n, bins)."""
    bands = _decibels(rows["energy"])
    spikes = np.packbits(np.hstack([rows["cochlea"], rows["spikes"]]), axis=1, bitorder="little")
    evidence = np.clip(np.round(rows["evidence"] * EVIDENCE_SCALE), -32_768, 32_767).astype("<i2")
    parts = [bands, spikes, evidence.view(np.uint8).reshape(len(rows), -1)]
    if wave is not None:
        parts.append(wave.astype("<i2").reshape(len(rows), -1).view(np.uint8))
    if linear is not None:
        parts.append(_decibels(linear))
    body = np.hstack(parts)
    return HEADER.pack(MAGIC, VERSION, len(rows), first_sample) + body.tobytes()


def _decibels(power: NDArray[np.float32]) -> NDArray[np.uint8]:
    level = (10.0 * np.log10(np.maximum(power, np.float32(1e-10))) - DB_FLOOR) * (255.0 / (DB_CEIL - DB_FLOOR))
    return np.clip(np.round(level), 0, 255).astype(np.uint8)
