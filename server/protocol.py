"""Every JSON message of the wire: typed models, bytes to messages and back, the published schema. Performs no I/O.

What a client sends is checked here, field by field; whether a label exists is the session's to know. Fields that a
version does not know are ignored.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import from_json

from server.errors import Code, Refusal
from server.ingest import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, Encoding

PROTOCOL = 1
MAX_TEXT_BYTES = 65_536

Score = Annotated[float, Field(gt=0, lt=1)]
Milliseconds = Annotated[float, Field(ge=0, le=60_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Id = Annotated[str, StringConstraints(max_length=64)]
Reason = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]


class Message(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, json_schema_serialization_defaults_required=True)


# --- client to server ---


class Audio(Message):
    """The form of the binary messages. There is no default rate."""

    encoding: Encoding
    sample_rate: int = Field(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)
    channels: int = Field(default=1, ge=1, le=MAX_CHANNELS)
    channel_select: int | None = Field(default=None, ge=0, lt=MAX_CHANNELS)  # None: the mean of all channels
    framing: Literal["raw"] = "raw"


class Source(Message):
    name: Name = "stream"
    kind: Literal["browser", "microphone", "network", "file"] = "network"

    @property
    def captured(self) -> bool:
        """Sound is taken as it happens, so the audio clock must keep step with the wall clock."""
        return self.kind in ("browser", "microphone")

    @property
    def live(self) -> bool:
        return self.kind != "file"


class Thresholds(Message):
    on: Score | None = None
    off: Score | None = None


class Detect(Message):
    """What to detect. An absent field keeps its value: the model's at `start`, the present one in `configure`."""

    labels: list[str] | None = Field(default=None, min_length=1, max_length=1_000)
    thresholds: dict[str, Thresholds] = Field(default_factory=dict, max_length=1_000)
    min_on_ms: Milliseconds | None = None
    min_off_ms: Milliseconds | None = None


class Emit(Message):
    """How often the server tells what it hears, each second of audio; 0 is never."""

    scores_hz: float = Field(default=0.0, ge=0, le=100)
    frames_hz: float = Field(default=0.0, ge=0, le=100)
    levels_hz: float = Field(default=10.0, ge=0, le=100)
    heartbeat_s: float = Field(default=2.0, ge=0.5, le=60)


class Start(Message):
    type: Literal["start"]
    protocol: Literal[1] = 1
    audio: Audio
    source: Source = Source()
    detect: Detect = Detect()
    emit: Emit = Emit()


class Configure(Message):
    type: Literal["configure"]
    id: Id | None = None
    detect: Detect


class Flush(Message):
    type: Literal["flush"]
    id: Id | None = None


class Gap(Message):
    """The client lost this many samples (of each channel) between the audio before and after."""

    type: Literal["gap"]
    samples: int = Field(ge=1, le=2**40)
    reason: Reason = "unknown"


class Keepalive(Message):
    type: Literal["keepalive"]


class Ack(Message):
    type: Literal["ack"]
    seq: int = Field(ge=0)


class Stop(Message):
    type: Literal["stop"]


ClientMessage = Start | Configure | Flush | Gap | Keepalive | Ack | Stop
CLIENT: dict[str, type[ClientMessage]] = {
    "start": Start,
    "configure": Configure,
    "flush": Flush,
    "gap": Gap,
    "keepalive": Keepalive,
    "ack": Ack,
    "stop": Stop,
}

# the code for a mistake in this field; all others are `bad_message`
FIELD_CODES = {
    ("audio", "encoding"): Code.UNSUPPORTED_ENCODING,
    ("audio", "sample_rate"): Code.SAMPLE_RATE_OUT_OF_RANGE,
    ("audio", "channels"): Code.BAD_CHANNELS,
    ("audio", "channel_select"): Code.BAD_CHANNELS,
    ("detect", "thresholds"): Code.BAD_THRESHOLDS,
}


