"""What an output is to those who run it: opened, given messages one by one, closed. Knows no queue and no rule."""

import asyncio
import math
from abc import ABC, abstractmethod
from typing import Any

Message = dict[str, Any]


class Lost(Exception):
    """The connection is gone, or cannot be had: to be opened anew, then the message again. Says why."""


class Retry(Exception):
    """The message was not taken: to be sent again, after `after_s` where the other side said so. Says why."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class Refused(Exception):
    """The message was not taken, and never will be. Says why."""


class Sender(ABC):
    """One connection to the outside. Called on the event loop; `open`, `send` and `close` one after the other."""

    attempts: float = math.inf  # at one message, before it is given up
    states = False  # it is given `source` messages too
    came_s = 0.0  # when the message that is sent came, by the loop's clock
    failed = 0  # of what was sent, what is known to have gone wrong later

    @property
    @abstractmethod
    def target(self) -> str:
        """Where it sends to, without secrets."""

    async def open(self) -> None:
        """Raises Lost."""
        return

    @abstractmethod
    async def send(self, source: str, message: Message) -> None:
        """One event that passed, or a `source` message. Raises Lost, Retry, Refused."""

    async def lost(self) -> None:
        """Raises Lost as soon as the connection is seen to be gone; never returns."""
        await asyncio.Event().wait()

    def passing(self, source: str, message: Message) -> None:
        """A message was put into the queue, and may be dropped from it yet. Returns at once."""
        return

    def scores(self, source: str, top: list[tuple[str, float]]) -> None:
        """The scores of labels of one of the server's own sources. Returns at once."""
        return

    def known(self, sources: list[str]) -> None:
        """The server's own sources that may pass, once they are known after a start. Returns at once."""
        return

    def dead(self, source: str, message: Message, why: str) -> None:
        """A message was given up."""
        return

    async def close(self) -> None:
        """Leave the other side in order, where there is one. May be called when it is closed already."""
        return
