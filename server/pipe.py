"""Samples from a pipe or a file descriptor as a source's input: raw PCM of a form that is said, or WAV, which says it.

A thread reads, because a read may wait for ever and nothing else can be asked to end it; it hands over one piece, then
waits until that was taken, so what writes into the pipe is held back and nothing is lost. Knows nothing of sessions.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from server import wav_head
from server.ingest import Encoding, Pcm
from server.reader import Block, Kind, Opened, ReadError, Watch

READ_BYTES = 65_536  # at most; a pipe gives what there is
NEVER_S = 10.0 * 365 * 86_400


@dataclass
class PipeInput:
    """A file descriptor that is open, read once."""

    fd: int
    title: str
    encoding: Encoding
    sample_rate: int
    channels: int = 1
    live: bool = True  # its sound happens now; False: a recording, which has no time of day
    warn: Callable[[str], None] = lambda _: None  # is told what was wrong with the end
    kind: ClassVar[Kind] = "stream"
    watch: ClassVar[Watch] = Watch(give_up_s=NEVER_S, silent_dbfs=-90.0)  # whoever writes may take a pause

    async def open(self) -> "PipeReader":
        """Raises ReadError where a WAV's head cannot be used."""
        pieces = _Pieces(self.fd)
        try:
            return await self._begun(pieces)
        except BaseException:
            pieces.close()
            raise

    async def _begun(self, pieces: "_Pieces") -> "PipeReader":
        begin = b""
        while len(begin) < wav_head.MAGIC_BYTES and (piece := await pieces.next()):
            begin += piece
        if not wav_head.is_wav(begin):
            opened = Opened(
                f"{self.title} ({self.encoding})", self.sample_rate, self.channels, self.encoding, self.live
            )
            return PipeReader(opened, pieces, begin, None, self.warn)
        while (head := wav_head.head(begin)) is None and (piece := await pieces.next()):
            begin += piece
        if head is None:
            head = wav_head.Head(self.encoding, self.sample_rate, self.channels, 0, len(begin))
            self.warn(f"{self.title} ended within the head of a WAV")
        name = f"{self.title} (WAV, {head.encoding})"
        opened = Opened(name, head.sample_rate, head.channels, head.encoding, self.live)
        return PipeReader(opened, pieces, begin[head.first :], head.size, self.warn)


class PipeReader:
    def __init__(
        self, opened: Opened, pieces: "_Pieces", begin: bytes, size: int | None, warn: Callable[[str], None]
    ) -> None:
        self.opened = opened
        self._pieces = pieces
        self._rest = begin  # came, and was not yet given
        self._left = size  # bytes of samples to come, `_rest` among them; None: to the end
        self._warn = warn
        self._frame_bytes = Pcm(opened.encoding, opened.channels, None).frame_bytes

    async def read(self) -> Block | None:
        """Whole samples as soon as there are some; None at the end. Raises ReadError."""
        while len(self._rest) < self._frame_bytes and (self._left is None or len(self._rest) < self._left):
            piece = await self._pieces.next()
            if not piece:
                break
            self._rest += piece
        usable = self._rest if self._left is None else self._rest[: self._left]
        whole = len(usable) - len(usable) % self._frame_bytes
        if not whole:
            self._tell_the_end(usable)
            return None
        self._rest = self._rest[whole:]
        if self._left is not None:
            self._left -= whole
        return Block(usable[:whole])

    async def close(self) -> None:
        self._pieces.close()

    def _tell_the_end(self, rest: bytes) -> None:
        if rest:
            takes = f"{self.opened.encoding} with {self.opened.channels} channel(s) takes {self._frame_bytes} bytes"
            self._warn(f"the last {len(rest)} bytes are no whole sample and were not heard: {takes}")
        elif self._left:
            self._warn(f"it ended {self._left} bytes before the end that its head says")


class _Pieces:
    """What a thread reads from `fd`, piece by piece; empty at the end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._piece: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._wanted = threading.Semaphore(1)
        self._closed = False
        self._failed: OSError | None = None
        threading.Thread(target=self._read, name="pipe", daemon=True).start()

    async def next(self) -> bytes:
        piece = await self._piece.get()
        if piece:
            self._wanted.release()
            return piece
        self._piece.put_nowait(b"")  # the end stays the end
        if self._failed is not None:
            raise ReadError("pipe_failed", f"it cannot be read: {self._failed.strerror}", "never") from self._failed
        return b""

    def close(self) -> None:
        """The thread ends with its next piece."""
        self._closed = True
        self._wanted.release()

    def _read(self) -> None:
        while True:
            self._wanted.acquire()
            if self._closed:
                return
            try:
                piece = os.read(self._fd, READ_BYTES)
            except OSError as error:
                self._failed, piece = error, b""
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._piece.put_nowait, piece)
            if not piece:
                return
