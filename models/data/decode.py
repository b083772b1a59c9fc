"""A sound file of any rate and any number of channels as mono at the corpus's rate, block by block.

libsndfile reads what it knows, five times as fast as FFmpeg; FFmpeg, as for an upload, reads the rest (M4A). Samples
are read as float: libsndfile's own conversion of Ogg and MP3 to int16 wraps around where a sample is over full scale.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models.data.recording import CorpusError
from server.decode import DecodeLimits, Decoder
from server.errors import Refusal
from server.ingest import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, mix
from server.whole import missing

RATE_HZ = 16_000
BLOCK_S = 1.0
LIMITS = DecodeLimits(audio_s=float("inf"), channels=MAX_CHANNELS, wall_s=float("inf"))
FOR_FFMPEG = frozenset({".m4a"})


class Unreadable(CorpusError):
    """A sentence about what is wrong with a file."""


class Decoded:
    """An open file: `rate_hz` and `channels` of it, and `blocks()` once, (n,) float32 mono at RATE_HZ."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rate_hz = self.channels = 0

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Raises Unreadable on whatever is wrong with the file."""
        try:
            through = None
            for block in self._ffmpeg() if self._path.suffix.lower() in FOR_FFMPEG else self._libsndfile():
                if not np.isfinite(block).all():
                    raise Unreadable("some samples are not finite")
                mono = mix(block)
                if self.rate_hz != RATE_HZ:
                    through = through or soxr.ResampleStream(self.rate_hz, RATE_HZ, 1, dtype="float32")
                    mono = through.resample_chunk(mono)
                yield mono
            if through is not None:
                yield through.resample_chunk(np.zeros(0, np.float32), last=True)
        except (OSError, Refusal, soundfile.LibsndfileError) as error:
            raise Unreadable(_sentence(error)) from error

    def _libsndfile(self) -> Iterator[NDArray[np.float32]]:
        with self._path.open("rb") as raw:
            if reason := missing(raw):
                raise Unreadable(f"the file is truncated: {reason}")
            with soundfile.SoundFile(raw) as file:
                self._is(file.samplerate, file.channels)
                total = 0
                while len(block := file.read(round(BLOCK_S * self.rate_hz), dtype="float32", always_2d=True)):
                    total += len(block)
                    yield block
        if not total:
            raise Unreadable("the file holds no sound: 0 samples")

    def _ffmpeg(self) -> Iterator[NDArray[np.float32]]:
        with self._path.open("rb") as raw:
            decoder = Decoder(raw, LIMITS)
            try:
                self._is(decoder.rate_hz, decoder.channels)
                yield from decoder.blocks()
            finally:
                decoder.close()

    def _is(self, rate_hz: int, channels: int) -> None:
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or channels > MAX_CHANNELS:
            raise Unreadable(
                f"{rate_hz} Hz and {channels} channels: the limits are {MIN_RATE_HZ}..{MAX_RATE_HZ} and {MAX_CHANNELS}"
            )
        self.rate_hz, self.channels = rate_hz, channels


def read_sound(path: Path) -> NDArray[np.int16]:
    """The whole file, (n,) mono at RATE_HZ. Raises Unreadable, naming the file."""
    try:
        whole = np.concatenate(list(Decoded(path).blocks()))
    except Unreadable as error:
        raise Unreadable(f"{path}: {error}") from error
    return to_int16(whole)


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Full scale 1 to int16, rounded; what is over it stays at it."""
    return np.rint(np.clip(samples, -1.0, 32767 / 32768) * 32768.0).astype(np.int16)


def _sentence(error: Exception) -> str:
    if isinstance(error, Refusal):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).removeprefix("Error opening ").strip() or "no sound file"