class Mistake(Message):
    """One field that cannot be used."""

    path: str
    code: Code
    message: str


class UnknownType(Exception):
    """A message of a type that this version does not know: ignored, with a warning."""


class Invalid(Exception):
    """A message of a known type with fields that cannot be used."""

    def __init__(self, kind: str, id: str | None, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes[0].message)
        self.kind = kind
        self.id = id
        self.mistakes = mistakes

    def refusal(self) -> Refusal:
        return Refusal(self.mistakes[0].code, "; ".join(mistake.message for mistake in self.mistakes[:5]))


def parse(text: str) -> ClientMessage:
    """Raises Refusal on what is no message at all, UnknownType, or Invalid naming each field that is wrong."""
    if len(text) > MAX_TEXT_BYTES:
        raise Refusal(Code.CHUNK_TOO_LARGE, f"a text message of {len(text)} characters: the limit is {MAX_TEXT_BYTES}")
    try:
        data = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(Code.BAD_JSON, f"{shown(text)} is not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise Refusal(Code.BAD_MESSAGE, f'{shown(text)} is not a JSON object with a "type"')
    model = CLIENT.get(data["type"])
    if model is None:
        raise UnknownType(f"type {shown(data['type'])} is not one of {', '.join(CLIENT)}: ignored")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        message_id = data.get("id")
        raise Invalid(
            data["type"], message_id if isinstance(message_id, str) else None, [_mistake(e) for e in error.errors()]
        ) from error


def _mistake(error: Any) -> Mistake:
    path = ".".join(str(part) for part in error["loc"])
    given = "is missing" if error["type"] == "missing" else f"is {shown(error['input'])}"
    return Mistake(
        path=path, code=FIELD_CODES.get(error["loc"][:2], Code.BAD_MESSAGE), message=f"{path} {given}: {error['msg']}"
    )


def shown(value: object) -> str:
    """A value from outside, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


# --- server to client ---


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


class EffectiveThresholds(Message):
    on: float
    off: float


class EffectiveDetect(Message):
    labels: list[str]
    thresholds: dict[str, EffectiveThresholds]
    min_on_ms: float
    min_off_ms: float


class Effective(Message):
    """The configuration in force, defaults filled in."""

    audio: Audio
    source: Source
    detect: EffectiveDetect
    emit: Emit


class Clock(Message):
    sample: int
    utc: str


class Started(Out):
    type: Literal["started"] = "started"
    effective: Effective
    model: ModelInfo
    hop_ms: float
    warmup_ms: float
    limits: Limits
    clock: Clock
    frame: FrameInfo | None  # None: frames_hz is 0


class EventBody(Message):
    """One decision about one label. The same `event_id` from onset to offset or retract."""

    type: Literal["event"] = "event"
    schema_version: Literal[1] = Field(default=1, serialization_alias="schema")
    event_id: str
    source: str
    label: str
    phase: Literal["onset", "offset", "retract"]
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


class Scores(Out):
    type: Literal["scores"] = "scores"
    sample: int
    top: list[tuple[str, float]]


class Level(Out):
    type: Literal["level"] = "level"
    sample: int
    rms_dbfs: float | None  # None: digital silence
    peak_dbfs: float | None
    clipped: int  # samples at full scale


class Heartbeat(Out):
    type: Literal["heartbeat"] = "heartbeat"
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
    where: Literal["client", "server"]
    reason: str


class SourceState(Out):
    type: Literal["source"] = "source"
    state: Literal["healthy", "silent", "stalled", "lost", "recovering", "failed"]
    detail: str
    retry_in_ms: int | None = None


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
    labels: list[LabelSummary] = []  # by seconds, the longest first


class Summary(Out, SummaryBody):
    type: Literal["summary"] = "summary"


ServerMessage = (
    Ready
    | Started
    | Event
    | Scores
    | Level
    | Heartbeat
    | GapNotice
    | SourceState
    | Warning_
    | Error
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
