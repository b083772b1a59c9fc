"""What can be wrong, by name: each error code with its close code, its HTTP status and what to do about it.

Knows the codes; nothing of sockets. `Refusal` is the one exception that means "the caller's fault, told to the caller".
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Close(IntEnum):
    """WebSocket close codes that the server sends."""

    DONE = 1000  # after `summary`
    SHUTDOWN = 1001  # the server stops
    TOO_LARGE = 1009  # one message over the limit
    RESTART = 1012  # the server stops, and another one goes on with the session
    TRY_AGAIN = 1013  # no session: there is no room, or not yet
    BAD_MESSAGE = 4400  # message, configuration or audio that cannot be used
    RESUME_GONE = 4404  # nothing to resume: unknown, over, or the replay no longer reaches back
    IDLE = 4408  # nothing came for too long
    TAKEN_OVER = 4409  # the session goes on over a newer connection
    OVER_LIMIT = 4413  # more audio than the session may have waiting
    ENCODING = 4415  # encoding not supported
    READER_TOO_SLOW = 4431  # takes nothing for too long, or misses events
    INTERNAL = 4500  # our own fault


class Code(StrEnum):
    """Error codes, the same in WebSocket `error` messages and REST error bodies."""

    BAD_JSON = "bad_json"
    BAD_MESSAGE = "bad_message"
    BAD_CONFIG = "bad_config"
    UNKNOWN_MESSAGE_TYPE = "unknown_message_type"
    ALREADY_STARTED = "already_started"
    AUDIO_BEFORE_START = "audio_before_start"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    SAMPLE_RATE_OUT_OF_RANGE = "sample_rate_out_of_range"
    BAD_CHANNELS = "bad_channels"
    UNKNOWN_LABEL = "unknown_label"
    BAD_THRESHOLDS = "bad_thresholds"
    EMPTY_CHUNK = "empty_chunk"
    BAD_FRAMING = "bad_framing"
    PARTIAL_SAMPLE = "partial_sample"
    NON_FINITE_SAMPLE = "non_finite_sample"
    SAMPLE_OUT_OF_RANGE = "sample_out_of_range"
    CHUNK_TOO_LARGE = "chunk_too_large"
    IDLE = "idle"
    OVERLOADED = "overloaded"
    RESUME_UNKNOWN = "resume_unknown"
    RESUME_TOO_OLD = "resume_too_old"
    STORE_AWAY = "store_away"
    RATE_MISMATCH = "rate_mismatch"
    TOO_MANY_SESSIONS = "too_many_sessions"
    TOO_MANY_UPLOADS = "too_many_uploads"
    TOO_MANY_SOURCES = "too_many_sources"
    SOURCE_EXISTS = "source_exists"
    UNKNOWN_SOURCE = "unknown_source"
    UNKNOWN_NEURON = "unknown_neuron"
    UNKNOWN_MODEL = "unknown_model"
    STARTING = "starting"
    DRAINING = "draining"
    FOREIGN_ORIGIN = "foreign_origin"
    FOREIGN_HOST = "foreign_host"
    NOT_AUTHENTICATED = "not_authenticated"
    NOT_ALLOWED = "not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    NOT_FOUND = "not_found"
    BAD_METHOD = "bad_method"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    UPLOAD_TOO_LARGE = "upload_too_large"
    UPLOAD_TIMEOUT = "upload_timeout"
    NO_FILE = "no_file"
    EMPTY_FILE = "empty_file"
    UNDECODABLE = "undecodable"
    NO_AUDIO = "no_audio"
    TRUNCATED = "truncated"
    TOO_MANY_CHANNELS = "too_many_channels"
    AUDIO_TOO_LONG = "audio_too_long"
    DECODE_TIMEOUT = "decode_timeout"
    HISTORY_OFF = "history_off"
    HISTORY_LOST = "history_lost"
    UNKNOWN_EVENT = "unknown_event"
    NO_CLIP = "no_clip"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Handling:
    """How an error code ends what it belongs to."""

    close: Close = Close.BAD_MESSAGE
    http: int = 400
    retryable: bool = False  # the same again may succeed later


HANDLING: dict[Code, Handling] = {
    Code.UNSUPPORTED_ENCODING: Handling(close=Close.ENCODING),
    Code.CHUNK_TOO_LARGE: Handling(close=Close.TOO_LARGE),
    Code.IDLE: Handling(close=Close.IDLE, retryable=True),
    Code.OVERLOADED: Handling(close=Close.OVER_LIMIT, retryable=True),
    Code.RESUME_UNKNOWN: Handling(close=Close.RESUME_GONE),
    Code.RESUME_TOO_OLD: Handling(close=Close.RESUME_GONE),
    Code.STORE_AWAY: Handling(close=Close.TRY_AGAIN, retryable=True),
    Code.TOO_MANY_SESSIONS: Handling(http=503, retryable=True),
    Code.TOO_MANY_UPLOADS: Handling(http=503, retryable=True),
    Code.TOO_MANY_SOURCES: Handling(http=409),
    Code.SOURCE_EXISTS: Handling(http=409),
    Code.BAD_CONFIG: Handling(http=422),
    Code.UNKNOWN_SOURCE: Handling(http=404),
    Code.UNKNOWN_NEURON: Handling(http=404),
    Code.UNKNOWN_MODEL: Handling(http=404),
    Code.STARTING: Handling(http=503, retryable=True),
    Code.DRAINING: Handling(http=503, retryable=True),
    Code.FOREIGN_ORIGIN: Handling(http=403),
    Code.FOREIGN_HOST: Handling(http=421),
    Code.NOT_AUTHENTICATED: Handling(http=401),
    Code.NOT_ALLOWED: Handling(http=403),
    Code.NOT_ACCEPTABLE: Handling(http=406),
    Code.NOT_FOUND: Handling(http=404),
    Code.BAD_METHOD: Handling(http=405),
    Code.TOO_MANY_ATTEMPTS: Handling(http=429, retryable=True),
    Code.UPLOAD_TOO_LARGE: Handling(http=413),
    Code.UPLOAD_TIMEOUT: Handling(http=408, retryable=True),
    Code.EMPTY_FILE: Handling(http=422),
    Code.UNDECODABLE: Handling(http=415),
    Code.NO_AUDIO: Handling(http=422),
    Code.TRUNCATED: Handling(http=422),
    Code.TOO_MANY_CHANNELS: Handling(http=422),
    Code.SAMPLE_RATE_OUT_OF_RANGE: Handling(http=422),
    Code.NON_FINITE_SAMPLE: Handling(http=422),
    Code.SAMPLE_OUT_OF_RANGE: Handling(http=422),
    Code.AUDIO_TOO_LONG: Handling(http=413),
    Code.DECODE_TIMEOUT: Handling(http=422),
    Code.HISTORY_OFF: Handling(http=404),
    Code.HISTORY_LOST: Handling(http=503, retryable=True),
    Code.UNKNOWN_EVENT: Handling(http=404),
    Code.NO_CLIP: Handling(http=404),
    Code.INTERNAL: Handling(close=Close.INTERNAL, http=500, retryable=True),
}


class Refusal(Exception):
    """Something from outside cannot be used; `message` names the value and the limit."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def handling(self) -> Handling:
        return HANDLING.get(self.code, Handling())

    def body(self) -> dict[str, dict[str, object]]:
        """The REST error body."""
        return {"error": {"code": self.code, "message": self.message, "retryable": self.handling.retryable}}
