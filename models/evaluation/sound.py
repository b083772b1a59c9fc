"""A file, or the part of it that a row names, as mono pieces at the engine's rate, decoded as an upload is.

One piece at a time, so that memory does not grow with the file. Knows files; nothing of labels.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.decode import DecodeLimits, Decoder
from server.errors import Refusal
from server.ingest import MAX_CHANNELS, Resampler, mix

PIECE_S = 120.0
LIMITS = DecodeLimits(audio_s=math.inf, channels=MAX_CHANNELS, wall_s=math.inf)


class Unreadable(ValueError):
    """A sentence about what is wrong with a file."""


def pieces(
    path: Path, rate_hz: int, start_s: float | None = None, stop_s: float | None = None
) -> Iterator[NDArray[np.float32]]:
    """(n,) float32, each of PIECE_S but the last. Raises Unreadable."""
    size = round(PIECE_S * rate_hz)
    held: list[NDArray[np.float32]] = []
    count = 0
    for block in _part(path, rate_hz, start_s, stop_s):
        held.append(block)
        count += len(block)
        if count >= size:
            whole = np.concatenate(held)
            while len(whole) >= size:
                yield whole[:size]
                whole = whole[size:]
            held, count = [whole], len(whole)
    if count:
        yield np.concatenate(held)


def _part(path: Path, rate_hz: int, start_s: float | None, stop_s: float | None) -> Iterator[NDArray[np.float32]]:
    start = round((start_s or 0.0) * rate_hz)
    stop = math.inf if stop_s is None else round(stop_s * rate_hz)
    at = 0
    for block in _mono(path, rate_hz):
        wanted = block[max(0, start - at) : len(block) if at + len(block) <= stop else int(stop) - at]
        at += len(block)
        if len(wanted):
            yield wanted
        if at >= stop:
            return
    if at <= start:
        raise Unreadable(f"the file ends at {at / rate_hz:.2f} s, before onset_s={start_s or 0.0:g}")


def _mono(path: Path, rate_hz: int) -> Iterator[NDArray[np.float32]]:
    """Decoded, mixed and resampled as for an upload, and the resampler's tail."""
    try:
        with path.open("rb") as file:
            decoder = Decoder(file, LIMITS)
            try:
                resampler = Resampler(decoder.rate_hz, rate_hz)
                for block in decoder.blocks():
                    yield resampler.feed(mix(block))
                yield resampler.flush()
            finally:
                decoder.close()
    except Refusal as refusal:
        raise Unreadable(refusal.message) from refusal
    except OSError as error:
        raise Unreadable((error.strerror or str(error)).lower()) from error
