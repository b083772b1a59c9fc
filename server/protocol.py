"""What the server says, and the published schema of both sides. Performs no I/O.

Each message is a model; `dumped` makes the JSON object of it. What a client may say is in `commands.py`.
"""

from typing import Any, Literal

from pydantic import Field, TypeAdapter

from server.commands import Audio, ClientMessage, Emit, Message, Mistake, OnOverload, Source
from server.errors import Code

PROTOCOL = 1

State = Literal["healthy", "silent", "stalled", "lost", "recovering", "failed", "ended"]


class Out(Message):
    """Each has `session` and `seq`; `seq` counts from 0 without holes within a session."""

    session: str = ""
    seq: int = 0


class ModelInfo(Message):
    name: str
    version: str
    sha256: str
    labels: list[str]
    families: list[str]


class Limits(Message):
    max_chunk_bytes: int
    queue_ms: int
    stall_ms: int
    idle_s: float


class Ready(Out):
    type: Literal["ready"] = "ready"
    protocol: int = PROTOCOL
    server: str
    model: ModelInfo


class FrameInfo(Message):
    bands: int
    spikes: int
    labels: int
    bytes: int  # of one frame
    every: int  # engine frames for each sent frame
    db_floor: int
    db_ceil: int
    evidence_scale: int
    layers: list[int]  # neurons whose spikes these are: the cochlea's fibres, then each layer of the network
    fine: int  # of the cochlea's fibres, the last ones: those of a second, longer look; 0: there is none
    wave: int  # pairs of least and greatest sample; 0: not asked for
    linear: int  # bins of the linear spectrum; 0: not asked for
    linear_hz: float  # from one bin to the next


class EffectiveThresholds(Message):
    on: float
    off: float


class EffectiveDetect(Message):
    labels: list[str]
    thresholds: dict[str, EffectiveThresholds]
    min_on_ms: float
    min_off_ms: float
    refractory_ms: float


class Effective(Message):
    """The configuration in force, defaults filled in."""

    audio: Audio
    source: Source
    detect: EffectiveDetect
    emit: Emit
    on_overload: OnOverload


class Clock(Message):
    sample: int
    utc: str


class ResumeInfo(Message):
    """How to go on with this session over a new connection."""

    token: str = Field(repr=False)  # a secret
    window_s: float  # how long the session waits without a connection
    failover: bool = False  # it outlives its service: only `heartbeat` says which audio need not be kept


class Started(Out):
    type: Literal["started"] = "started"
    effective: Effective
    model: ModelInfo
    hop_ms: float
    warmup_ms: float
    limits: Limits
    clock: Clock
    frame: FrameInfo | None  # None: frames_hz is 0
    resume: ResumeInfo | None  # None: this session does not wait for a client that comes back


class Resumed(Out):
    """The session goes on over this connection; what was told since `last_seq` came before this message."""

    type: Literal["resumed"] = "resumed"
    sample: int  # all before it was heard: audio is wanted from here on
    effective: Effective
    clock: Clock


class EventBody(Message):
    """One decision about one label. The same `event_id` from onset to offset or retract."""

    type: Literal["event"] = "event"
    schema_version: Literal[1] = Field(default=1, serialization_alias="schema")
    event_id: str
    source: str
    label: str
    phase: Literal["onset", "update", "offset", "retract"]
    is_final: bool
    score: float
    peak: float
    threshold: float
    onset_sample: int
    onset_ms: float
    offset_sample: int | None
    offset_ms: float | None
    decided_sample: int
    latency_ms: float | None  # None: not decided by evidence, or not live
    utc_onset: str | None  # None: not live
    model: str
    reason: str | None


class Event(Out, EventBody):
    pass


class Suppressed(Message):
    """A label with evidence that is not told as an event."""

    label: str
    score: float
    why: Literal["below_threshold", "refractory", "muted"]


class Scores(Out):
    type: Literal["scores"] = "scores"
    sample: int
    top: list[tuple[str, float]]
    suppressed: list[Suppressed]  # empty without `emit.explain`


class Level(Out):
    type: Literal["level"] = "level"
    sample: int
    rms_dbfs: float | None  # None: digital silence
    peak_dbfs: float | None
    clipped: int  # samples at full scale


