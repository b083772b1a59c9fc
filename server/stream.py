"""A started stream: PCM in, messages out, and what a client may ask of it while it runs. Refuses by Refusal.

Puts together what `start` asked for: the form of the audio, hearing, telemetry, pace. Knows nothing of text,
sequence numbers, sockets or the session's end.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine import events as engine_events
from engine.pipeline import default_settings
from engine.weights import Model
from server import commands as c
from server import framing
from server import protocol as p
from server.choir import Choir
from server.detect import Mistaken, applied, effective
from server.emit import Emitter
from server.errors import Code, Refusal
from server.hearing import Hearing
from server.ingest import Pcm
from server.pace import Pace
from server.saved import SavedStream
from server.unison import Spoken

HEAVY = 65_536  # bytes: who sends such chunks is heard alone from then on, so that nobody waits for them

Told = p.Out | dict[str, Any] | bytes  # a dict: a message already dumped


@dataclass(frozen=True, slots=True)
class Waiting:
    """Audio that was not yet heard."""

    first: int | None  # sample on the session's clock, where the client says so
    samples: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Audio of a stream in the pool, accepted and not yet heard there."""

    samples: NDArray[np.float32]  # (n, channels), at the declared rate
    heard: NDArray[np.float32]  # (n,), at the engine's rate


