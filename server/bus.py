"""What the server's own sources say, through Redis: every process with the same Redis hears all of it in one order.

A message waits here until Redis has numbered it, and is told to watchers when it comes back from there, which is how it
gets its place among those of the others. While Redis is away messages wait, up to a bound; what was sent twice, because
an answer was lost, is kept once. The newest messages stay in Redis, over restarts of everybody. Knows Redis Streams and
one script; nothing of what is in a message.
"""

import asyncio
import contextlib
import json
import logging
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from server.ulid import ulid

log = logging.getLogger("spiccato.bus")

NAME = "{spiccato}:bus"  # braces: one slot of a Redis cluster
KEPT = 10_000  # messages in Redis, about
SENT_S = 86_400  # after which Redis forgets how far a process had come
ALIVE_S = 30  # after which a process that says nothing is taken for dead
WAITING = 20_000  # messages
WAITING_BYTES = 33_554_432
BATCH = 200  # messages in one request
BLOCK_S = 2.0  # that a request for the next messages waits for one
ANSWER_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0  # between tries, a random half of it left out

# The number of a message is one more than that of the one before, whoever sent it. Numbers begin with the time in
# microseconds, so that those of a Redis that has forgotten everything are greater than all before.
SCRIPT = """
local stream, number, sent, alive = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local process, counter = ARGV[1], tonumber(ARGV[2])
local now = redis.call('TIME')
redis.call('ZADD', alive, now[1], process)
redis.call('ZREMRANGEBYSCORE', alive, '-inf', now[1] - ARGV[4])
if redis.call('EXISTS', number) == 0 then
  redis.call('SET', number, string.format('%.0f', now[1] * 1000000 + now[2]))
end
local had = tonumber(redis.call('GET', sent) or '0')
for at = 6, #ARGV, 3 do
  if counter > had then
    local lost, source, text = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
    local newest = redis.call('INCRBY', number, math.max(lost, 1))
    if lost > 0 then
      text = string.format('{"type": "lagged", "from_seq": %.0f, "to_seq": %.0f, "policy": "bus_full"}',
                           newest - lost + 1, newest)
    end
    redis.call('XADD', stream, 'MAXLEN', '~', ARGV[5], string.format('%.0f-0', newest),
               'process', process, 'source', source, 'text', text)
  end
  counter = counter + 1
end
redis.call('SET', sent, string.format('%.0f', counter - 1), 'EX', ARGV[3])
return redis.call('GET', number)
"""


class Heard(NamedTuple):
    """A message as it comes back."""

    number: int
    process: str  # who sent it
    source: str
    text: str  # JSON


class Listener(Protocol):
    """Who hears what comes; called on the event loop."""

    def begin(self, kept: list[Heard]) -> None:
        """What Redis had kept, the oldest first."""

    def heard(self, heard: Heard) -> None: ...

    def missed(self, from_number: int, to_number: int) -> None:
        """These were gone before they could be read."""

    def gone(self, alive: set[str]) -> None:
        """Of all processes only these live."""


@dataclass
class Waiting:
    source: str
    text: str
    lost: int = 0  # in place of a message: so many were dropped here


def check(url: str) -> None:
    """Raises ValueError where it cannot be read."""
    from redis.asyncio.connection import parse_url

    parse_url(url)


