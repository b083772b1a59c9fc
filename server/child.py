"""A process that captures or decodes for us, and the records that it writes. Knows processes and records; nothing of
what is in them. `capture.py` says how a record looks.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections import deque
from pathlib import Path
from typing import Any, Self

from server import capture
from server.reader import ReadError, Retry

log = logging.getLogger("spiccato.capture")

CLOSE_TIMEOUT_S = 2.0  # until a child that was asked to end is killed
PIPE_BYTES = 64 * 1024  # read ahead of us: 0.3 s; then the child's own queue fills
MAX_RECORD_BYTES = 16 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[1]


class Child:
    """A module of ours in its own process: `start`, `record` again and again, `close`. EOF on its stdin ends it."""

    def __init__(self, process: asyncio.subprocess.Process, does: str, never: frozenset[str]) -> None:
        self._process = process
        self._does = does  # for sentences: "the recording process"
        self._never = never  # codes of errors that trying again would not mend
        self._stderr: deque[str] = deque(maxlen=8)  # the last lines that drivers and libraries printed
        self._reading_stderr = asyncio.create_task(self._keep_stderr())

    @classmethod
    async def start(cls, module: str, *arguments: str, does: str, never: frozenset[str], request: bytes = b"") -> Self:
        """Run `python -m module`; `request` is written to its stdin, where no other user of this machine sees it.

        -P: neither the current directory nor ours is on the child's module path. Our settings, a token among them, are
        nothing for a process that decodes what strangers send.
        """
        pipe = asyncio.subprocess.PIPE
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SPICCATO_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module, *arguments),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=PIPE_BYTES,
            env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        )
        if request and process.stdin is not None:
            process.stdin.write(request)
        return cls(process, does, never)

    async def news(self) -> dict[str, Any]:
        """The next record, which must be JSON. Raises ReadError if it tells of an error."""
        flags, _, payload = await self.record()
        if not flags & capture.JSON:
            raise ReadError("capture_crashed", f"the {self._does} process sent samples before it told what they are")
        return self.told(payload)

    def told(self, payload: bytes) -> dict[str, Any]:
        """A JSON record. Raises ReadError if it tells of an error."""
        told: dict[str, Any] = json.loads(payload)
        if told["type"] == "error":
            retry: Retry = "never" if told["code"] in self._never else "later"
            raise ReadError(told["code"], told["message"], retry)
        return told

    async def record(self) -> tuple[int, int, bytes]:
        """Flags, index and payload of the next record. Raises ReadError when the process is gone."""
        stdout = self._process.stdout
        assert stdout is not None
        try:
            magic, version, flags, size, index = capture.HEADER.unpack(await stdout.readexactly(capture.HEADER.size))
            if (magic, version) != (capture.MAGIC, capture.VERSION) or size > MAX_RECORD_BYTES:
                raise ReadError("capture_crashed", f"the {self._does} process sent something that is not a record")
            return flags, index, await stdout.readexactly(size)
        except asyncio.IncompleteReadError as error:
            code = await self._process.wait()
            await self._reading_stderr
            last = f": {self._stderr[-1]}" if self._stderr else ""
            raise ReadError("capture_crashed", f"the {self._does} process ended with status {code}{last}") from error

    async def close(self) -> None:
        """End the process; safe to call again."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while process.stdout is not None and await process.stdout.read(PIPE_BYTES):
                    pass  # what came since nobody listens any more
                await process.wait()
        except TimeoutError:
            log.warning("the %s process %d does not end: killed", self._does, process.pid)
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                process.kill()
            await process.wait()
        await self._reading_stderr

    async def _keep_stderr(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            text = line.decode(errors="replace").rstrip()
            self._stderr.append(text)
            log.debug("%s", text)