class Stream:
    def __init__(
        self,
        model: Model,
        start: c.Start,
        limits: p.Limits,
        monotonic: Callable[[], float],
        utc: Callable[[], float],
        pool: Choir | None = None,
    ) -> None:
        audio, source = start.audio, start.source
        if audio.channel_select is not None and audio.channel_select >= audio.channels:
            raise Refusal(
                Code.BAD_CHANNELS, f"audio.channel_select={audio.channel_select}: audio.channels is {audio.channels}"
            )
        try:
            settings = applied(model, default_settings(model), start.detect)
        except Mistaken as error:
            raise Refusal(error.mistakes[0].code, "; ".join(m.message for m in error.mistakes[:5])) from error
        self.pcm = Pcm(audio.encoding, audio.channels, audio.channel_select)
        self.hearing = Hearing(
            model,
            audio.sample_rate,
            source.name,
            settings,
            live=source.live,
            captured=source.captured,
            updates_hz=start.emit.updates_hz,
            pool=None if _looks_back(start.emit) else pool,
            monotonic=monotonic,
            utc=utc,
        )
        self.heard: Callable[[int, NDArray[np.float32]], None] | None = None  # is given what is heard, before it is
        self._model = model
        self._choir = pool
        self._start = start
        self._limits = limits
        self._monotonic = monotonic
        self._framed = audio.framing == "framed"
        self._is_plain = (audio.encoding, audio.channels, audio.sample_rate) == (
            "pcm_s16le", 1, model.front_end.sample_rate_hz,
        )  # fmt: skip
        self._emitter = Emitter(self.hearing, start.emit)
        self._pace = Pace(audio.sample_rate) if source.captured else None
        self._last_audio = self._last_heartbeat = monotonic()  # or the start
        self._stalled = False
        self._began = self.hearing.utc(0)
        self.safe: int | None = None  # of a session that is saved: from where the client would have to send again
        self._busy_s = 0.0  # processing since the last heartbeat
        self._heard_then = 0  # samples heard up to it

    @property
    def start(self) -> c.Start:
        return self._start

    def saved(self) -> SavedStream:
        """All but the engine's stream."""
        return SavedStream(began=self._began, stalled=self._stalled, hearing=self.hearing.saved())

    def restore(self, saved: SavedStream, snapshot: bytes) -> None:
        """Go on as another process did, from a new stream of the same start. Raises SnapshotError."""
        self.hearing.restore(saved.hearing, snapshot)
        self._began, self._stalled = saved.began, saved.stalled
        self._heard_then = self.hearing.heard
        self._emitter.go_on()

    def started(self, resume: p.ResumeInfo | None) -> p.Started:
        front_end = self._model.front_end
        return p.Started(
            effective=self._effective(),
            model=model_info(self._model),
            hop_ms=front_end.hop_s * 1000,
            warmup_ms=front_end.frame_samples / front_end.sample_rate_hz * 1000,
            limits=self._limits,
            clock=p.Clock(sample=0, utc=self._began),
            frame=self._emitter.frame_info(),
            resume=resume,
        )

    def resumed(self) -> p.Resumed:
        """The client is back: the time without it was no stall."""
        self._last_audio = self._last_heartbeat = self._monotonic()
        if self._pace is not None:
            self._pace.restart()
        sample = self.hearing.sample
        return p.Resumed(
            sample=sample, effective=self._effective(), clock=p.Clock(sample=sample, utc=self.hearing.utc(sample))
        )

    def waiting(self, data: bytes) -> Waiting | None:
        """Which samples a binary message holds, without hearing it; None if it cannot be used."""
        first = None
        size = len(data)
        if self._framed:
            try:
                header, _ = framing.unframed(data)
            except Refusal:
                return None
            first, size = header.first, size - framing.HEADER.size
        samples, rest = divmod(size, self.pcm.frame_bytes)
        return None if rest or not samples else Waiting(first, samples)

    def lost(self, lost: Waiting) -> Sequence[Told]:
        """Audio that came and was dropped, because too much of it waited."""
        samples = lost.samples if lost.first is None else lost.first + lost.samples - self.hearing.sample
        return self._gap(samples, "queue", "overload") if samples > 0 else []

    def audio(self, data: bytes, arrived: float) -> Sequence[Told]:
        """Raises Refusal before anything of `data` is heard."""
        began = time.perf_counter()
        outs, samples = self._accepted(data, arrived)
        if samples is not None:
            mono = self._mono(samples)
            for events in self.hearing.feed(mono, arrived):
                outs += _events(events)
                outs += self._emitter.block()
            outs += self._emitter.chunk(samples)
            self.busy(time.perf_counter() - began)
        return outs

    def begin(self, data: bytes, arrived: float) -> tuple[list[Told], Piece | None]:
        """As `audio`, for a stream in the pool: this, the pool's `feed` of what it returns, then `finish_piece`."""
        outs, samples = self._accepted(data, arrived)
        if samples is None:
            return outs, None
        mono = self._mono(samples)
        self.hearing.came(len(samples), arrived)
        return outs, Piece(samples, self.hearing.resampled(mono))

    def finish_piece(self, piece: Piece, events: list[engine_events.Event]) -> list[Told]:
        """After the pool has heard: what to say."""
        outs: list[Told] = [*_events(self.hearing.decided(events))] if events else []
        return outs + self._emitter.chunk(piece.samples)

    @property
    def usual(self) -> bool:
        """What comes next may be heard in unison: its form is usual, and nothing is to be said before it."""
        return (
            self._is_plain
            and not self._stalled
            and self.heard is None
            and self.hearing.slot is not None
            and self.hearing.anchored
        )

    @property
    def framed(self) -> bool:
        return self._framed

    @property
    def may_wait(self) -> bool:
        """It need not hear of each usual chunk: no device's clock is measured by them."""
        return self._pace is None

    def came(self, clock: int, arrived: float) -> list[Told]:
        """Usual chunks came, the last of them at `arrived`: up to the sample `clock`."""
        samples = clock - self.hearing.sample
        self._last_audio = arrived
        outs = self._in_step(samples, arrived)
        self.hearing.came(samples, arrived)
        return outs

    def heard_usual(self, spoken: Spoken) -> list[Told]:
        """What to say after such chunks were heard."""
        outs: list[Told] = []
        for clock, arrived in spoken.chunks:
            outs += self.came(clock, arrived)
        bodies = self.hearing.decided(spoken.events)
        for clock, reading in spoken.levels:
            while bodies and bodies[0].decided_sample <= clock:
                outs += _events([bodies.pop(0)])
            outs.append(p.level(clock, *reading))
        return outs + _events(bodies)

    def leave_pool(self) -> None:
        """From now on it is heard by itself."""
        self._take_busy()
        self.hearing.leave_pool()
        self._emitter.leave_pool()

    def busy(self, seconds: float) -> None:
        """So long it took to hear a chunk."""
        self._busy_s += seconds

    def _take_busy(self) -> None:
        if self._choir is not None and self.hearing.slot is not None:
            self._busy_s += self._choir.take_busy_s(self.hearing.slot)

    def _mono(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is about to be heard, (n,)."""
        mono = self.pcm.mono(samples)
        if self.heard is not None:
            self.heard(self.hearing.sample, mono)
        return mono

    def _accepted(self, data: bytes, arrived: float) -> tuple[list[Told], NDArray[np.float32] | None]:
        """What is said before it, and the samples that are new, (n, channels)."""
        header, data = self._unframed(data)
        samples = self.pcm.read(data)
        outs, heard_before = self._placed(header, len(samples), arrived)
        return outs, None if heard_before >= len(samples) else samples[heard_before:]

    def _unframed(self, data: bytes) -> tuple[framing.Header | None, bytes]:
        if len(data) > (limit := self._limits.max_chunk_bytes):
            raise Refusal(Code.CHUNK_TOO_LARGE, f"a binary message of {len(data)} bytes: the limit is {limit}")
        return framing.unframed(data) if self._framed else (None, data)

    def _placed(self, header: framing.Header | None, count: int, arrived: float) -> tuple[list[Told], int]:
        """On the clock: what is said before a chunk of `count` samples, and how many of them were heard before."""
        outs: list[Told] = []
        self._last_audio = arrived
        if header is not None:
            ahead = header.first - self.hearing.sample
            if ahead > framing.MAX_AHEAD:
                raise Refusal(
                    Code.BAD_FRAMING,
                    f"chunk {header.chunk} begins at sample {header.first}, but {self.hearing.sample} is next: "
                    f"at most {framing.MAX_AHEAD} samples may be lost at once",
                )
            if ahead > 0 or (header.discontinuity and ahead == 0):
                outs += self._gap(ahead, "network", "discontinuity" if header.discontinuity else "index")
            elif ahead < 0:
                if -ahead >= count:
                    return outs, -ahead
                count += ahead
        if self._stalled:
            self._stalled = False
            outs.append(p.SourceState(state="healthy", detail="audio comes again"))
        outs += self._in_step(count, arrived)
        return outs, -min(0, ahead) if header is not None else 0

    def _in_step(self, count: int, arrived: float) -> list[Told]:
        """So many new samples came: does their clock keep step with time?"""
        if self._pace is None or (rate := self._pace.feed(count, arrived)) is None:
            return []
        return [_rate_warning(self.hearing.rate_hz, rate)]

    def tick(self, now: float, waiting_bytes: int) -> Sequence[Told]:
        """Time passes: is it stalled, is a heartbeat due?"""
        outs: list[Told] = []
        still_ms = (now - self._last_audio) * 1000
        if self._start.source.live and not self._stalled and not waiting_bytes and still_ms >= self._limits.stall_ms:
            self._stalled = True
            outs += _events(self.hearing.stall())
            outs.append(p.SourceState(state="stalled", detail=f"no audio for {self._limits.stall_ms} ms"))
        if now - self._last_heartbeat >= self._start.emit.heartbeat_s:
            self._last_heartbeat = now
            outs.append(self._heartbeat(waiting_bytes))
        return outs

    @property
    def heartbeat_due(self) -> float:
        """When, monotonic."""
        return self._last_heartbeat + self._start.emit.heartbeat_s

    def flush(self, flush: c.Flush) -> Sequence[Told]:
        return [*_events(self.hearing.release("flush")), p.Flushed(id=flush.id, sample=self.hearing.sample)]

    def configure(self, asked: c.Configure) -> Sequence[Told]:
        try:
            settings = applied(self._model, self.hearing.pipeline.settings, asked.detect)
        except Mistaken as error:
            return [p.ConfigureFailed(id=asked.id, errors=error.mistakes)]
        self.hearing.pipeline.configure(settings)
        muted = [label for label, enabled in zip(self._model.labels, settings.enabled, strict=True) if not enabled]
        closed = _events(self.hearing.release("reconfigure", muted))
        return [*closed, p.Configured(id=asked.id, sample=self.hearing.sample, detect=self._detect())]

    def gap(self, gap: c.Gap) -> Sequence[Told]:
        return self._gap(gap.samples, "client", gap.reason)

    def mute(self) -> Sequence[Told]:
        """Silence comes from here on: the open labels are closed."""
        events = _events(self.hearing.mute())
        self._emitter.restart()
        return events

    def _gap(self, samples: int, where: Literal["client", "network", "queue"], reason: str) -> list[Told]:
        start = self.hearing.sample
        events = _events(self.hearing.gap(samples))
        self._emitter.restart()
        if self._pace is not None:
            self._pace.lost(samples)
        return [*events, p.GapNotice(from_sample=start, samples=samples, where=where, reason=reason)]

    def finish(self, reason: str) -> Sequence[Told]:
        """The last events and frames."""
        return [*_events(self.hearing.finish(reason)), *self._emitter.block()]

    def _effective(self) -> p.Effective:
        start = self._start
        return p.Effective(
            audio=start.audio,
            source=start.source,
            detect=self._detect(),
            emit=start.emit,
            on_overload=start.on_overload,
        )

    def _detect(self) -> p.EffectiveDetect:
        return effective(self._model, self.hearing.pipeline.settings)

    def _heartbeat(self, waiting_bytes: int) -> p.Heartbeat:
        hearing = self.hearing
        waiting = waiting_bytes // self.pcm.frame_bytes
        audio_s = (hearing.heard - self._heard_then) / hearing.rate_hz
        self._take_busy()
        factor = round(self._busy_s / audio_s, 5) if audio_s else None
        self._busy_s, self._heard_then = 0.0, hearing.heard
        return p.Heartbeat(
            sample=hearing.sample if self.safe is None else self.safe,
            received_ms=hearing.ms(hearing.heard + waiting),
            processed_ms=hearing.ms(hearing.heard),
            lag_ms=hearing.ms(waiting),
            realtime_factor=factor,
            dropped_ms=hearing.ms(hearing.lost),
            open_events=len(hearing.open_labels),
        )


def _looks_back(emit: c.Emit) -> bool:
    """Does it tell what only the engine's trace knows?"""
    return bool(emit.scores_hz or emit.frames_hz or emit.updates_hz)


def model_info(model: Model) -> p.ModelInfo:
    return p.ModelInfo(
        name=model.name,
        version=model.version,
        sha256=model.sha256,
        labels=list(model.labels),
        families=list(model.families),
    )


def _events(bodies: list[p.EventBody]) -> list[p.Event]:
    return [p.Event(**body.model_dump()) for body in bodies]


def _rate_warning(declared_hz: int, measured_hz: float) -> p.Warning_:
    return p.Warning_(
        code=Code.RATE_MISMATCH,
        message=f"sample_rate={declared_hz} was declared, but {measured_hz:.0f} samples come each second "
        f"({measured_hz / declared_hz:.2f} times): the sound is heard at the wrong speed",
    )
