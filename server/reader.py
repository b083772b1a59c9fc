"""What a source reads sound from: the interface between `source.py` and each way in (microphone, stream, file).

A way in is two small classes:

* an `Input` says what is to be read and how it is watched, and opens it, again and again. Only `open` does anything.
* a `Reader` is one opening: `opened` says what came of it, `read` gives the next block, `close` lets everything go.

`open` and `read` are awaited on the event loop and must not block it: work that blocks belongs into a process or a
thread of theirs. Either may be cancelled at any time; `open` then leaves nothing behind, and after `read` comes
`close`, once. Blocks may have any length (20 to 100 ms is good) and come as fast as they are read: a source asks for
the next one only while it hears the last. So a file that is read as fast as possible needs no pace, and what comes in
real time keeps a bounded queue of its own and tells what it dropped as the next block's `lost`.

What cannot be opened, or goes away, raises `ReadError`. The source then tells its state, waits and opens anew: nothing
here tries again by itself. Each opening may have another rate or form, for each is a session of its own; a reader whose
form changes in the middle raises with `retry="at_once"`.

Knows nothing of sessions, states or instruments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from server.ingest import Encoding

Kind = Literal["microphone", "stream", "file"]
Retry = Literal["later", "at_once", "never"]


class ReadError(Exception):
    """Why nothing can be read: a code for programs, a sentence for people (no secrets in it), when to try again."""

    def __init__(self, code: str, message: str, retry: Retry = "later") -> None:
        super().__init__(message)
        self.code = code
        self.retry: Retry = retry  # never: only a person can mend it


@dataclass(frozen=True)
class Opened:
    """What the opening turned out to be."""

    name: str  # for people and logs: "USB Audio (ALSA)"; no secrets
    sample_rate: int  # Hz, 8 000 to 192 000
    channels: int = 1  # interleaved; the mean of all is heard
    encoding: Encoding = "pcm_f32le"
    live: bool = True  # its sound has a time of day; False: a file that is heard as fast as it can be
    details: Mapping[str, Any] = field(default_factory=dict)  # told with the source: {"device": ..., "host_api": ...}


@dataclass(frozen=True)
class Block:
    """The next samples."""

    pcm: bytes  # of the opening's form, whole samples of all channels, at least one, up to 16 MiB
    lost: int = 0  # samples (of each channel) missing just before this block: told as a `gap`
    reason: str = "capture_overflow"  # why they are: a-z, 0-9 and _


@dataclass(frozen=True)
class Watch:
    """When a source is silent, stalled or lost, and how often it is opened anew."""

    stall_ms: int = 2_000  # without a sample: stalled, the open labels are closed
    give_up_s: float = 10.0  # without a sample: lost, opened anew
    silent_s: float = 10.0  # of sound that stays below the level: silent
    silent_dbfs: float = -90.0  # peak
    retry_s: tuple[float, ...] = (0.5, 1.0, 2.0)  # waits before the first, second, ... further try; the last one stays
    jitter: float = 0.0  # each wait is lengthened at random by up to this share, so that not all come back at once
    steady_s: float = 5.0  # an opening that lived so long starts the row again


class Reader(Protocol):
    opened: Opened

    async def read(self) -> Block | None:
        """The next block; None at the end of what has one (a file). Raises ReadError."""

    async def close(self) -> None:
        """Let everything go, within seconds; never raises for what is gone already."""


class Input(Protocol):
    @property
    def kind(self) -> Kind: ...

    @property
    def title(self) -> str:
        """What is to be opened, for people and logs: "the default microphone", "http://radio.example/live"."""

    @property
    def watch(self) -> Watch: ...

    async def open(self) -> Reader:
        """Raises ReadError, in bounded time."""
