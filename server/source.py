"""One microphone of this machine, kept going: opened, heard through a session, opened again when it is gone.

Each opening is one session: its own clock, UTC anchor and summary. What the session says and the source's state
(`source` messages) go to `publish`, in order. Knows the recording process and the session; nothing of who listens.

States: recovering (being opened) -> healthy -> stalled (no audio for STALL_MS: open labels are closed) -> lost (gone,
or without audio for GIVE_UP_S: tried again after a while) -> recovering; failed (trying again would not mend it).
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Literal

from engine.weights import Model
from server import protocol as p
from server.capture import CaptureError
from server.microphone import MAX_RECORD_BYTES, Block, Microphone, Opened
from server.session import Out, Session

log = logging.getLogger("spiccato.source")

STALL_MS = 500  # a device gives a block each 20 ms
GIVE_UP_S = 5.0  # without a sample: the device is opened anew
TICK_S = 0.1
RETRY_S = (0.5, 1.0, 2.0, 4.0)  # waits before the first, second, ... further try
STEADY_S = 5.0  # a device that worked for so long starts the row again
HOPELESS = frozenset({"no_portaudio"})  # errors that only a person can mend
EMIT = {"levels_hz": 10, "scores_hz": 10, "frames_hz": 50, "heartbeat_s": 2}

State = Literal["healthy", "stalled", "lost", "recovering", "failed"]


class Source:
    def __init__(
        self,
        id: str,
        model: Model,
        limits: p.Limits,
        publish: Callable[[Out], None],
        *,
        device: str | None = None,  # None: the default one
        detect: dict[str, Any] | None = None,
        tap: Callable[[Opened, Block], None] | None = None,  # is given every block, before it is heard
        executor: Executor | None = None,  # runs the engine; None: the event loop's own threads
    ) -> None:
        self.id = id
        self.device = device
        self.opened: Opened | None = None  # while the device is open
        self.session: Session | None = None  # while the device is open
        self.state = p.SourceState(state="recovering", detail="not yet opened")
        self._model = model
        # the limits of messages from outside are not for our own blocks
        ours = {"stall_ms": STALL_MS, "max_chunk_bytes": MAX_RECORD_BYTES, "idle_s": 2 * GIVE_UP_S}
        self._limits = limits.model_copy(update=ours)
        self._publish = publish
        self._detect = detect or {}
        self._tap = tap
        self._executor = executor
        self._stop = asyncio.Event()
        self._reason = "stop"
        self._failures = 0  # in a row
        self._refused = ""  # why the session ended by itself
        self._logged = ""  # so that a device that stays away fills no log

    async def run(self) -> None:
        """Listen until `stop`, or until trying again is of no use."""
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    await self._listen(stopping)
                except CaptureError as error:
                    if error.code in HOPELESS:
                        self._tell("failed", str(error))
                        return
                    if time.monotonic() - began > STEADY_S:
                        self._failures = 0
                    wait_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
                    self._failures += 1
                    self._tell("lost", str(error), round(wait_s * 1000))
                    await asyncio.wait({stopping}, timeout=wait_s)
        except Exception:
            self._tell("failed", "a fault of ours; the log says where")
            raise
        finally:
            stopping.cancel()

    def stop(self, reason: str = "stop") -> None:
        """Let `run` end; the open labels are closed with `reason`. What was handed to the engine is heard first."""
        self._reason = reason
        self._stop.set()

    async def _listen(self, stopping: "asyncio.Task[Literal[True]]") -> None:
        """One opening of the device. Raises CaptureError when it ends by itself."""
        self._tell("recovering", f"opening {self.device or 'the default microphone'}")
        opening = asyncio.create_task(Microphone.open(self.device))
        await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            await asyncio.wait({opening})
            return
        microphone = opening.result()
        self.opened = microphone.opened
        self.session = Session(self._model, self._limits)
        try:
            await self._hear(microphone, self.session, stopping)
        finally:
            self._publish_all(self.session.end(self._reason if self._stop.is_set() else "stall"))
            self.opened = self.session = None
            await microphone.close()

    async def _hear(self, microphone: Microphone, session: Session, stopping: "asyncio.Task[Literal[True]]") -> None:
        opened = microphone.opened
        self._publish_all(session.ready())
        self._publish_all(session.text(self._start(opened)))
        heard_at = time.monotonic()  # or opened
        first = True
        reading = asyncio.create_task(microphone.read())
        try:
            while session.closed is None and not self._stop.is_set():
                done, _ = await asyncio.wait({reading, stopping}, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                now = time.monotonic()
                if reading in done:
                    block = reading.result()
                    reading = asyncio.create_task(microphone.read())
                    heard_at = now
                    if first:
                        first = False
                        self._tell("healthy", f"{opened.device} ({opened.host_api}) at {opened.sample_rate} Hz")
                    await self._take(opened, session, block, now)
                elif now - heard_at > GIVE_UP_S:
                    raise CaptureError("device_stalled", f"{opened.device} gave no sample for {GIVE_UP_S:.0f} s")
                if not first:
                    self._publish_all(session.tick(now))
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)  # a device that is gone was told, or is not missed
        if session.closed is not None:
            raise CaptureError("device_failed", f"{opened.device} cannot be heard: {self._refused}")

    async def _take(self, opened: Opened, session: Session, block: Block, arrived: float) -> None:
        if self._tap is not None:
            self._tap(opened, block)
        if block.lost:
            log.warning("source %s: %d samples lost before sample %d", self.id, block.lost, block.first_sample)
            self._publish_all(
                session.text(json.dumps({"type": "gap", "samples": block.lost, "reason": "capture_overflow"}))
            )
        loop = asyncio.get_running_loop()
        self._publish_all(await loop.run_in_executor(self._executor, session.audio, block.pcm, arrived))

    def _start(self, opened: Opened) -> str:
        audio = {"encoding": opened.encoding, "sample_rate": opened.sample_rate, "channels": opened.channels}
        source = {"name": self.id, "kind": "microphone"}
        return json.dumps(
            {"type": "start", "protocol": 1, "audio": audio, "source": source, "detect": self._detect, "emit": EMIT}
        )

    def _tell(self, state: State, detail: str, retry_in_ms: int | None = None) -> None:
        self._publish_all([p.dumped(p.SourceState(state=state, detail=detail, retry_in_ms=retry_in_ms))])

    def _publish_all(self, outs: list[Out]) -> None:
        for out in outs:
            if isinstance(out, dict) and out["type"] == "source":
                self._note(p.SourceState.model_validate(out))
            elif isinstance(out, dict) and out["type"] == "error":
                self._refused = out["message"]
            self._publish(out)

    def _note(self, told: p.SourceState) -> None:
        self.state = told
        if told.state == "recovering" or told.detail == self._logged:
            return
        self._logged = told.detail
        level = logging.INFO if told.state == "healthy" else logging.WARNING
        log.log(level, "source %s: %s: %s", self.id, told.state, told.detail)
