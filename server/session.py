"""One producer session: messages and PCM in, messages out. The whole protocol without any I/O.

Calls come one after the other, from any thread. Each returns what is to be sent, in order: dicts are JSON text
messages, bytes are binary ones. When `closed` is set, the socket is to be closed with that code after sending.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from engine.pipeline import default_settings
from engine.weights import Model
from server import commands as c
from server import protocol as p
from server.detect import Mistaken, applied, effective
from server.emit import Emitter
from server.errors import Close, Code, Refusal
from server.hearing import Hearing
from server.ingest import Pcm
from server.pace import Pace
from server.version import VERSION

Out = dict[str, Any] | bytes


class Session:
    def __init__(
        self,
        model: Model,
        limits: p.Limits,
        *,
        session_id: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.id = session_id or f"s_{secrets.token_hex(6)}"
        self.closed: Close | None = None
        self.hearing: Hearing | None = None  # from `start` on
        self._model = model
        self._limits = limits
        self._monotonic = monotonic
        self._utc = utc
        self._born = monotonic()
        self._seq = 0
        self._last_message = self._born
        self._last_audio = self._born  # or the start
        self._last_heartbeat = self._born
        self._stalled = False
        self._busy_s = 0.0  # processing since the last heartbeat
        self._busy_samples = 0

    # --- what comes in ---

    def ready(self) -> list[Out]:
        """The first message of the session."""
        return [self._numbered(p.Ready(server=VERSION, model=model_info(self._model)))]

    def text(self, data: str) -> list[Out]:
        """A text message of the client."""
        if self.closed is not None:
            return []
        self._last_message = self._monotonic()
        try:
            message = c.parse(data)
            return self._numbered_all(self._answer(message)) if not isinstance(message, c.Stop) else self.end("stop")
        except c.UnknownType as error:
            return [self._numbered(p.Warning_(code=Code.UNKNOWN_MESSAGE_TYPE, message=str(error)))]
        except c.Invalid as error:
            if error.kind == "configure" and self.hearing is not None:
                return [self._numbered(p.ConfigureFailed(id=error.id, errors=error.mistakes))]
            return self.fail(error.refusal())
        except Refusal as refusal:
            return self.fail(refusal)

    def audio(self, data: bytes, arrived: float) -> list[Out]:
        """A binary message that came at `arrived` (monotonic). Nothing of it is heard if any of it is wrong."""
        if self.closed is not None:
            return []
        began = time.perf_counter()
        self._last_message = self._last_audio = arrived
        try:
            if self.hearing is None:
                raise Refusal(
                    Code.AUDIO_BEFORE_START, f"{len(data)} bytes of audio came before start: send start first"
                )
            if len(data) > self._limits.max_chunk_bytes:
                raise Refusal(
                    Code.CHUNK_TOO_LARGE,
                    f"a binary message of {len(data)} bytes: the limit is {self._limits.max_chunk_bytes}",
                )
            samples = self._pcm.read(data)
        except Refusal as refusal:
            return self.fail(refusal)
        outs: list[p.Out | bytes] = []
        if self._stalled:
            self._stalled = False
            outs.append(p.SourceState(state="healthy", detail="audio comes again"))
        if self._pace is not None and (rate := self._pace.feed(len(samples), arrived)) is not None:
            outs.append(self._rate_warning(rate))
        for events in self.hearing.feed(self._pcm.mono(samples), arrived):
            outs += _events(events)
            outs += self._emitter.block()
        outs += self._emitter.chunk(samples)
        self._busy_s += time.perf_counter() - began
        self._busy_samples += len(samples)
        return self._numbered_all(outs)

    def tick(self, now: float, waiting_bytes: int = 0) -> list[Out]:
        """Time passes: heartbeat, stall, idle. waiting_bytes: audio that came and was not yet given to `audio`."""
        if self.closed is not None:
            return []
        if now - self._last_message >= self._limits.idle_s and not waiting_bytes:
            return self.fail(Refusal(Code.IDLE, f"no message for {self._limits.idle_s:g} s: send keepalive to stay"))
        if self.hearing is None:
            return []
        outs: list[p.Out | bytes] = []
        silent_ms = (now - self._last_audio) * 1000
        if self._source.live and not self._stalled and not waiting_bytes and silent_ms >= self._limits.stall_ms:
            self._stalled = True
            outs += _events(self.hearing.stall())
            outs.append(p.SourceState(state="stalled", detail=f"no audio for {self._limits.stall_ms} ms"))
        if now - self._last_heartbeat >= self._heartbeat_s:
            self._last_heartbeat = now
            outs.append(self._heartbeat(waiting_bytes))
        return self._numbered_all(outs)

    def end(self, reason: str) -> list[Out]:
        """The end of the stream: the last events and the summary."""
        if self.closed is not None:
            return []
        self.closed = Close.SHUTDOWN if reason == "shutdown" else Close.DONE
        return self._finish(reason)

    def _finish(self, reason: str, *told: p.Out) -> list[Out]:
        outs: list[p.Out | bytes] = []
        if self.hearing is not None:
            outs += _events(self.hearing.finish(reason))
            outs += self._emitter.block()
        outs += [*told, p.Summary(**self.summary().model_dump())]
        return self._numbered_all(outs)

    def fail(self, refusal: Refusal) -> list[Out]:
        """The end because of an error: nothing already accepted is lost. Last events, error, summary."""
        if self.closed is not None:
            return []
        error = p.Error(code=refusal.code, message=refusal.message, retryable=refusal.handling.retryable, fatal=True)
        outs = self._finish("error", error)
        self.closed = refusal.handling.close
        return outs

    # --- what it knows ---

    def bytes_of(self, ms: float) -> int:
        """How many bytes of the declared form are `ms` of audio; 0 before `start`."""
        return round(ms / 1000 * self.hearing.rate_hz) * self._pcm.frame_bytes if self.hearing else 0

    def summary(self) -> p.SummaryBody:
        wall_s = self._monotonic() - self._born
        return self.hearing.summary(wall_s) if self.hearing else p.SummaryBody(wall_s=round(wall_s, 3))

    # --- answers ---

    def _answer(self, message: c.ClientMessage) -> Sequence[p.Out | bytes]:
        if isinstance(message, c.Keepalive | c.Ack):
            return []
        if isinstance(message, c.Start):
            return [self._begin(message)]
        if self.hearing is None:
            raise Refusal(Code.BAD_MESSAGE, f"{message.type} before start: send start first")
        if isinstance(message, c.Configure):
            return self._configure(self.hearing, message)
        if isinstance(message, c.Flush):
            return [*_events(self.hearing.release("flush")), p.Flushed(id=message.id, sample=self.hearing.sample)]
        assert isinstance(message, c.Gap)
        return self._gap(self.hearing, message)

    def _begin(self, start: c.Start) -> p.Started:
        if self.hearing is not None:
            raise Refusal(Code.ALREADY_STARTED, "a second start: one session has one stream; open another connection")
        audio = start.audio
        if audio.channel_select is not None and audio.channel_select >= audio.channels:
            raise Refusal(
                Code.BAD_CHANNELS, f"audio.channel_select={audio.channel_select}: audio.channels is {audio.channels}"
            )
        try:
            settings = applied(self._model, default_settings(self._model), start.detect)
        except Mistaken as error:
            raise Refusal(error.mistakes[0].code, "; ".join(m.message for m in error.mistakes[:5])) from error
        self._source = start.source
        self._pcm = Pcm(audio.encoding, audio.channels, audio.channel_select)
        self._pace = Pace(audio.sample_rate) if start.source.captured else None
        self.hearing = Hearing(
            self._model,
            audio.sample_rate,
            start.source.name,
            settings,
            live=start.source.live,
            monotonic=self._monotonic,
            utc=self._utc,
        )
        self._emitter = Emitter(self.hearing, start.emit)
        self._heartbeat_s = start.emit.heartbeat_s
        self._last_audio = self._last_heartbeat = self._monotonic()
        front_end = self._model.front_end
        return p.Started(
            effective=p.Effective(
                audio=audio, source=start.source, detect=effective(self._model, settings), emit=start.emit
            ),
            model=model_info(self._model),
            hop_ms=front_end.hop_s * 1000,
            warmup_ms=front_end.frame_samples / front_end.sample_rate_hz * 1000,
            limits=self._limits,
            clock=p.Clock(sample=0, utc=self.hearing.utc(0)),
            frame=self._emitter.frame_info(),
        )

    def _configure(self, hearing: Hearing, message: c.Configure) -> Sequence[p.Out]:
        try:
            settings = applied(self._model, hearing.pipeline.settings, message.detect)
        except Mistaken as error:
            return [p.ConfigureFailed(id=message.id, errors=error.mistakes)]
        hearing.pipeline.configure(settings)
        muted = [label for label, enabled in zip(self._model.labels, settings.enabled, strict=True) if not enabled]
        closed = _events(hearing.release("reconfigure", muted))
        told = p.Configured(id=message.id, sample=hearing.sample, detect=effective(self._model, settings))
        return [*closed, told]

    def _gap(self, hearing: Hearing, gap: c.Gap) -> Sequence[p.Out | bytes]:
        start = hearing.sample
        events = _events(hearing.gap(gap.samples))
        self._emitter.restart()
        if self._pace is not None:
            self._pace.lost(gap.samples)
        return [*events, p.GapNotice(from_sample=start, samples=gap.samples, where="client", reason=gap.reason)]

    def _rate_warning(self, measured_hz: float) -> p.Warning_:
        assert self.hearing is not None
        declared = self.hearing.rate_hz
        return p.Warning_(
            code=Code.RATE_MISMATCH,
            message=f"sample_rate={declared} was declared, but {measured_hz:.0f} samples come each second "
            f"({measured_hz / declared:.2f} times): the sound is heard at the wrong speed",
        )

    def _heartbeat(self, waiting_bytes: int) -> p.Heartbeat:
        hearing = self.hearing
        assert hearing is not None
        waiting = waiting_bytes // self._pcm.frame_bytes
        audio_s = self._busy_samples / hearing.rate_hz
        factor = round(self._busy_s / audio_s, 5) if audio_s else None
        self._busy_s, self._busy_samples = 0.0, 0
        return p.Heartbeat(
            received_ms=hearing.ms(hearing.heard + waiting),
            processed_ms=hearing.ms(hearing.heard),
            lag_ms=hearing.ms(waiting),
            realtime_factor=factor,
            dropped_ms=hearing.ms(hearing.lost),
            open_events=hearing.open_events,
        )

    def _numbered_all(self, outs: Sequence[p.Out | bytes]) -> list[Out]:
        return [out if isinstance(out, bytes) else self._numbered(out) for out in outs]

    def _numbered(self, out: p.Out) -> dict[str, Any]:
        out.session, out.seq = self.id, self._seq
        self._seq += 1
        return p.dumped(out)


def _events(bodies: list[p.EventBody]) -> list[p.Event]:
    return [p.Event(**body.model_dump()) for body in bodies]


def model_info(model: Model) -> p.ModelInfo:
    return p.ModelInfo(
        name=model.name,
        version=model.version,
        sha256=model.sha256,
        labels=list(model.labels),
        families=list(model.families),
    )
