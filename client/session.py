"""One session over as many connections as it takes: what is sent, what comes, coming back. Knows the order of messages;
nothing of audio files, devices or terminals.
"""

import asyncio
import json
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from client.backlog import Backlog, Item
from client.dial import StreamError, why_closed

Message = dict[str, Any]
Dial = Callable[[], Awaitable[ClientConnection]]

LONGEST_WAIT_S = 10.0  # between two tries to come back
GOING_AWAY = 1001  # the close code of a server that stops
NOT_KEPT = "resume_unknown"  # why a session of a server that keeps none (its window is 0) cannot go on
GONE = frozenset({"resume_unknown", "resume_too_old"})  # what the server says of a session that cannot go on
FINAL_CLOSES = frozenset({1000, 4400, 4401, 4403, 4404, 4408, 4409, 4413, 4415, 4500})  # coming back would not help


class Stream:
    """One started session. `ready` and `started` are the server's messages; `summary` comes with its end."""

    def __init__(
        self, dial: Dial, start: Message, backlog: Backlog, *, waits: bool, first_wait_s: float, anew: bool = False
    ) -> None:
        self.ready: Message = {}
        self.started: Message = {}
        self.summary: Message | None = None
        self.reconnects = 0
        self._dial = dial
        self._start = start
        self._backlog = backlog
        self._waits = waits  # `send` waits rather than give up audio
        self._first_wait_s = first_wait_s
        self._anew = anew  # where a session is gone, begin another
        self._heard = 0  # all audio before it was heard and told
        self._stopped = False  # by `stop`
        self._unended: set[str] = set()  # events that have not ended
        self._socket: ClientConnection
        self._last_seq = -1
        self._receiving = asyncio.Lock()  # the iterator, `stop` and `send` may wait for messages at the same time
        self._unread: deque[Message | bytes] = deque()  # received by others, for the iterator
        self._returning: asyncio.Task[None] | None = None  # while there is no connection
        self._error: StreamError | None = None  # fatal: the server closes
        self._ended = False  # the server closed after its summary

    @property
    def connected(self) -> bool:
        """False while the connection is lost, and made again."""
        return self._returning is None

    async def send(self, pcm: bytes) -> None:
        """Send interleaved samples in the session's encoding. Waits when the server does not keep up."""
        await self._pass_on(self._backlog.audio(pcm))
        if self._backlog.full and not self._waits:
            self._backlog.shorten()
        while self._backlog.full and self._error is None and not self._ended:
            async with self._receiving:
                if self._backlog.full and (message := await self._receive()) is not None:
                    self._unread.append(message)

    async def command(self, type: str, **fields: Any) -> None:
        """Send a JSON message: configure, flush, gap, keepalive, ack."""
        await self._pass_on(self._backlog.command(type, fields))

    async def stop(self) -> Message:
        """End the stream; the server's `summary`. Messages that come before the end are left for the iterator."""
        self._stopped = True
        await self.command("stop")
        await self._to_the_end()
        assert self.summary is not None
        return self.summary

    async def __aiter__(self) -> AsyncIterator[Message | bytes]:
        """Every message up to the end: JSON ones as dicts, `frame` as bytes. Then StreamError if it was an error."""
        while True:
            async with self._receiving:
                message = self._unread.popleft() if self._unread else await self._receive()
            if message is None:
                return
            yield message

    async def _pass_on(self, item: Item) -> None:
        """Send what was just given. Without a connection it is sent by whoever makes one."""
        socket = self._socket
        if self._returning is None:
            try:
                await socket.send(item.data)
            except ConnectionClosed:
                if self._waits or not self._receiving.locked():  # else whoever receives is about to notice
                    async with self._receiving:
                        await self._notice(socket)
        if self._ended:
            raise StreamError("ended", "the server ended the session: nothing more can be sent")
        if self._returning is not None and (self._waits or self._returning.done()):
            await self._back()

    async def _notice(self, socket: ClientConnection) -> None:
        """Read what still came over a socket that was closed, up to the reason why."""
        while socket is self._socket and self._returning is None and not self._ended:
            if (message := await self._step()) is not None:
                self._unread.append(message)

    async def _receive(self) -> Message | bytes | None:
        """The next message, or None after the end. Only for whoever holds `_receiving`."""
        while not self._ended:
            if self._returning is not None:
                await self._back()
            if self._unread:
                return self._unread.popleft()
            if (message := await self._step()) is not None:
                return message
        return self._unread.popleft() if self._unread else None

    async def _step(self) -> Message | bytes | None:
        """The next message of this connection, or None after noticing its end."""
        socket = self._socket
        try:
            data = await socket.recv()
        except ConnectionClosed as error:
            if self._error is not None:
                raise self._error from error
            if self.summary is not None and not self._is_restarted(error):
                self._ended = True
            elif socket is self._socket:
                self._come_back(error)
            return None
        return self._taken(data) if socket is self._socket and self._returning is None else None

    @property
    def _outlives(self) -> bool:
        """The session does its service, which may have to hear again what was heard since it was saved."""
        return bool((self.started.get("resume") or {}).get("failover"))

    def _is_restarted(self, closed: ConnectionClosed) -> bool:
        """The server stops before the end of ours: another session may take this one's place when it is there again."""
        if not self._anew or closed.rcvd is None or closed.rcvd.code != GOING_AWAY:
            return False
        return not (self._stopped and not self._backlog.since(self._heard))

    def _taken(self, data: str | bytes) -> Message | bytes | None:
        """A message of the session, and what it means for us; None if it was read before."""
        if isinstance(data, bytes):
            return data
        message: Message = json.loads(data)
        if message["seq"] <= self._last_seq:
            return None
        self._last_seq = message["seq"]
        kind = message["type"]
        if kind == "error" and message["fatal"]:
            self._error = StreamError(message["code"], message["message"], retryable=message["retryable"])
        if kind == "summary":
            self.summary = message
            self._heard = round(message["audio_ms"] / 1000 * self._start["audio"]["sample_rate"])
        if kind in ("level", "heartbeat", "resumed"):
            sample: int = message["sample"]
            self._heard = sample if kind == "resumed" else max(self._heard, sample)
            if kind != "level" or not self._outlives:
                self._backlog.heard(sample)
        if kind == "event":
            (self._unended.discard if message["is_final"] else self._unended.add)(message["event_id"])
        if kind == "configured":
            self._start["detect"] = message["detect"]
        self._backlog.answered(kind, message.get("id"))
        return message

    # --- coming back ---

    def _come_back(self, closed: ConnectionClosed) -> None:
        """Begin to. Raises StreamError where it would be of no use."""
        resume = self.started.get("resume")
        code = closed.rcvd.code if closed.rcvd else 1006
        if (resume is None and not self._anew) or code in FINAL_CLOSES:
            raise why_closed(closed) from closed
        if self._returning is None:
            self._returning = asyncio.create_task(self._return(resume))

    async def _back(self) -> None:
        """Until the connection is there again. Raises StreamError if it will not be."""
        if self._returning is not None:
            await asyncio.shield(self._returning)

    async def _return(self, resume: Message | None) -> None:
        """Try until the session goes on, or its window is over. resume: None where the server keeps no session."""
        loop = asyncio.get_running_loop()
        window_s = math.inf if self._anew or resume is None else resume["window_s"]
        deadline = loop.time() + window_s
        attempt = 0
        gone = None if resume is not None else NOT_KEPT  # why the session cannot go on
        if self.summary is not None:
            gone = "shutdown"
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    if gone is None and resume is not None:
                        await self._resume(resume["token"])
                    else:
                        await self._begin_anew(gone or NOT_KEPT)
                break
            except StreamError as error:
                if self._anew and gone is None and error.code in GONE:
                    gone = error.code
                    continue
                if not error.retryable:
                    raise
            except ConnectionClosed as error:
                if error.rcvd is not None and error.rcvd.code in FINAL_CLOSES:
                    raise why_closed(error) from error
            except TimeoutError:
                pass  # so is the wait below
            wait_s = min(self._first_wait_s * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.5, 1)
            if loop.time() + wait_s > deadline:
                text = f"the connection was lost and could not be made again in {window_s:g} s"
                raise StreamError("connection_lost", text, retryable=True)
            attempt += 1
            await asyncio.sleep(wait_s)
        self.reconnects += 1
        self._returning = None

    async def _resume(self, token: str) -> None:
        """One try: connect, read what was missed, send what was not heard."""
        await self._socket.close()
        self._socket = await self._dial()
        resume = {"token": token, "last_seq": self._last_seq}
        await self._socket.send(json.dumps({"type": "start", **self._start, "resume": resume}))
        while True:
            try:
                data = await self._socket.recv()
            except ConnectionClosed:
                if self.summary is not None:  # it had ended, and that was the rest
                    return
                raise
            if isinstance(data, str) and (other := json.loads(data))["session"] != self.started["session"]:
                if other["type"] == "error":
                    raise StreamError(other["code"], other["message"], retryable=other["retryable"])
                continue  # `ready` of a session that is given up for ours
            if (message := self._taken(data)) is not None:
                self._unread.append(message)
                if isinstance(message, dict) and message["type"] == "resumed":
                    break
        await self._send_again(message["sample"])

    async def _begin_anew(self, reason: str) -> None:
        """One try: another session, which is told first; then what the old one had not heard."""
        await self._socket.close()
        self._socket = await self._dial()
        ready = json.loads(await self._socket.recv())
        await self._socket.send(json.dumps({"type": "start", **self._start}))
        started = json.loads(await self._socket.recv())
        if started["type"] == "error":
            raise StreamError(started["code"], started["message"], retryable=started["retryable"])
        told = {"type": "anew", "session": self.started["session"], "reason": reason}
        self._unread.append({**told, "sample": self._heard, "open": sorted(self._unended)})
        self._unread.append(started)
        if self._stopped and self.summary is not None:  # which was not the answer to our `stop`
            self._backlog.command("stop", {})
        self.summary = None
        self._backlog.begin_anew(self._heard)
        self.ready, self.started = ready, started
        self._last_seq, self._heard = started["seq"], 0
        self._unended.clear()
        await self._send_again(0)

    async def _send_again(self, sample: int) -> None:
        again, last = self._backlog.since(sample), self._backlog.newest
        while again:
            for item in again:
                await self._socket.send(item.data)
            again, last = self._backlog.after(last), self._backlog.newest  # given in the meantime

    async def _to_the_end(self) -> None:
        """Receive until the server has closed; what comes is kept for the iterator."""
        while not self._ended:
            async with self._receiving:
                if self._returning is not None:
                    await self._back()
                elif not self._ended and (message := await self._step()) is not None:
                    self._unread.append(message)

    # --- the first connection ---

    async def _open(self, socket: ClientConnection) -> None:
        self._socket = socket
        try:
            self.ready = json.loads(await socket.recv())
            await socket.send(json.dumps({"type": "start", **self._start}))
        except ConnectionClosed as error:
            raise why_closed(error) from error
        while (message := await self._step()) is not None:
            if isinstance(message, dict) and message["type"] == "started":
                self.started = message
                return
            if self._error is None:
                break
        raise StreamError("bad_message", "the server sent something else where 'started' was expected")

    async def _close(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)  # what it ended with is not asked any more
        await self._socket.close()
