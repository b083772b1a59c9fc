"""A session and its queues, without a socket: what a reader that takes nothing may cost."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.weights import Model
from server.errors import Close
from server.outbox import FULL_ABOVE
from server.sessions import Sessions
from server.settings import Settings

START = json.dumps({"type": "start", "audio": {"encoding": "pcm_s16le", "sample_rate": 16_000}})
FLUSHES = 3_000


class Nobody:
    """A connection that takes nothing."""

    takes = False

    def tell(self, text: str) -> None:
        raise AssertionError("it takes nothing")

    def seat(self, take: Callable[[bytes, float], bool] | None) -> None:
        """Everything goes to `came`."""

    def cut(self, close: Close, reason: str) -> None:
        raise AssertionError("nothing took it over")

    def flush(self) -> None:
        """Takes nothing."""

    def let_in(self) -> None:
        """Nothing was refused."""


def test_what_a_reader_does_not_take_holds_back_the_hearing_and_is_not_lost(toy: Model, toy_path: Path) -> None:
    async def test() -> None:
        with ThreadPoolExecutor(1) as pool:
            sessions = Sessions(toy, Settings(model=toy_path), pool)
            conversation = sessions.enter(Nobody())
            inbox, outbox = conversation.inbox, conversation.outbox
            assert inbox.offer(START, 0.0)
            for number in range(FLUSHES):
                assert inbox.offer(json.dumps({"type": "flush", "id": str(number)}), 0.0)
            while not outbox.full:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert outbox.bytes < 1_000_000
            assert len(inbox._items) > FLUSHES - FULL_ABOVE - 10  # waits unheard
            answered = []
            while len(answered) < FLUSHES:
                while (data := outbox.take()) is None:
                    await asyncio.sleep(0.01)
                assert isinstance(data, str)
                message = json.loads(data)
                if message["type"] == "flushed":
                    answered.append(message["id"])
            assert answered == [str(number) for number in range(FLUSHES)]
            inbox.close("stop")
            while conversation in sessions._running:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(test(), 30))
