"""Streams and files as a source's input: the parent's side of `pull.py`. Knows what the decoding process tells and how
a stream is watched; nothing of FFmpeg (which this process leaves alone here), sessions or instruments.
"""

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from server import capture
from server.child import Child
from server.reach import Reach, shown
from server.reader import Block, Kind, Opened, ReadError, Watch

OPEN_TIMEOUT_S = 25.0  # until something can be heard; the process has shorter ones of its own
NEVER = frozenset({"stream_not_allowed"})  # errors that trying again would not mend
RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
STREAM = Watch(stall_ms=2_000, give_up_s=15.0, silent_s=15.0, silent_dbfs=-70.0, retry_s=RETRY_S, jitter=0.5)
FILE = Watch(stall_ms=2_000, give_up_s=15.0, retry_s=RETRY_S, jitter=0.5)


@dataclass(frozen=True)
class StreamInput:
    """What comes over the network from `url`."""

    url: str  # may hold a password: told by nobody
    reach: Reach
    channel: int | None = None  # from 0; None: the mean of all
    kind: ClassVar[Kind] = "stream"
    watch: ClassVar[Watch] = STREAM

    @property
    def title(self) -> str:
        return shown(self.url)

    async def open(self) -> "Pulled":
        asked = {"url": self.url, **asdict(self.reach), "channel": self.channel}
        return await Pulled.open(asked, self.title)


@dataclass(frozen=True)
class FileInput:
    """A sound file of this machine."""

    path: Path
    channel: int | None = None
    paced: bool = True  # at the pace of its samples; or as fast as it is heard
    loop: bool = False  # over and over
    kind: ClassVar[Kind] = "file"
    watch: ClassVar[Watch] = FILE

    @property
    def title(self) -> str:
        return self.path.name

    async def open(self) -> "Pulled":
        asked = {"path": str(self.path.absolute()), "channel": self.channel, "paced": self.paced, "loop": self.loop}
        return await Pulled.open(asked, self.title, live=self.paced)


class Pulled:
    """One decoding process."""

    def __init__(self, child: Child, title: str, told: dict[str, Any], live: bool) -> None:
        # `details` of an opening are told with the source: the radio's title and form as they are now
        self._details = {name: told[name] for name in ("format", "codec", "channels", "station")}
        self._details |= {"source_rate": told["sample_rate"], "title": ""}
        form = f"{told['station'] or title} ({told['format']}, {told['codec']})"
        self.opened = Opened(name=form, sample_rate=told["sample_rate"], live=live, details=self._details)
        self._title = title
        self._child = child
        self._expected = 0  # index of the sample that would follow without loss

    @classmethod
    async def open(cls, asked: dict[str, Any], title: str, *, live: bool = True) -> Self:
        """Start a decoding process with this request. Raises ReadError."""
        request = json.dumps(asked).encode() + b"\n"
        child = await Child.start("server.pull", does="decoding", never=NEVER, request=request)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                return cls(child, title, await child.news(), live)
        except TimeoutError as error:
            await child.close()
            text = f"{title} gave no sound within {OPEN_TIMEOUT_S:.0f} s"
            raise ReadError("stream_stalled", text) from error
        except ReadError as error:
            await child.close()
            raise _titled(title, error) from error
        except BaseException:
            await child.close()
            raise

    async def read(self) -> Block | None:
        """The next samples; None at the end of what has one. Raises ReadError."""
        try:
            return await self._block()
        except ReadError as error:
            raise _titled(self._title, error) from error

    async def _block(self) -> Block | None:
        while True:
            flags, index, payload = await self._child.record()
            if not flags & capture.JSON:
                lost = index - self._expected
                self._expected = index + len(payload) // 4
                return Block(payload, lost, "network_loss")
            told = self._child.told(payload)
            if told["type"] == "ended":
                return None
            if told["type"] == "title":
                self._details["title"] = told["title"]
            elif told["type"] == "changed":
                self._details |= {"source_rate": told["sample_rate"], "channels": told["channels"]}

    async def close(self) -> None:
        await self._child.close()


def _titled(title: str, error: ReadError) -> ReadError:
    return ReadError(error.code, f"{title}: {error}", error.retry)