class Bus:
    """Needs the package redis. Raises ValueError where `url` cannot be read."""

    def __init__(self, url: str, listener: Listener, *, waiting: int = WAITING) -> None:
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        # a request that waits for the next message is longer under way than others
        times: dict[str, Any] = {"socket_timeout": BLOCK_S + ANSWER_S, "socket_connect_timeout": ANSWER_S}
        self._redis: Any = Redis.from_url(url, decode_responses=True, **times)  # its types say little
        self._script = self._redis.register_script(SCRIPT)
        self._passing = (RedisError, OSError, TimeoutError)  # troubles that may be over later
        self._listener = listener
        self._limit = waiting
        self.process = ulid(time.time())
        self.problem: str | None = "not yet connected"
        self.sent = self.dropped = 0  # messages
        self._problems: dict[str, str] = {"reading": self.problem}
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0  # of texts in the queue
        self._lost = 0  # dropped before the first in the queue, and not yet told
        self._sending: list[Waiting] = []  # one request's, until it was answered
        self._counter = 1  # of the first that is not known to be in Redis
        self._newest = 0  # number that the last answer told
        self._begun = False  # what Redis had kept was heard
        self._read = 0  # number of the last that was heard
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()  # something was sent or heard
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._waiting) + len(self._sending)

    def put(self, source: str, text: str) -> None:
        """Send it as soon as that can be. Returns at once; over the bound the oldest are dropped, which is told."""
        self._waiting.append(Waiting(source, text))
        self._bytes += len(text)
        while len(self._waiting) > self._limit or self._bytes > WAITING_BYTES:
            if self.dropped % self._limit == 0:  # not a line for each
                log.warning("bus: %d messages wait: the oldest are dropped", len(self._waiting))
            self._bytes -= len(self._waiting.popleft().text)
            self._lost += 1
            self.dropped += 1
        self._wake.set()

    def start(self) -> None:
        self._closed = False
        self._tasks = [asyncio.create_task(self._send_all()), asyncio.create_task(self._hear_all())]

    async def flush(self, seconds: float) -> None:
        """Until all that was put has come back, but no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.waiting or self._read < self._newest:
                    self._moved.clear()
                    await self._moved.wait()

    async def close(self) -> None:
        await self._end()
        if self.waiting:
            log.error("bus: %d messages were not sent and are lost", self.waiting)
        await self._redis.aclose()

    async def _end(self) -> None:
        self._closed = True  # redis-py may take a cancellation for a lost connection
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- to Redis ---

    async def _send_all(self) -> None:
        tries = 0
        while not self._closed:
            if not self.waiting:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ALIVE_S / 3):  # then it says that it lives
                        await self._wake.wait()
            if not self._sending:
                self._take()
            try:
                await self._send()
                tries = 0
            except Exception as error:
                tries += 1
                await self._trouble("sending", error, tries)

    def _take(self) -> None:
        """The next request's messages."""
        if self._lost:
            self._sending.append(Waiting("", "", self._lost))
            self._lost = 0
        while self._waiting and len(self._sending) < BATCH:
            taken = self._waiting.popleft()
            self._bytes -= len(taken.text)
            self._sending.append(taken)

    async def _send(self) -> None:
        keys = [NAME, f"{NAME}:number", f"{NAME}:sent:{self.process}", f"{NAME}:alive"]
        arguments: list[Any] = [self.process, self._counter, SENT_S, ALIVE_S, KEPT]
        for one in self._sending:
            arguments += [one.lost, one.source, one.text]
        async with asyncio.timeout(ANSWER_S):
            newest = await self._script(keys=keys, args=arguments)
        self._counter += len(self._sending)
        self.sent += sum(not one.lost for one in self._sending)
        if self._sending:
            self._newest = int(newest)
        self._sending = []
        self._moved.set()
        self._well("sending")

    # --- from Redis ---

    async def _hear_all(self) -> None:
        tries, asked_s = 0, time.monotonic()
        while not self._closed:
            try:
                if not self._begun:
                    kept = await self._redis.xrevrange(NAME, count=KEPT)
                    self._listener.begin([_heard(*entry) for entry in reversed(kept)])
                    self._read = _number(kept[0][0]) if kept else 0
                    self._begun = True
                found = await self._redis.xread({NAME: f"{self._read}-0"}, count=BATCH, block=round(BLOCK_S * 1000))
                self._well("reading")
                tries = 0
                for _, entries in found:
                    self._hear([_heard(*entry) for entry in entries])
                if time.monotonic() - asked_s > ALIVE_S:
                    await self._ask_who_lives()
                    asked_s = time.monotonic()
            except Exception as error:
                tries += 1
                asked_s = time.monotonic()  # while Redis was away nobody could say that he lives
                await self._trouble("reading", error, tries)

    def _hear(self, entries: list[Heard]) -> None:
        for entry in entries:
            first = json.loads(entry.text)["from_seq"] if not entry.source else entry.number  # dropped by its sender
            if self._read and first > self._read + 1:
                self._listener.missed(self._read + 1, first - 1)
            self._read = entry.number
            self._listener.heard(entry)
        self._moved.set()

    async def _ask_who_lives(self) -> None:
        alive = await self._redis.zrange(f"{NAME}:alive", 0, -1)
        self._listener.gone({*alive, self.process})

    # --- how it is ---

    async def _trouble(self, what: str, error: Exception, tries: int) -> None:
        if not isinstance(error, self._passing):
            log.error("bus: a fault of ours in %s", what, exc_info=error)
        self._problems[what] = str(error) or type(error).__name__
        problem = f"{what}: {self._problems[what]}"
        if self.problem is None or self.problem == "not yet connected":
            log.warning("bus: Redis is away, messages wait: %s", problem)
        self.problem = problem
        await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**tries) * random.uniform(0.5, 1))

    def _well(self, what: str) -> None:
        self._problems.pop(what, None)
        if self.problem is not None and not self._problems:
            self.problem = None
            log.info("bus: connected to Redis, waiting=%d", self.waiting)


def _heard(id: str, fields: dict[str, str]) -> Heard:
    return Heard(_number(id), fields["process"], fields["source"], fields["text"])


def _number(id: str) -> int:
    return int(id.partition("-")[0])
