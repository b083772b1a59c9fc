"""A stream or a file, decoded in a process of its own: samples go out through stdout, EOF on stdin ends it.

Run as `python -P -m server.pull`; `pulled.py` is the other side. The first line of stdin is the request (JSON; not an
argument, which others on the machine could read: addresses hold passwords). The records on stdout are those of
`capture.py`: first `opened`, then mono float32 samples, between them `title` and `changed`, last `ended` or `error`.
A process of its own because decoders of what strangers send may hang, crash or take all memory.

What is live is sent as it comes; the burst with which a radio begins is sent in one piece, so that its last sample came
last. HLS, which comes a segment at a time, and what has an end go at the pace of their samples. A rate that changes in
the middle is resampled to the one before: the clock goes on. Knows FFmpeg; nothing of sessions or instruments.
"""

import json
import os
import sys
import threading
import time
from typing import BinaryIO

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from server.capture import HEADER, MAGIC, VERSION, reported, write_json
from server.container import Opening, Request
from server.devices import CaptureError
from server.ingest import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, mix
from server.timeline import Timeline

BURST_S = 20.0  # of sound that is sent in one piece at the beginning, at most
PIECE_S = 1.0  # of sound in one record otherwise, at most
MEMORY_BYTES = 2**30


class Puller:
    """One opening after the other (a file that loops has several) to `out`."""

    def __init__(self, request: Request, out: BinaryIO) -> None:
        self._request = request
        self._out = out
        self._rate_hz = 0  # of what is sent: that of the first frame
        self._form = (0, 0, "")  # rate, channels, sample format of the frames that come
        self._to_float: AudioResampler
        self._index = 0  # place of the next sample on the stream's clock, lost ones counted
        self._held: list[NDArray[np.float32]] = []  # waits to be sent in one piece
        self._held_s = 0.0
        self._title = ""

    def run(self) -> None:
        """To the end of what has one. Raises CaptureError."""
        opening = Opening(self._request)
        self._pull(opening)
        while self._request.loop and self._index:
            self._pull(Opening(self._request))
        if not opening.finite:
            raise CaptureError("stream_ended", "the other side ended the stream")
        write_json(self._out, {"type": "ended"})

    def _pull(self, opening: Opening) -> None:
        try:
            self._pull_frames(opening)
        finally:
            self._send()
            opening.container.close()

    def _pull_frames(self, opening: Opening) -> None:
        timeline: Timeline | None = None
        burst = not opening.finite and not opening.paced
        due_s = last_s = time.monotonic()
        for frame in opening.frames():
            samples = self._samples(frame, opening)
            if not len(samples):
                continue
            took_s, length_s = time.monotonic() - last_s, len(samples) / self._rate_hz
            last_s += took_s
            burst = burst and took_s < length_s / 2 and self._held_s < BURST_S
            timeline = timeline or Timeline(self._rate_hz)
            lost = 0 if opening.finite else timeline.lost(frame.time, len(samples))
            if lost:
                self._send(lost)
            self._held.append(samples)
            self._held_s += length_s
            if opening.paced:
                due_s = max(due_s, last_s)  # what comes late puts off what follows
                time.sleep(due_s - last_s)
                last_s, due_s = due_s, due_s + length_s
            if not burst and (opening.paced or not opening.finite or self._held_s >= PIECE_S):
                self._send()
            if opening.title != self._title:
                self._title = opening.title
                write_json(self._out, {"type": "title", "title": self._title})

    def _send(self, lost: int = 0) -> None:
        """What is held; then `lost` samples are missing."""
        for samples in [np.concatenate(self._held)] if self._held else []:
            data = samples.astype("<f4", copy=False).tobytes()
            self._out.write(HEADER.pack(MAGIC, VERSION, 0, len(data), self._index) + data)
            self._out.flush()
            self._index += len(samples)
        self._held, self._held_s = [], 0.0
        self._index += lost

    def _samples(self, frame: AudioFrame, opening: Opening) -> NDArray[np.float32]:
        """(n,) float32, mono, at the rate that was told."""
        form = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        rest: list[NDArray[np.float32]] = []
        if form != self._form:
            if self._rate_hz:
                rest = self._mono(None)
            self._begin(form, opening)
        pieces = rest + self._mono(frame)
        return pieces[0] if len(pieces) == 1 else np.concatenate([*pieces, np.zeros(0, np.float32)])

    def _mono(self, frame: AudioFrame | None) -> list[NDArray[np.float32]]:
        """Of a frame; None: what the resampler still holds."""
        pieces = (np.asarray(piece.to_ndarray(), np.float32) for piece in self._to_float.resample(frame))
        channels, select = self._form[1], self._request.channel
        interleaved = (piece.reshape(-1, channels) for piece in pieces)
        return [mix(piece) if select is None else np.ascontiguousarray(piece[:, select]) for piece in interleaved]

    def _begin(self, form: tuple[int, int, str], opening: Opening) -> None:
        """Frames of this form come from here on. Raises CaptureError."""
        rate_hz, channels, _ = form
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            text = f"a sample rate of {rate_hz} Hz: the limits are {MIN_RATE_HZ}..{MAX_RATE_HZ}"
            raise CaptureError("stream_undecodable", text)
        if channels > MAX_CHANNELS or channels <= (self._request.channel or 0):
            text = f"{channels} channels: at most {MAX_CHANNELS}"
            if self._request.channel is not None:
                text += f", and channel {self._request.channel} (counted from 0) is asked for"
            raise CaptureError("stream_undecodable", text)
        told = {"sample_rate": rate_hz, "channels": channels}
        if not self._rate_hz:
            self._rate_hz = rate_hz
            codec = opening.stream.codec_context.name
            about = {"format": opening.format, "codec": codec, "station": opening.name, "finite": opening.finite}
            write_json(self._out, {"type": "opened", **told, **about})
        elif self._form[:2] != form[:2]:
            write_json(self._out, {"type": "changed", **told})
        self._form = form
        rate = None if rate_hz == self._rate_hz else self._rate_hz
        self._to_float = AudioResampler(format="flt", rate=rate)


def main() -> int:
    """The exit status."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    return reported(_pull)


def _pull(out: BinaryIO) -> None:
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_until_eof, daemon=True).start()
    Puller(Request(**request), out).run()


def _until_eof() -> None:
    """Nobody listens any more: end at once, whatever FFmpeg waits for."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # FFmpeg's objects are not taken apart: what they still wait for does not matter any more
