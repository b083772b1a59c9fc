"""A source's input that a test writes: what each opening gives, block by block."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model
from server.reader import Block, Kind, Opened, ReadError, Watch
from server.settings import Settings
from server.source import Source

Message = dict[str, Any]
FOREVER = object()  # in an opening: nothing more comes, and it does not end


@dataclass
class FakeReader:
    opened: Opened
    gives: Iterable[
        Any
    ]  # of each `read`: a Block, None, a ReadError that it raises, FOREVER, or what to wait for before the next
    closed: int = 0

    def __post_init__(self) -> None:
        self._gives = iter(self.gives)

    async def read(self) -> Block | None:
        await asyncio.sleep(0)
        given = next(self._gives)
        if isinstance(given, asyncio.Event):
            await given.wait()
            given = next(self._gives)
        if given is FOREVER:
            await asyncio.Event().wait()
        if isinstance(given, ReadError):
            raise given
        return given

    async def close(self) -> None:
        self.closed += 1


@dataclass
class FakeInput:
    """Each `open` takes the next of `openings`: a FakeReader, or a ReadError that it raises; then it waits for ever."""

    openings: list[Any]
    kind: Kind = "microphone"
    watch: Watch = field(default_factory=Watch)
    title: str = "the fake"

    def __post_init__(self) -> None:
        self.readers = [opening for opening in self.openings if isinstance(opening, FakeReader)]

    async def open(self) -> FakeReader:
        if not self.openings:
            await asyncio.Event().wait()
        opening = self.openings.pop(0)
        if isinstance(opening, ReadError):
            raise opening
        return opening


def blocks(samples: NDArray[np.float32], size: int = 320) -> list[Block]:
    return [Block(samples[at : at + size].astype("<f4").tobytes()) for at in range(0, len(samples), size)]


def run(model: Model, input: FakeInput, react: Callable[[Source, Message], None], **settings: Any) -> list[Message]:
    """What a source says until it ends by itself, or `react`, which sees every JSON message, stops it."""
    told: list[Message] = []

    async def main() -> None:
        def publish(out: Any) -> None:
            if not isinstance(out, bytes):
                told.append(out)
                react(source, out)

        source = Source("stage", model, Settings().limits, publish, input, **settings)
        async with asyncio.timeout(30):
            await source.run()

    asyncio.run(main())
    return told
