"""One producer session: messages and PCM in, messages out. The whole protocol without any I/O.

Calls come one after the other, from any thread. Each returns what is to be sent, in order: dicts are JSON text
messages, bytes are binary ones. When `closed` is set, the socket is to be closed with that code after sending.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.events import Event
from engine.weights import Model
from server import commands as c
from server import protocol as p
from server.choir import Choir
from server.detect import named
from server.errors import Close, Code, Refusal
from server.level import Reading
from server.saved import SavedSession
from server.stream import Piece, Stream, Told, Waiting, model_info
from server.unison import Spoken
from server.version import VERSION

Out = dict[str, Any] | bytes


class Witness(Protocol):
    """Sees what one session hears and tells, in order, from whatever thread; returns at once."""

    def heard(self, first: int, mono: NDArray[np.float32]) -> None:
        """Samples (n,) at the declared rate, from `first` on the session's clock."""

    def told(self, message: dict[str, Any]) -> None: ...


Witnessing = Callable[[int, bool], Witness | None]  # of a session at this rate in Hz, live or not


class Session:
    def __init__(
        self,
        model: Model,
        limits: p.Limits,
        *,
        session_id: str | None = None,
        pool: Choir | None = None,  # where the stream may be heard together with others
        resume: p.ResumeInfo | None = None,  # told in `started`; who keeps the session knows what it means
        monotonic: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
        witnessing: Witnessing | None = None,
        compare: Model | None = None,  # heard by in place of `model`, where `start` asks for it
        failover: bool = False,  # another process may go on with it, if what it hears can be saved
    ) -> None:
        self.id = session_id or f"s_{secrets.token_hex(6)}"
        self.closed: Close | None = None
        self.stream: Stream | None = None  # from `start` on
        self.apart = False  # it is heard by `compare`: for who looks at it, nobody else is told
        self.acknowledged = -1  # seq up to which the client has read
        self._model = self._model_heard = model
        self._compare = compare
        self._failover = failover
        self._start: c.Start | None = None  # once it was accepted
        self._limits = limits
        self._pool = pool
        self._resume = resume
        self._monotonic = monotonic
        self._utc = utc
        self._witnessing = witnessing
        self._witness: Witness | None = None  # from `start` on, if there is one
        self._born = self._last_message = monotonic()
        self._seq = 0

    # --- what comes in ---

    def ready(self) -> list[Out]:
        """The first message of the session."""
        return self._numbered([p.Ready(server=VERSION, model=model_info(self._model))])

    def text(self, data: str) -> list[Out]:
        """A text message of the client."""
        if self.closed is not None:
            return []
        self._last_message = self._monotonic()
        try:
            message = c.parse(data)
            if isinstance(message, c.Stop):
                return self.end("stop")
            return self._numbered(self._answer(message))
        except c.UnknownType as error:
            return self._numbered([p.Warning_(code=Code.UNKNOWN_MESSAGE_TYPE, message=str(error))])
        except c.Invalid as error:
            if error.kind == "configure" and self.stream is not None:
                return self._numbered([p.ConfigureFailed(id=error.id, errors=error.mistakes)])
            return self.fail(error.refusal())
        except Refusal as refusal:
            return self.fail(refusal)

    def audio(self, data: bytes, arrived: float) -> list[Out]:
        """A binary message that came at `arrived` (monotonic). Nothing of it is heard if any of it is wrong."""
        if self.closed is not None:
            return []
        self._last_message = arrived
        try:
            if self.stream is None:
                raise Refusal(
                    Code.AUDIO_BEFORE_START, f"{len(data)} bytes of audio came before start: send start first"
                )
            return self._numbered(self.stream.audio(data, arrived))
        except Refusal as refusal:
            return self.fail(refusal)

    # --- audio of a stream in the pool, heard together with others ---

    @property
    def pooled(self) -> int | None:
        """The stream's number in the pool, if it is there."""
        return None if self.stream is None else self.stream.hearing.slot

    def begin(self, data: bytes, arrived: float) -> tuple[list[Out], Piece | None]:
        """As `audio`, but for the hearing: what is said before it, and what the pool is to hear."""
        if self.closed is not None:
            return [], None
        self._last_message = arrived
        assert self.stream is not None
        try:
            outs, piece = self.stream.begin(data, arrived)
        except Refusal as refusal:
            return self.fail(refusal), None
        return self._numbered(outs), piece

    def finish(self, piece: Piece, events: list[Event]) -> list[Out]:
        """What is said after it."""
        assert self.stream is not None
        return self._numbered(self.stream.finish_piece(piece, events))

    # --- usual chunks of such a stream (`unison.py`) ---

    def came(self, clock: int, arrived: float) -> list[Out]:
        """They came, and were heard, up to the sample `clock`."""
        assert self.stream is not None
        self._last_message = arrived
        return self._numbered(self.stream.came(clock, arrived))

    def heard(self, spoken: Spoken) -> list[Out]:
        """What is said after them."""
        assert self.stream is not None
        self._last_message = spoken.chunks[-1][1]
        return self._numbered(self.stream.heard_usual(spoken))

    def level(self, clock: int, reading: Reading) -> tuple[int, str] | None:
        """As `heard`, of chunks after which there is only a level to tell: its number, and itself as it is sent.

        None where `heard` has to be asked. What else the session should know of the chunks `came` tells it later.
        """
        if self._witness is not None or self.stream is None or not self.stream.may_wait:
            return None
        self._seq += 1
        return self._seq - 1, p.level_json(self.id, self._seq - 1, clock, *reading)

    # --- going on in another process (`escrow.py`) ---

    def saved(self) -> SavedSession:
        """All but the engine's stream, after `start`. While nothing of it is being heard."""
        assert self._start is not None
        return SavedSession(
            id=self.id,
            model=self._model_heard.sha256,
            apart=self.apart,
            start=self._start,
            seq=self._seq,
            acknowledged=self.acknowledged,
            born_utc=self._utc() - (self._monotonic() - self._born),
            closed=self.closed,
            stream=None if self.closed is not None or self.stream is None else self.stream.saved(),
        )

    def restore(self, saved: SavedSession, snapshot: bytes, last_seq: int) -> None:
        """Become that session, from a new one; its client has read up to `last_seq`. Raises SnapshotError, Refusal."""
        self.id, self.apart, self.acknowledged = saved.id, saved.apart, saved.acknowledged
        self._seq = max(saved.seq, last_seq + 1)  # telemetry that was told after it was saved had these numbers
        self._born = self._monotonic() - max(0.0, self._utc() - saved.born_utc)
        self._last_message = self._monotonic()
        if saved.closed is not None:
            self.closed = Close(saved.closed)
        self._start = saved.start
        if saved.stream is not None:
            stream = self._begin(saved.start)
            stream.restore(saved.stream, snapshot)
            stream.safe = saved.stream.hearing.sample

    @property
    def numbered(self) -> int:
        """The number of the next message."""
        return self._seq

    def leap(self, numbers: int) -> int:
        """Leave out so many numbers of messages; the first of them."""
        first = self._seq
        self._seq += numbers
        return first

    def retire(self) -> None:
        """It has ended: the engine's memory is free."""
        if self.stream is not None:
            self.stream.hearing.close()
            self.stream = None

    # --- more that comes in ---

    def lost(self, lost: Waiting) -> list[Out]:
        """Audio that came and was dropped, because too much of it waited."""
        return [] if self.closed is not None or self.stream is None else self._numbered(self.stream.lost(lost))

    def resumed(self) -> list[Out]:
        """The client is back over a new connection and has been told what it missed."""
        self._last_message = self._monotonic()
        return [] if self.closed is not None or self.stream is None else self._numbered([self.stream.resumed()])

    def mute(self) -> list[Out]:
        """The source was muted: silence comes in place of its sound."""
        return [] if self.closed is not None or self.stream is None else self._numbered(self.stream.mute())

    def draining(self, deadline_ms: int) -> list[Out]:
        """The server is about to stop."""
        return [] if self.closed is not None else self._numbered([p.Draining(deadline_ms=deadline_ms)])

    def tick(self, now: float, waiting_bytes: int = 0) -> list[Out]:
        """Time passes: heartbeat, stall, idle. waiting_bytes: audio that came and was not yet given to `audio`."""
        if self.closed is not None:
            return []
        if self.idles(now, waiting_bytes):
            return self.fail(Refusal(Code.IDLE, f"no message for {self._limits.idle_s:g} s: send keepalive to stay"))
        return [] if self.stream is None else self._numbered(self.stream.tick(now, waiting_bytes))

    def idles(self, now: float, waiting_bytes: int) -> bool:
        """`tick` would end it: nothing came for too long."""
        return now - self._last_message >= self._limits.idle_s and not waiting_bytes

    def end(self, reason: str) -> list[Out]:
        """The end of the stream: the last events and the summary."""
        if self.closed is not None:
            return []
        return self._finish(reason, Close.SHUTDOWN if reason == "shutdown" else Close.DONE)

    def fail(self, refusal: Refusal) -> list[Out]:
        """The end because of an error: nothing already accepted is lost. Last events, error, summary."""
        if self.closed is not None:
            return []
        retryable = refusal.handling.retryable
        error = p.Error(code=refusal.code, message=refusal.message, retryable=retryable, fatal=True)
        return self._finish("error", refusal.handling.close, error)

    # --- what it knows ---

    def bytes_of(self, ms: float) -> int:
        """How many bytes of the declared form are `ms` of audio; 0 before `start`."""
        if self.stream is None:
            return 0
        return round(ms / 1000 * self.stream.hearing.rate_hz) * self.stream.pcm.frame_bytes

    def summary(self) -> p.SummaryBody:
        wall_s = self._monotonic() - self._born
        return p.SummaryBody(wall_s=round(wall_s, 3)) if self.stream is None else self.stream.hearing.summary(wall_s)

    # --- answers ---

    def _answer(self, message: c.ClientMessage) -> Sequence[Told]:
        if isinstance(message, c.Ack):
            self.acknowledged = max(self.acknowledged, message.seq)
        if isinstance(message, c.Keepalive | c.Ack):
            return []
        if isinstance(message, c.Start):
            if self.stream is not None:
                raise Refusal(Code.ALREADY_STARTED, "a second start: one session has one stream; connect once more")
            if message.resume is not None:
                raise Refusal(Code.BAD_MESSAGE, "start.resume: only the first message of a connection can resume")
            stream = self._begin(message)
            if self._resume is not None and self._failover and stream.hearing.can_be_saved:
                stream.safe = 0
                self._resume = self._resume.model_copy(update={"failover": True})
            return [stream.started(self._resume)]
        if self.stream is None:
            raise Refusal(Code.BAD_MESSAGE, f"{message.type} before start: send start first")
        if isinstance(message, c.Configure):
            return self.stream.configure(message)
        if isinstance(message, c.Flush):
            return self.stream.flush(message)
        assert isinstance(message, c.Gap)
        return self.stream.gap(message)

    def _begin(self, start: c.Start) -> Stream:
        self._start = start
        self._model_heard = model = named(start.model, self._model, self._compare)
        self.apart = start.model != "main"
        pool = None if self.apart else self._pool
        self.stream = Stream(model, start, self._limits, self._monotonic, self._utc, pool)
        if self._witnessing is not None and not self.apart:
            self._witness = self._witnessing(start.audio.sample_rate, start.source.live)
        if self._witness is not None:
            self.stream.heard = self._witness.heard
        return self.stream

    def _finish(self, reason: str, close: Close, *told: p.Out) -> list[Out]:
        self.closed = close
        # after a fault of ours the stream's state is not to be trusted
        last = [] if self.stream is None or close is Close.INTERNAL else self.stream.finish(reason)
        return self._numbered([*last, *told, p.Summary(**self.summary().model_dump())])

    def _numbered(self, outs: Sequence[Told]) -> list[Out]:
        numbered: list[Out] = []
        for out in outs:
            if isinstance(out, bytes):
                numbered.append(out)
                continue
            message = out if isinstance(out, dict) else p.dumped(out)
            message["session"], message["seq"] = self.id, self._seq
            self._seq += 1
            numbered.append(message)
            if self._witness is not None:
                self._witness.told(message)
        return numbered
