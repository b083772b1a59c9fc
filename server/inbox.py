"""Messages of one session that wait for the engine: bounded, in order, with the time of arrival of each.

When full, `put` waits, the socket is not read, and TCP holds the sender back: nothing is dropped. Knows sizes and
order; nothing of what the messages mean.
"""

import asyncio
import time
from collections import deque

OVERHEAD_BYTES = 64  # what a message costs beside its content, so that many small ones are bounded too


class Inbox:
    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes  # one message always fits into an empty inbox
        self.audio_bytes = 0  # waiting, of binary messages
        self.closed: str | None = None  # why nothing more comes
        self._bytes = 0
        self._messages: deque[tuple[str | bytes, float]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, message: str | bytes) -> None:
        arrived = time.monotonic()
        size = len(message) + OVERHEAD_BYTES
        while self._messages and self._bytes + size > self.limit_bytes and self.closed is None:
            self._room.clear()
            await self._room.wait()
        if self.closed is not None:
            return
        self._messages.append((message, arrived))
        self._bytes += size
        if isinstance(message, bytes):
            self.audio_bytes += len(message)
        self._changed.set()

    def close(self, reason: str) -> None:
        """Nothing more will come; what waits is still given out. The first reason stays."""
        self.closed = self.closed or reason
        self._changed.set()
        self._room.set()

    async def get(self, timeout_s: float) -> tuple[str | bytes, float] | None:
        """The next message and its arrival, or None after `timeout_s` or when nothing more will come."""
        if not self._messages and self.closed is None:
            self._changed.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return None
        if not self._messages:
            return None
        message, arrived = self._messages.popleft()
        self._bytes -= len(message) + OVERHEAD_BYTES
        if isinstance(message, bytes):
            self.audio_bytes -= len(message)
        self._room.set()
        return message, arrived
