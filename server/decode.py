"""A sound file to float32 samples, block by block, in constant memory. Knows FFmpeg; nothing of engines or HTTP.

Everything in the file is hostile until decoded: which demuxers may look at it is named, nothing that it points to is
opened, and each limit is applied while decoding, whatever its header says.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import EOFError as EndOfFile
from av.error import FFmpegError
from numpy.typing import NDArray

from server.errors import Code, Refusal
from server.ingest import MAX_RATE_HZ, MIN_RATE_HZ, check_samples
from server.whole import has_exact_duration, missing

# names of FFmpeg's demuxers; `mov` and its other names are M4A
FORMATS = "wav,w64,aiff,flac,ogg,mp3,mov,mp4,m4a,3gp,3g2,mj2"
BLOCK_S = 1.0  # of audio, handed out at once
# A file that yields this much less than its header says is truncated. Encoders count priming and padding differently.
SHORT_S = 0.25


@dataclass(frozen=True)
class DecodeLimits:
    audio_s: float  # decoded seconds
    channels: int
    wall_s: float  # from opening to the last block, the listener's time included
    stopped: Callable[[], bool] = lambda: False  # asked now and then: no more is wanted


class Decoder:
    """An open file: `rate_hz`, `channels`, and `blocks()` once. Raises Refusal on whatever is wrong with the file."""

    def __init__(self, file: BinaryIO, limits: DecodeLimits) -> None:
        self._file = file
        self._limits = limits
        self._deadline = time.monotonic() + limits.wall_s
        self._size = file.seek(0, os.SEEK_END)
        if self._size == 0:
            raise Refusal(Code.EMPTY_FILE, "the file is empty: 0 bytes")
        if reason := missing(file):
            raise Refusal(Code.TRUNCATED, f"the file is truncated: {reason}")
        exact = has_exact_duration(file)
        try:
            self._container = av.open(file, mode="r", options={"format_whitelist": FORMATS, "protocol_whitelist": ""})
        except EndOfFile as error:
            raise Refusal(
                Code.TRUNCATED, f"the file is truncated: it ends within its header, {self._size} bytes"
            ) from error
        except (FFmpegError, ValueError) as error:
            raise Refusal(
                Code.UNDECODABLE, f"{self._size} bytes that are no sound file: WAV, FLAC, OGG, MP3 and M4A are known"
            ) from error
        if not self._container.streams.audio:
            raise Refusal(Code.NO_AUDIO, f"a {self._container.format.name} file without an audio stream")
        self._stream = self._container.streams.audio[0]
        context = self._stream.codec_context
        if context is None:
            raise Refusal(Code.UNDECODABLE, f"no decoder for this {self._container.format.name} file's audio")
        self.rate_hz: int = context.sample_rate
        self.channels: int = context.channels
        declared = self._stream.duration
        self._declared_s = float(declared * self._stream.time_base) if declared and exact else None
        self._check_form(self.rate_hz, self.channels)

    def close(self) -> None:
        self._container.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels) float32, about BLOCK_S each, in order."""
        pending: list[NDArray[np.float32]] = []
        held = total = 0
        for samples in self._samples():
            total += len(samples)
            if total > self._limits.audio_s * self.rate_hz:
                raise Refusal(
                    Code.AUDIO_TOO_LONG,
                    f"more than {self._limits.audio_s:g} s of audio: that is the limit of an upload",
                )
            if time.monotonic() > self._deadline:
                raise Refusal(
                    Code.DECODE_TIMEOUT,
                    f"not done after {self._limits.wall_s:g} s ({total / self.rate_hz:.0f} s of audio were heard)",
                )
            if self._limits.stopped():
                raise Refusal(Code.DRAINING, "the server stops before this upload is done: try again in a few seconds")
            pending.append(samples)
            held += len(samples)
            if held >= BLOCK_S * self.rate_hz:
                yield np.concatenate(pending)
                pending, held = [], 0
        if pending:
            yield np.concatenate(pending)
        if self._declared_s is not None and total / self.rate_hz < self._declared_s - SHORT_S:
            raise self._truncated(total, f"of {self._declared_s:.2f} s that its header says")
        if total == 0:
            raise Refusal(Code.NO_AUDIO, "the file holds no sound: 0 samples")

    def _samples(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels) float32 of each decoded frame."""
        to_float = AudioResampler(format="flt")
        total = end = 0  # samples so far, byte after the packet being decoded
        try:
            for packet in self._container.demux(self._stream):
                end = (packet.pos or 0) + packet.size if packet.size else end
                for decoded in packet.decode():
                    self._check_unchanged(decoded, total)
                    for frame in to_float.resample(decoded):
                        samples = self._checked(frame, total)
                        total += len(samples)
                        yield samples
        except (FFmpegError, ValueError) as error:
            if end >= self._size:
                raise self._truncated(total, "and the rest cannot be decoded") from error
            raise Refusal(Code.UNDECODABLE, f"damaged after {total / self.rate_hz:.2f} s of audio: {error}") from error

    def _check_unchanged(self, frame: AudioFrame, before: int) -> None:
        rate_hz, channels = frame.sample_rate, frame.layout.nb_channels
        if (rate_hz, channels) != (self.rate_hz, self.channels):
            raise Refusal(
                Code.UNDECODABLE,
                f"the audio changes from {self.channels} channel(s) at {self.rate_hz} Hz to {channels} at {rate_hz} Hz "
                f"after {before / self.rate_hz:.1f} s",
            )

    def _checked(self, frame: AudioFrame, before: int) -> NDArray[np.float32]:
        samples = np.asarray(frame.to_ndarray(), np.float32).reshape(-1)
        try:
            check_samples(samples, self.channels)
        except Refusal as refusal:
            raise Refusal(refusal.code, f"after {before / self.rate_hz:.3f} s, {refusal.message}") from refusal
        return samples.reshape(-1, self.channels)

    def _check_form(self, rate_hz: int, channels: int) -> None:
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise Refusal(
                Code.SAMPLE_RATE_OUT_OF_RANGE,
                f"a sample rate of {rate_hz} Hz: the limits are {MIN_RATE_HZ}..{MAX_RATE_HZ}",
            )
        if not 1 <= channels <= self._limits.channels:
            raise Refusal(Code.TOO_MANY_CHANNELS, f"{channels} channels: the limit is {self._limits.channels}")

    def _truncated(self, total: int, detail: str) -> Refusal:
        return Refusal(Code.TRUNCATED, f"the file is truncated: it yields {total / self.rate_hz:.2f} s {detail}")
