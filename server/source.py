"""One source of sound, kept going: opened, heard through a session, opened again when it is gone.

Each opening is one session: its own clock, rate, UTC anchor and summary. What the session says and the source's state
(`source` messages) go to `publish`, in order. Muted, it hears as many zeros as samples come: its clock and its watch go
on. Knows the reader's interface, the session and the watchdog; nothing of devices, nothing of who listens.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from engine.pipeline import default_settings
from engine.weights import Model
from server import protocol as p
from server.commands import Detect
from server.detect import Mistaken, applied, effective
from server.reader import Block, Input, Opened, Reader, ReadError
from server.session import Out, Session, Witnessing
from server.watchdog import Watchdog

log = logging.getLogger("spiccato.source")

MAX_BLOCK_BYTES = 16_777_216  # blocks are our own: this only catches a fault
TICK_S = 0.1
EMIT = {
    "levels_hz": 10,
    "scores_hz": 10,
    "frames_hz": 100,
    "heartbeat_s": 2,
    "wave": True,
    "linear": True,
    "explain": True,
}
SESSION_KINDS = {"microphone": "microphone", "stream": "network", "file": "network"}  # as `start.source.kind`

Tap = Callable[[Opened, Block], None]


class Source:
    def __init__(
        self,
        id: str,
        model: Model,
        limits: p.Limits,
        publish: Callable[[Out], None],
        input: Input,
        *,
        name: str | None = None,  # for people; None: the id
        muted: bool = False,
        detect: dict[str, Any] | None = None,
        emit: dict[str, Any] = EMIT,
        tap: Tap | None = None,  # is given every block, before it is heard
        executor: Executor | None = None,  # runs the engine; None: the event loop's own threads
        witnessing: Witnessing | None = None,
    ) -> None:
        self.id = id
        self.input = input
        self.opened: Opened | None = None  # while it is open
        self.session: Session | None = None  # while it is open
        self._name = name or id
        self._muted = muted
        self._mute_due = False  # open labels are to be closed: between two blocks, for the engine is in another thread
        self._tune_due = False  # as for muting
        self._model = model
        self._limits = limits
        self._publish = publish
        self._detect = detect or {}
        self._emit = emit
        self._tap = tap
        self._executor = executor
        self._witnessing = witnessing
        self._watchdog = Watchdog(input.watch)
        self._interrupt = asyncio.Event()  # stop, or another input
        self._ending: str | None = None  # the reason, once `stop` was called
        self._refused = ""  # why the session ended by itself
        self._logged = ("", "")  # so that what stays away fills no log

    @property
    def state(self) -> p.SourceState:
        return self._named(self._watchdog.state)

    @property
    def name(self) -> str:
        return self._name

    @property
    def muted(self) -> bool:
        return self._muted

    def rename(self, name: str) -> None:
        self._name = name
        self._tell(self._watchdog.state)

    def mute(self, muted: bool) -> None:
        """Hear silence in place of the sound, or the sound again. Muting closes the open labels, reason `mute`."""
        if muted == self._muted:
            return
        self._muted = self._mute_due = muted
        self._tell(self._watchdog.state)

    def tune(self, model: Model) -> None:
        """Decide by this model's thresholds from the next block on; it differs in nothing else."""
        self._model = model
        self._tune_due = True

    def decide(self, detect: dict[str, Any]) -> None:
        """Detect this, as in `start`, from the next block on. It fits the model."""
        self._detect = detect
        self._tune_due = True

    def change(self, input: Input) -> None:
        """Read from `input` from now on. The session ends, reason `reconfigure`; a failed source tries again."""
        self.input = input
        self._watchdog = Watchdog(input.watch)
        self._interrupt.set()

    def stop(self, reason: str = "stop") -> None:
        """Let `run` end; the open labels are closed with `reason`. What was handed to the engine is heard first."""
        self._ending = reason
        self._interrupt.set()

    def ended(self, why: str) -> None:
        """Tell that nothing more comes."""
        self._tell(self._watchdog.ended(why))

    async def run(self) -> None:
        """Listen until `stop`, or to the end of a file."""
        try:
            while self._ending is None:
                self._interrupt.clear()
                try:
                    if await self._listen():
                        self.ended(f"{self.input.title} is over")
                        return
                except ReadError as error:
                    told = self._watchdog.lost(error, time.monotonic())
                    self._tell(told)
                    await self._interrupted(None if told.retry_in_ms is None else told.retry_in_ms / 1000)
        except Exception:
            self._tell(self._watchdog.failed("a fault of ours; the log says where"))
            raise

    async def _interrupted(self, timeout_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._interrupt.wait()

    async def _listen(self) -> bool:
        """One opening. True: it came to its end. Raises ReadError when it goes away by itself."""
        input, watchdog = self.input, self._watchdog
        self._tell(watchdog.opening(input.title))
        reader = await self._open(input)
        if reader is None:
            return False
        watchdog.opened(reader.opened, time.monotonic())
        # the limits of messages from outside are not for our own blocks
        ours = {"max_chunk_bytes": MAX_BLOCK_BYTES, "idle_s": 2 * input.watch.give_up_s}
        limits = self._limits.model_copy(update={"stall_ms": input.watch.stall_ms, **ours})
        session = Session(self._model, limits, witnessing=self._witnessing)
        self.opened, self.session = reader.opened, session
        over = False
        try:
            over = await self._hear(reader, session, watchdog)
        finally:
            reason = self._ending or ("reconfigure" if self._interrupt.is_set() else "stop" if over else "stall")
            self._publish_all(session.end(reason))
            self.opened = self.session = None
            await reader.close()
        return over

    async def _open(self, input: Input) -> Reader | None:
        """None: interrupted meanwhile."""
        opening = asyncio.ensure_future(input.open())
        interrupt = asyncio.ensure_future(self._interrupt.wait())
        try:
            await asyncio.wait({opening, interrupt}, return_when=asyncio.FIRST_COMPLETED)
            return opening.result() if opening.done() else None
        finally:
            interrupt.cancel()
            if not opening.done():
                opening.cancel()
                await asyncio.wait({opening})

    async def _hear(self, reader: Reader, session: Session, watchdog: Watchdog) -> bool:
        self._publish_all(session.ready())
        self._publish_all(session.text(self._start(reader.opened)))
        heard = False
        reading = asyncio.ensure_future(reader.read())
        interrupt = asyncio.ensure_future(self._interrupt.wait())
        try:
            while session.closed is None and not self._interrupt.is_set():
                waiting = {reading, interrupt}
                done, _ = await asyncio.wait(waiting, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                now = time.monotonic()
                if self._mute_due:
                    self._mute_due = False
                    self._publish_all(session.mute())
                if self._tune_due:
                    self._tune_due = False
                    self._publish_all(session.text(json.dumps({"type": "configure", "detect": self._effective()})))
                if reading in done:
                    block = reading.result()
                    if block is None:
                        return True
                    reading = asyncio.ensure_future(reader.read())
                    heard = True
                    self._tell(watchdog.heard(now))
                    await self._take(reader.opened, session, block, now)
                elif watchdog.overdue(now):
                    give_up = f"{reader.opened.name} gave no sample for {watchdog.watch.give_up_s:g} s"
                    raise ReadError("source_stalled", give_up)
                if heard:
                    self._publish_all(session.tick(now))
        finally:
            interrupt.cancel()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)  # what is gone was told, or is not missed
        if session.closed is not None:
            raise ReadError("source_failed", f"{reader.opened.name} cannot be heard: {self._refused}")
        return False

    async def _take(self, opened: Opened, session: Session, block: Block, arrived: float) -> None:
        if self._muted:
            block = Block(bytes(len(block.pcm)), block.lost, block.reason)
        if self._tap is not None:
            self._tap(opened, block)
        if block.lost:
            log.warning("source %s: %d samples lost: %s", self.id, block.lost, block.reason)
            self._publish_all(session.text(json.dumps({"type": "gap", "samples": block.lost, "reason": block.reason})))
        loop = asyncio.get_running_loop()
        self._publish_all(await loop.run_in_executor(self._executor, session.audio, block.pcm, arrived))

    def _start(self, opened: Opened) -> str:
        audio = {"encoding": opened.encoding, "sample_rate": opened.sample_rate, "channels": opened.channels}
        source = {"name": self.id, "kind": SESSION_KINDS[self.input.kind] if opened.live else "file"}
        return json.dumps(
            {
                "type": "start",
                "protocol": 1,
                "audio": audio,
                "source": source,
                "detect": self._detect,
                "emit": self._emit,
            }
        )

    def _effective(self) -> dict[str, Any]:
        """All that `configure` can set: it leaves what it is not told as it is."""
        asked = Detect.model_validate(self._detect)
        try:
            return p.dumped(effective(self._model, applied(self._model, default_settings(self._model), asked)))
        except Mistaken as error:  # it fitted the thresholds that the model had before
            log.warning("source %s: thresholds stay as they were: %s", self.id, error)
            return {}

    def _named(self, state: p.SourceState) -> p.SourceState:
        return state.model_copy(update={"name": self._name, "muted": self._muted})

    def _tell(self, state: p.SourceState | None) -> None:
        if state is not None:
            self._note(state)
            self._publish(p.dumped(self._named(state)))

    def _publish_all(self, outs: list[Out]) -> None:
        for out in outs:
            if isinstance(out, dict) and out["type"] == "source":
                state = p.SourceState.model_validate(out)
                self._watchdog.told(state)
                self._tell(state)
                continue
            if isinstance(out, dict) and out["type"] == "error":
                self._refused = out["message"]
            self._publish(out)
            if isinstance(out, dict) and out["type"] == "level" and not self._muted and self.opened is not None:
                self._tell(self._watchdog.level(out["peak_dbfs"], out["sample"], self.opened.sample_rate))

    def _note(self, told: p.SourceState) -> None:
        """One line in the log for each change of state."""
        if told.state == "recovering" or (told.state, told.detail) == self._logged:
            return
        self._logged = (told.state, told.detail)
        level = logging.INFO if told.state in ("healthy", "ended") else logging.WARNING
        log.log(level, "source %s: %s: %s", self.id, told.state, told.detail)
