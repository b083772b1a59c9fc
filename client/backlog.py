"""What a session was given to send, kept until the server has it: audio by its index, commands until their answer.

After a lost connection `since(sample)` says what to send again; audio that the server has already drops out by its
index, so sending too much does no harm. Knows the framed form of `docs/protocol.md`; nothing of sockets.
"""

import json
import struct
from collections import deque
from dataclasses import dataclass
from typing import Any

HEADER = struct.Struct("<BBBBIQ")  # magic, version, flags, zero, number of the chunk, index of the first sample
MAGIC, VERSION = 0xA5, 1
ANSWERS = {"configured": "configure", "configure_failed": "configure", "flushed": "flush", "summary": "stop"}


@dataclass(slots=True)
class Item:
    number: int
    data: str | bytes
    end: int | None  # of audio and gaps: the index after its last sample
    samples: int = 0  # of audio
    type: str = ""  # of a command that has an answer
    id: str | None = None


class Backlog:
    def __init__(self, frame_bytes: int, limit_samples: int) -> None:
        self.sample = 0  # index of the next sample
        self.dropped = 0  # samples that were given up because the limit was reached; the server tells them as a gap
        self._frame_bytes = frame_bytes
        self._limit = limit_samples
        self._items: deque[Item] = deque()
        self._samples = 0  # of audio in the items
        self._number = 0

    def audio(self, pcm: bytes) -> Item:
        header = HEADER.pack(MAGIC, VERSION, 0, 0, self._number & 0xFFFFFFFF, self.sample)
        samples = len(pcm) // self._frame_bytes
        self.sample += samples
        self._samples += samples
        return self._add(header + pcm, self.sample, samples=samples)

    def command(self, type: str, fields: dict[str, Any]) -> Item:
        if type == "gap":
            self.sample += int(fields["samples"])
            return self._add(_text(type, fields), self.sample)
        if type not in ANSWERS.values():
            return Item(-1, _text(type, fields), None)  # nothing is lost with it
        if type != "stop":
            fields = {"id": f"_{self._number}", **fields}
        return self._add(_text(type, fields), None, type=type, id=fields.get("id"))

    def heard(self, sample: int) -> None:
        """The server has heard everything before `sample`."""
        while self._items and (end := self._items[0].end) is not None and end <= sample:
            self._samples -= self._items.popleft().samples

    def answered(self, type: str, id: str | None) -> None:
        """A message of `type` came; if it answers a command, that is done."""
        for item in self._items:
            if item.type and item.type == ANSWERS.get(type) and (item.id == id or type == "summary"):
                self._items.remove(item)
                return

    @property
    def full(self) -> bool:
        return self._samples > self._limit

    def shorten(self) -> None:
        """Give up the oldest audio beyond the limit."""
        for item in [item for item in self._items if item.samples]:
            if not self.full:
                return
            self._items.remove(item)
            self._samples -= item.samples
            self.dropped += item.samples

    def begin_anew(self, sample: int) -> None:
        """A new session's clock begins at `sample` of the old one's; audio and gaps before it are gone."""
        kept: deque[Item] = deque()
        for item in self._items:
            if item.end is not None:
                item.end -= sample
                if item.end <= 0:
                    self._samples -= item.samples
                    continue
                if isinstance(item.data, bytes):
                    samples = min(item.samples, item.end)  # of a chunk that lies on both sides the later ones
                    header = HEADER.pack(MAGIC, VERSION, 0, 0, item.number & 0xFFFFFFFF, item.end - samples)
                    item.data = header + item.data[len(item.data) - samples * self._frame_bytes :]
                    self._samples -= item.samples - samples
                    item.samples = samples
            kept.append(item)
        self._items = kept
        self.sample -= sample

    @property
    def newest(self) -> int:
        """Number of the newest item."""
        return self._number - 1

    def since(self, sample: int) -> list[Item]:
        """All that is kept, but for audio and gaps that lie before `sample`."""
        return [item for item in self._items if item.end is None or item.end > sample]

    def after(self, number: int) -> list[Item]:
        """What was added after the item of this number."""
        return [item for item in self._items if item.number > number]

    def _add(self, data: str | bytes, end: int | None, **more: Any) -> Item:
        item = Item(self._number, data, end, **more)
        self._number += 1
        self._items.append(item)
        return item


def _text(type: str, fields: dict[str, Any]) -> str:
    return json.dumps({"type": type, **fields})