def level(sample: int, rms_dbfs: float | None, peak_dbfs: float | None, clipped: int) -> dict[str, Any]:
    """A `Level`, dumped: ten a second of each session are too many to make models of."""
    return {
        "session": "",
        "seq": 0,
        "type": "level",
        "sample": sample,
        "rms_dbfs": rms_dbfs,
        "peak_dbfs": peak_dbfs,
        "clipped": clipped,
    }


def level_json(
    session: str, seq: int, sample: int, rms_dbfs: float | None, peak_dbfs: float | None, clipped: int
) -> str:
    """The same as it goes over the wire. session: of this server's making, without anything to escape."""
    rms, peak = "null" if rms_dbfs is None else rms_dbfs, "null" if peak_dbfs is None else peak_dbfs
    return (
        f'{{"session":"{session}","seq":{seq},"type":"level","sample":{sample},'
        f'"rms_dbfs":{rms},"peak_dbfs":{peak},"clipped":{clipped}}}'
    )


class Heartbeat(Out):
    type: Literal["heartbeat"] = "heartbeat"
    sample: int  # all before it was heard: the client need not keep it
    received_ms: float
    processed_ms: float
    lag_ms: float
    realtime_factor: float | None  # processing time over audio time since the last heartbeat
    dropped_ms: float
    open_events: int


class GapNotice(Out):
    type: Literal["gap"] = "gap"
    from_sample: int
    samples: int
    where: Literal["client", "network", "queue"]
    reason: str


class SourceState(Out):
    type: Literal["source"] = "source"
    state: State
    detail: str
    retry_in_ms: int | None = None
    name: str | None = None  # for people; None: of a client's session
    muted: bool = False  # silence is heard in place of its sound


class Warning_(Out):
    type: Literal["warning"] = "warning"
    code: Code
    message: str


class Error(Out):
    type: Literal["error"] = "error"
    code: Code
    message: str
    retryable: bool
    fatal: bool


class Lagged(Out):
    """The reader was slow, or away: the telemetry from_seq to to_seq was left out. Takes the number of the last."""

    type: Literal["lagged"] = "lagged"
    from_seq: int
    to_seq: int
    policy: Literal["latest", "cut_off", "replay_limit", "bus_full"] = "latest"  # the others: numbers on the bus


class Draining(Out):
    """The server is about to stop: it ends the session itself after deadline_ms."""

    type: Literal["draining"] = "draining"
    deadline_ms: int


class Flushed(Out):
    type: Literal["flushed"] = "flushed"
    id: str | None
    sample: int


class Configured(Out):
    type: Literal["configured"] = "configured"
    id: str | None
    sample: int  # it holds from here on
    detect: EffectiveDetect


class ConfigureFailed(Out):
    type: Literal["configure_failed"] = "configure_failed"
    id: str | None
    errors: list[Mistake]


class Percentiles(Message):
    p50: float
    p95: float
    p99: float


class LabelSummary(Message):
    label: str
    seconds: float
    events: int
    peak: float


class SummaryBody(Message):
    audio_ms: float = 0.0  # the whole clock: processed and dropped
    processed_ms: float = 0.0
    dropped_ms: float = 0.0
    gaps: int = 0
    events: int = 0  # finished, without the retracted
    latency_ms: Percentiles | None = None
    wall_s: float
    labels: list[LabelSummary] = Field(default_factory=list)  # by seconds, the longest first


class Summary(Out, SummaryBody):
    type: Literal["summary"] = "summary"


ServerMessage = (
    Ready
    | Started
    | Resumed
    | Event
    | Scores
    | Level
    | Heartbeat
    | GapNotice
    | SourceState
    | Warning_
    | Error
    | Lagged
    | Draining
    | Flushed
    | Configured
    | ConfigureFailed
    | Summary
)


class Classified(Message):
    """The answer to an upload."""

    events: list[EventBody]  # offsets only, by onset
    summary: SummaryBody


def dumped(message: Message) -> dict[str, Any]:
    return message.model_dump(mode="json", by_alias=True)


def schema() -> dict[str, Any]:
    """JSON Schema of what each side may send."""
    return {
        "client": TypeAdapter(ClientMessage).json_schema(mode="validation"),
        "server": TypeAdapter(ServerMessage).json_schema(mode="serialization"),
        "classify": TypeAdapter(Classified).json_schema(mode="serialization"),
    }
