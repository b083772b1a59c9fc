"""Keeps what was heard: mono float32 samples to a WAV file, as they come. Knows files; nothing of devices.

Float, so that no bit is lost: `spiccato classify` of the file hears the same samples and says the same. When the
device was opened anew, a new session began, and a new file with it: take.wav, take-2.wav, ...
"""

from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from server.ingest import Pcm
from server.reader import Block, Opened


class Recording:
    def __init__(self, path: Path) -> None:
        """Raises FileExistsError: a recording is never overwritten."""
        self.paths: list[Path] = []  # written so far
        self._path = path
        self._of: Opened | None = None  # the opening that the present file belongs to
        self._container: OutputContainer | None = None
        self._stream: AudioStream
        path.open("xb").close()

    def take(self, opened: Opened, block: Block) -> None:
        """The next block of a device that was opened as `opened`."""
        if opened is not self._of:
            if self.paths:
                self.close()
            self._begin(opened)
        pcm = Pcm(opened.encoding, opened.channels, select=None)
        mono = pcm.mono(pcm.read(block.pcm))
        frame = AudioFrame.from_ndarray(mono.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate = opened.sample_rate
        self._write(frame)

    def close(self) -> None:
        """Complete the file; safe to call again. Where nothing was heard, none is left."""
        if not self.paths:
            self._path.unlink(missing_ok=True)
        if self._container is not None:
            self._write(None)
            self._container.close()
            self._container = None

    def _begin(self, opened: Opened) -> None:
        self._of = opened
        path, count = self._path, 1
        while self.paths and path.exists():
            count += 1
            path = self._path.with_stem(f"{self._path.stem}-{count}")
        self._container = av.open(path, "w", format="wav")
        self._stream = self._container.add_stream("pcm_f32le", rate=opened.sample_rate, layout="mono")
        self.paths.append(path)

    def _write(self, frame: AudioFrame | None) -> None:
        assert self._container is not None
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
