"""PCM bytes to mono float32 at the engine's rate. Knows encodings, channels and rates; nothing of sockets or events.

`Pcm` turns bytes into samples and refuses what is not sound; `Resampler` is soxr with its state kept from chunk to
chunk. Any chunking gives bit-identical samples.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from server.errors import Code, Refusal

Encoding = Literal["pcm_s16le", "pcm_s24le", "pcm_f32le"]
SAMPLE_BYTES: dict[Encoding, int] = {"pcm_s16le": 2, "pcm_s24le": 3, "pcm_f32le": 4}
MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 192_000
MAX_CHANNELS = 32
MAX_AMPLITUDE = 100.0  # 40 dB over full scale: a float stream beyond it is not audio scaled to +-1
# Declared and engine's rate in Hz, to the samples after which soxr's filters are where they were: a resampler that
# begins there gives the same bits after less than WARM_S. Found by search; `tests/test_resampler.py` holds it.
PERIODS = {
    (8_000, 16_000): 830,
    (24_000, 16_000): 2_202,
    (32_000, 16_000): 1_660,
    (44_100, 16_000): 218_736,
    (48_000, 16_000): 4_404,
    (96_000, 16_000): 20_928,
}
WARM_S = 0.5
CLIP = 1.0 - 2.0**-15  # the greatest positive s16


@dataclass(frozen=True)
class Pcm:
    """Raw interleaved PCM of one declared format, to samples."""

    encoding: Encoding
    channels: int
    select: int | None  # the channel to hear, from 0; None: the mean of all

    @cached_property
    def frame_bytes(self) -> int:
        return SAMPLE_BYTES[self.encoding] * self.channels

    def check(self, data: bytes) -> None:
        """Raises Refusal on what is not whole samples."""
        if not data:
            raise Refusal(Code.EMPTY_CHUNK, 'a binary message of 0 bytes; the end of the stream is {"type":"stop"}')
        if len(data) % self.frame_bytes:
            raise Refusal(
                Code.PARTIAL_SAMPLE,
                f"{len(data)} bytes are not whole samples: {self.encoding} with {self.channels} channel(s) "
                f"takes a multiple of {self.frame_bytes}",
            )

    def read(self, data: bytes) -> NDArray[np.float32]:
        """Bytes to (n, channels) float32, full scale +-1. Raises Refusal on what is not whole, finite samples."""
        self.check(data)
        if self.encoding == "pcm_s16le":
            samples = read_s16(data)
        elif self.encoding == "pcm_s24le":
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            samples = wide.view("<i4").ravel().astype(np.float32) * np.float32(2.0**-31)
        else:
            samples = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
            check_samples(samples, self.channels)
        return samples.reshape(-1, self.channels)

    def mono(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, channels) to (n,): the selected channel, or the mean of all."""
        return mix(samples) if self.select is None else np.ascontiguousarray(samples[:, self.select])


def read_s16(data: bytes) -> NDArray[np.float32]:
    """Little-endian 16-bit integers, of one channel or more, to float32 of full scale +-1."""
    samples = np.frombuffer(data, "<i2").astype(np.float32)
    samples *= np.float32(2.0**-15)
    return samples


def check_samples(samples: NDArray[np.float32], channels: int) -> None:
    """Raise Refusal naming the first of the interleaved `samples` (n,) that is not finite or far over full scale."""
    wrong = ~(np.abs(samples) <= MAX_AMPLITUDE)  # true for NaN as well
    if wrong.any():
        index = int(np.argmax(wrong))
        value = samples[index]
        where = f"sample {index // channels} of channel {index % channels} is {value}"
        if np.isfinite(value):
            raise Refusal(Code.SAMPLE_OUT_OF_RANGE, f"{where}: full scale is +-1, the limit is +-{MAX_AMPLITUDE:g}")
        raise Refusal(Code.NON_FINITE_SAMPLE, f"{where}: samples must be finite")


def mix(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, channels) to (n,), the mean, summed from channel 0 up so that it is the same bits in any chunking."""
    total = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        total += samples[:, channel]
    if samples.shape[1] > 1:
        total /= np.float32(samples.shape[1])
    return total


class Resampler:
    """Declared rate to engine rate. Output sample 0 is at the time of input sample 0; equal rates pass untouched."""

    def __init__(self, rate_hz: int, engine_rate_hz: int) -> None:
        self._warm = round(WARM_S * rate_hz)
        self._period = PERIODS.get((rate_hz, engine_rate_hz))
        self._stream = (
            None
            if rate_hz == engine_rate_hz
            else soxr.ResampleStream(rate_hz, engine_rate_hz, 1, dtype="float32", quality="HQ")
        )

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return samples if self._stream is None else self._stream.resample_chunk(samples)

    @property
    def can_begin_again(self) -> bool:
        """One that begins within the sound gives the same bits as this one."""
        return self._stream is None or self._period is not None

    def begins_again(self, samples: int) -> int:
        """Where such a one has to begin, counted in `samples` that this one was given: at 0, or a good deal before."""
        return samples if self._period is None else max(0, (samples - self._warm) // self._period) * self._period

    def flush(self) -> NDArray[np.float32]:
        """The tail that the filter still holds; ends the stream."""
        empty = np.zeros(0, np.float32)
        return empty if self._stream is None else self._stream.resample_chunk(empty, last=True)
