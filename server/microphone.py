"""A microphone as a source's input. The parent's side of `capture.py`: start the recording process, read its records,
end it. Knows processes and records; nothing of PortAudio (which this process never loads), sessions or instruments.
"""

import asyncio
import contextlib
import json
import logging
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from server import capture
from server.reader import Block, Kind, Opened, ReadError, Watch

log = logging.getLogger("spiccato.capture")

# The script by its path, with -P: neither the current directory nor ours is on the child's module path.
COMMAND = (sys.executable, "-P", str(Path(capture.__file__)))
OPEN_TIMEOUT_S = 15.0  # until a child has listed or opened its device; a hanging driver is given up then
CLOSE_TIMEOUT_S = 2.0  # until a child that was asked to end is killed
PIPE_BYTES = 64 * 1024  # read ahead of us: 0.3 s; then the child's own queue fills
MAX_RECORD_BYTES = 4 * 1024 * 1024


HOPELESS = frozenset({"no_portaudio"})  # errors that only a person can mend
WATCH = Watch(stall_ms=500, give_up_s=5.0)  # a device gives a block each 20 ms


@dataclass(frozen=True)
class MicrophoneInput:
    """One microphone of this machine, by name."""

    device: str | None = None  # index, name or part of a name; None: the default one
    kind: ClassVar[Kind] = "microphone"
    watch: ClassVar[Watch] = WATCH

    @property
    def title(self) -> str:
        return self.device or "the default microphone"

    async def open(self) -> "Microphone":
        return await Microphone.open(self.device)


class Microphone:
    """One recording process: `await Microphone.open(...)`, `await read()` again and again, `await close()`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._stderr: deque[str] = deque(maxlen=8)  # the last lines that drivers and libraries printed
        self._reading_stderr = asyncio.create_task(self._keep_stderr())
        self._expected = 0  # index of the sample that would follow without loss
        self.opened: Opened

    @classmethod
    async def open(cls, device: str | None = None) -> Self:
        """Open the default device, or the one that `device` names. Raises ReadError."""
        microphone = cls(await _start(*(("--device", device) if device is not None else ())))
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                told = await microphone._news()
        except TimeoutError as error:
            await microphone.close()
            raise ReadError("device_failed", f"the device did not open within {OPEN_TIMEOUT_S:.0f} s") from error
        except BaseException:
            await microphone.close()
            raise
        microphone.opened = Opened(
            name=f"{told['device']} ({told['host_api']})",
            sample_rate=told["sample_rate"],
            channels=told["channels"],
            encoding=told["encoding"],
            details={"device": told["device"], "host_api": told["host_api"]},
        )
        return microphone

    async def read(self) -> Block:
        """The next samples. Raises ReadError when the device or its process is gone."""
        flags, index, payload = await self._record()
        if flags & capture.JSON:
            raise _error(json.loads(payload))
        lost = index - self._expected
        self._expected = index + len(payload) // (4 * self.opened.channels)
        return Block(payload, lost)

    async def close(self) -> None:
        """End the process; safe to call again."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while process.stdout is not None and await process.stdout.read(PIPE_BYTES):
                    pass  # what was recorded since nobody listens any more
                await process.wait()
        except TimeoutError:
            log.warning("the recording process %d does not end: killed", process.pid)
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                process.kill()
            await process.wait()
        await self._reading_stderr

    async def _news(self) -> dict[str, Any]:
        """The first record: JSON. Raises ReadError if it tells of an error."""
        flags, _, payload = await self._record()
        if not flags & capture.JSON:
            raise ReadError("capture_crashed", "the recording process sent samples before it told the device")
        told: dict[str, Any] = json.loads(payload)
        if told["type"] == "error":
            raise _error(told)
        return told

    async def _record(self) -> tuple[int, int, bytes]:
        """Flags, index and payload of the next record."""
        stdout = self._process.stdout
        assert stdout is not None
        try:
            magic, version, flags, size, index = capture.HEADER.unpack(await stdout.readexactly(capture.HEADER.size))
            if (magic, version) != (capture.MAGIC, capture.VERSION) or size > MAX_RECORD_BYTES:
                raise ReadError("capture_crashed", "the recording process sent something that is not a record")
            return flags, index, await stdout.readexactly(size)
        except asyncio.IncompleteReadError as error:
            code = await self._process.wait()
            await self._reading_stderr
            last = f": {self._stderr[-1]}" if self._stderr else ""
            raise ReadError("capture_crashed", f"the recording process ended with status {code}{last}") from error

    async def _keep_stderr(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            text = line.decode(errors="replace").rstrip()
            self._stderr.append(text)
            log.debug("%s", text)


async def devices() -> list[dict[str, Any]]:
    """The audio inputs of this machine, as capture.inputs tells them. Raises ReadError."""
    microphone = Microphone(await _start("--list"))
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            found: list[dict[str, Any]] = (await microphone._news())["devices"]
            return found
    except TimeoutError as error:
        raise ReadError("device_failed", f"the list of devices did not come within {OPEN_TIMEOUT_S:.0f} s") from error
    finally:
        await microphone.close()


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, limit=PIPE_BYTES
    )


def _error(told: dict[str, Any]) -> ReadError:
    return ReadError(told["code"], told["message"], "never" if told["code"] in HOPELESS else "later")
