"""A program of this machine for each event: the event as JSON on standard input, its main fields in the environment.

Never a shell: nothing that an event says is ever read as a command. Each run has a process group of its own, which is
ended when it takes too long and when the output closes. Knows processes; nothing of what they do.
"""

import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal

from server.outputs.config import Command
from server.outputs.sender import Message, Refused, Sender
from server.settings import PREFIX

log = logging.getLogger("spiccato.outputs")

FIELDS = ("event_id", "source", "label", "phase", "score", "peak", "onset_ms", "offset_ms", "utc_onset")
GRACE_S = 2.0  # from SIGTERM to SIGKILL
TOLD_BYTES = 4_096  # kept of what it prints on stderr


class CommandSender(Sender):
    def __init__(self, config: Command) -> None:
        self._config = config
        self._free = asyncio.Semaphore(config.at_once)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def target(self) -> str:
        return shlex.join(self._config.run[:1])

    async def send(self, source: str, message: Message) -> None:
        """Returns once the program has begun and was given the event; waits while too many run."""
        await self._free.acquire()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._config.run,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environment(message),
                start_new_session=True,
            )
        except OSError as error:
            self._free.release()
            raise Refused(f"{self.target} cannot be run: {error.strerror}") from error
        task = asyncio.create_task(self._follow(process, json.dumps(message).encode() + b"\n"))
        self._running.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _follow(self, process: asyncio.subprocess.Process, event: bytes) -> None:
        try:
            async with asyncio.timeout(self._config.timeout_s):
                last = await _talk(process, event)
                status = await process.wait()
        except TimeoutError:
            self.failed += 1
            log.error("command %s: ended after timeout_s=%g", self.target, self._config.timeout_s)
            await _end(process)
        except asyncio.CancelledError:
            await _end(process)
            raise
        else:
            if status:
                self.failed += 1
                log.error("command %s: status=%d %s", self.target, status, last)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._free.release()


def environment(event: Message) -> dict[str, str]:
    """This service's own, without its settings and secrets, and SPICCATO_EVENT_LABEL and others."""
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    said = {name: event[name] for name in FIELDS if event[name] is not None}
    return {**ours, **{f"{PREFIX}EVENT_{name.removeprefix('event_').upper()}": str(said[name]) for name in said}}


async def _talk(process: asyncio.subprocess.Process, event: bytes) -> str:
    """Give it the event; the last line of what it says on stderr, once it says no more."""
    assert process.stdin is not None
    assert process.stderr is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read
        process.stdin.write(event)
        await process.stdin.drain()
        process.stdin.close()
    said = b""
    while more := await process.stderr.read(TOLD_BYTES):
        said = (said + more)[-TOLD_BYTES:]
    return said.decode(errors="replace").strip().rpartition("\n")[2]


async def _end(process: asyncio.subprocess.Process) -> None:
    """It and what it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
    assert process.stderr is not None
    with contextlib.suppress(TimeoutError):  # once there is no more to read, asyncio lets go of its pipes
        async with asyncio.timeout(GRACE_S):
            while await process.stderr.read(TOLD_BYTES):
                pass
