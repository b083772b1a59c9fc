"""What a client may say: every message typed, checked field by field, parsed from text. Performs no I/O.

Whether a label exists is the session's to know. Fields that this version does not know are ignored.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import from_json

from server.errors import Code, Refusal
from server.ingest import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, Encoding

MAX_TEXT_BYTES = 65_536

Score = Annotated[float, Field(gt=0, lt=1)]
Milliseconds = Annotated[float, Field(ge=0, le=60_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Id = Annotated[str, StringConstraints(max_length=64)]
Reason = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
OnOverload = Literal["block", "drop_oldest", "drop_newest", "error"]
WhichModel = Literal["main", "compare"]  # the service's own, or the second one that it may have beside it


class Message(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, json_schema_serialization_defaults_required=True)


class Audio(Message):
    """The form of the binary messages. There is no default rate."""

    encoding: Encoding
    sample_rate: int = Field(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)
    channels: int = Field(default=1, ge=1, le=MAX_CHANNELS)
    channel_select: int | None = Field(default=None, ge=0, lt=MAX_CHANNELS)  # None: the mean of all channels
    framing: Literal["raw", "framed"] = "raw"


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
    refractory_ms: Milliseconds | None = None


class Emit(Message):
    """How often the server tells what it hears, each second of audio; 0 is never."""

    scores_hz: float = Field(default=0.0, ge=0, le=100)
    frames_hz: float = Field(default=0.0, ge=0, le=100)
    levels_hz: float = Field(default=10.0, ge=0, le=100)
    heartbeat_s: float = Field(default=2.0, ge=0.5, le=60)
    updates_hz: float = Field(default=0.0, ge=0, le=100)  # of the open events' greatest score
    wave: bool = False  # frames have the extremes of their samples
    linear: bool = False  # frames have a linear spectrum beside the bands
    explain: bool = False  # `scores` say which labels were held back, and why


class Resume(Message):
    """Go on with a session whose connection was lost. Never logged: the token is a secret."""

    token: Annotated[str, StringConstraints(max_length=128)] = Field(repr=False)
    last_seq: int = Field(ge=-1, le=2**53)  # the last message that was read; -1: none


class Start(Message):
    type: Literal["start"]
    protocol: Literal[1] = 1
    audio: Audio
    model: WhichModel = "main"
    source: Source = Source()
    detect: Detect = Detect()
    emit: Emit = Emit()
    on_overload: OnOverload = "block"
    resume: Resume | None = None


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


def resuming(text: str) -> Start | None:
    """The `start` that asks to resume a session, if the message is one."""
    try:
        message = parse(text)
    except (Refusal, UnknownType, Invalid):  # a session will say what is wrong with it
        return None
    return message if isinstance(message, Start) and message.resume is not None else None


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
