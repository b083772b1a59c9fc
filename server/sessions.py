"""Who is connected, and which sessions wait for a client that comes back: admission, tokens, limits, the end of all.

Knows conversations and connections; nothing of sound or sockets. A token is the session's public id and a secret;
the secret is compared in constant time and never logged.
"""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from engine.snapshot import SnapshotError
from engine.weights import Model
from server import commands as c
from server import protocol as p
from server.conversation import Connected, Conversation
from server.errors import Close, Code, Refusal
from server.failover import Failover, restored
from server.lane import Lane
from server.meter import Meters
from server.place import Place, answers
from server.session import Session, Witnessing
from server.settings import Settings

log = logging.getLogger("spiccato.live")


class Sessions:
    def __init__(
        self,
        model: Model,
        settings: Settings,
        executor: Executor,
        tell: Callable[[str, dict[str, Any]], None] = lambda source, message: None,
        witnessing: Witnessing | None = None,
        place: Place | None = None,  # among several workers
        compare: Model | None = None,  # a second model, for those who ask for it
        failover: Failover | None = None,  # other processes may go on with the sessions of this one
    ) -> None:
        self._model = model
        self._settings = settings
        self.meters = Meters()
        self._lane = Lane(model, settings.max_sessions + settings.max_detached, executor, self.meters.together)
        self._witnessing = witnessing
        self._place = place
        self._compare = compare
        self.failover = failover
        if failover is not None:
            failover.on_taken = self._taken
        self._tell = tell  # hears what the sessions say, telemetry left out
        self._connections: set[Connected] = set()
        self._kept: dict[str, Conversation] = {}  # by the session's id: those that go on, or whose end may be unread
        self._running: dict[Conversation, asyncio.Task[None]] = {}
        self._draining = False
        self._changed = asyncio.Event()  # a connection has gone, or a session has ended

    def tune(self, model: Model) -> None:
        """Sessions that begin from now on decide by this model's thresholds; it differs in nothing else."""
        self._model = model

    def __len__(self) -> int:
        """Connections."""
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """Sessions that wait for their client."""
        return sum(conversation.connection is None for conversation in self._running)

    @property
    def waiting_bytes(self) -> int:
        """Of sound that was not yet handed to the engine."""
        return self._lane.waiting_bytes + sum(conversation.inbox.audio_bytes for conversation in tuple(self._running))

    def admit(self) -> None:
        """Raises Refusal where there is no room for one more connection."""
        if self._draining:
            raise Refusal(Code.DRAINING, "the server is about to stop: try again in a few seconds")
        if len(self) >= (limit := self._settings.max_sessions):
            raise Refusal(Code.TOO_MANY_SESSIONS, f"{len(self)} sessions are open: the limit is {limit}")

    def enter(self, connection: Connected) -> Conversation:
        """A new session for a connection."""
        session_id = f"s_{secrets.token_hex(6)}"
        if self._place is not None:
            session_id = self._place.mark(session_id)
        secret = secrets.token_urlsafe(32)
        window_s = self._settings.resume_s
        resume = p.ResumeInfo(token=f"{session_id}.{secret}", window_s=window_s) if window_s else None
        conversation = self._conversation(session_id, secret, resume)
        conversation.attach(connection)
        self._connections.add(connection)
        self._run(conversation)
        return conversation

    def _conversation(self, session_id: str, secret: str, resume: p.ResumeInfo | None = None) -> Conversation:
        session = Session(
            self._model,
            self._settings.limits,
            session_id=session_id,
            pool=self._lane.choir,
            resume=resume,
            witnessing=self._witnessing,
            compare=self._compare,
            failover=self.failover is not None,
        )
        meter = self.meters.open()
        return Conversation(session, self._settings, self._lane, secret, meter, self._tell, self.failover)

    def _run(self, conversation: Conversation) -> None:
        self._kept[conversation.session.id] = conversation
        task = asyncio.create_task(conversation.run(), name=f"session {conversation.session.id}")
        self._running[conversation] = task
        task.add_done_callback(lambda task: self._ended(conversation, task))

    async def fetch(self, start: c.Start) -> None:
        """If the session that `start` names was another process's, or went on there, it is ours from now on.

        Raises Refusal where that cannot be asked, or the session cannot go on here.
        """
        assert self.failover is not None
        assert start.resume is not None
        id, _, secret = start.resume.token.partition(".")
        ours = self._kept.get(id)
        try:
            seen = await self.failover.look(id, secret)
        except Refusal:
            if ours is None:
                raise
            return
        if seen is None or (ours is not None and ours.owner == seen.owner):
            return
        restored(seen.state, start, self._model, self._compare)  # before it is taken from who has it
        if (claimed := await self.failover.claim(id, secret)) is None:
            return
        saved = restored(claimed.state, start, self._model, self._compare)
        if (ours := self._kept.get(id)) is not None:
            self._taken(ours)
        conversation = self._conversation(id, secret)
        try:
            conversation.session.restore(saved, claimed.snapshot, start.resume.last_seq)
        except SnapshotError as error:
            conversation.retire()
            raise Refusal(Code.RESUME_UNKNOWN, f"its state cannot be used here: {error}") from error
        conversation.go_on(claimed, saved)
        log.info("taken over session=%s owner=%d seq=%d", id, claimed.owner, saved.seq)
        if saved.closed is None:
            self._run(conversation)
        else:
            self.meters.close(conversation.meter)
            self._keep_ended(conversation)

    def _taken(self, conversation: Conversation) -> None:
        """Another process goes on with it."""
        self._leave_to_others(conversation, Close.TAKEN_OVER, "the session goes on over a newer connection")

    def _leave_to_others(self, conversation: Conversation, close: Close, reason: str) -> None:
        if self._kept.get(conversation.session.id) is conversation:
            del self._kept[conversation.session.id]
        if self.failover is not None:
            self.failover.remove(conversation, for_good=False)
        conversation.leave(close, reason)
        if (task := self._running.get(conversation)) is not None:
            task.cancel()

    def elsewhere(self, start: c.Start) -> Path | None:
        """The socket of the worker that has the session which `start` names, if it is another one."""
        assert start.resume is not None
        if self._place is None or (owner := self._place.owner(start.resume.token)) == self._place.number:
            return None
        other = self._place.socket_of(owner)
        return None if self.failover is not None and not answers(other) else other

    def give_up(self, conversation: Conversation) -> None:
        """A new session, of which its connection wants nothing."""
        conversation.detach()
        conversation.outbox.close()
        self._running[conversation].cancel()
        self._kept.pop(conversation.session.id, None)

    def resume(self, start: c.Start, instead: Conversation, connection: Connected) -> Conversation:
        """The waiting session that `start` names goes on over `connection`, whose new session `instead` is given up.

        Raises Refusal. A connection that the session still has is closed: the newer one wins.
        """
        assert start.resume is not None
        conversation = self._find(start.resume.token)
        if conversation.start is None or conversation.start.audio != start.audio:
            raise Refusal(Code.BAD_MESSAGE, "start.audio differs from that of the session to resume")
        conversation.outbox.check(start.resume.last_seq)
        if conversation.connection is not None:
            conversation.connection.cut(Close.TAKEN_OVER, "the session goes on over a newer connection")
        conversation.outbox.rewind(start.resume.last_seq)
        conversation.attach(connection)
        conversation.inbox.order(Session.resumed)
        self.give_up(instead)
        log.info(
            "resume session=%s over=%s last_seq=%d", conversation.session.id, instead.session.id, start.resume.last_seq
        )
        return conversation

    def leave(self, connection: Connected, conversation: Conversation, *, for_good: bool) -> None:
        """A connection is gone. Its session, if it still is its, waits for another one, or ends where that is vain."""
        self._connections.discard(connection)
        self._changed.set()
        if conversation.connection is connection:
            conversation.detach()
        if conversation.connection is not None or conversation.session.closed is not None:
            return
        if for_good or conversation.start is None or not self._settings.resume_s:
            conversation.inbox.close("disconnect")
        elif not self._has_room(conversation):
            log.warning("no room to wait session=%s", conversation.session.id)
            conversation.inbox.close("disconnect")
        else:
            log.info("detached session=%s window_s=%g", conversation.session.id, self._settings.resume_s)

    async def drain(self) -> None:
        """End every session, so that each sends its last events and its summary. First, let who can end by itself."""
        self._draining = True
        log.info("drain sessions=%d", len(self._running))
        deadline_ms = self._settings.drain_ms
        for conversation in tuple(self._running):
            if conversation.outlives:
                self._leave_to_others(conversation, Close.RESTART, "the server stops: another one goes on")
        for conversation in self._running:
            if conversation.connection is None or not deadline_ms:
                conversation.inbox.close("shutdown")
            else:
                conversation.inbox.order(lambda session: session.draining(deadline_ms))
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                await self._until_none()
        except TimeoutError:
            for conversation in self._running:
                conversation.inbox.close("shutdown")
        await self._until_none()

    async def _until_none(self) -> None:
        while self._running or self._connections:
            self._changed.clear()
            await self._changed.wait()

    def _find(self, token: str) -> Conversation:
        session_id, _, secret = token.partition(".")
        conversation = self._kept.get(session_id)
        if conversation is None or not hmac.compare_digest(secret.encode(), conversation.secret.encode()):
            raise Refusal(
                Code.RESUME_UNKNOWN,
                "no session waits for this token: it is not one of this server's, or its session has ended, "
                f"waited longer than {self._settings.resume_s:g} s, or found no room to wait",
            )
        return conversation

    def _has_room(self, conversation: Conversation) -> bool:
        """May one more session wait? Those that ended, of which only the last messages may be unread, go first."""
        most, most_bytes = self._settings.max_detached, self._settings.max_detached_bytes
        others = [kept for kept in self._kept.values() if kept is not conversation]
        waiting = [kept for kept in others if kept in self._running and kept.connection is None]
        ended = [kept for kept in others if kept not in self._running]
        count = len(waiting) + len(ended)
        taken = conversation.held_bytes + sum(kept.held_bytes for kept in (*waiting, *ended))
        for oldest in ended:
            if count < most and taken <= most_bytes:
                break
            del self._kept[oldest.session.id]
            count -= 1
            taken -= oldest.held_bytes
        return count < most and taken <= most_bytes

    def _ended(self, conversation: Conversation, task: asyncio.Task[None]) -> None:
        del self._running[conversation]
        self.meters.close(conversation.meter)
        self._changed.set()
        session = conversation.session
        if task.cancelled():  # its connection went on with another session
            return
        if (error := task.exception()) is not None:
            log.error("session %s ended by a fault of ours", session.id, exc_info=error)
        summary = session.summary()
        log.info(
            "disconnect session=%s code=%s reason=%s audio_ms=%.0f dropped_ms=%.0f events=%d wall_s=%.1f",
            session.id,
            session.closed,
            conversation.inbox.closed or "ended",
            summary.audio_ms,
            summary.dropped_ms,
            summary.events,
            summary.wall_s,
        )
        unwanted = conversation.inbox.closed == "disconnect" or conversation.start is None
        if self.failover is not None:
            self.failover.remove(conversation, for_good=unwanted)
        conversation.retire()
        if unwanted or not self._settings.resume_s or not self._has_room(conversation):
            self._kept.pop(session.id, None)
        else:  # the last messages may get lost with the connection
            self._keep_ended(conversation)

    def _keep_ended(self, conversation: Conversation) -> None:
        id = conversation.session.id
        self._kept[id] = conversation
        asyncio.get_running_loop().call_later(self._settings.resume_s, self._forget, conversation)

    def _forget(self, conversation: Conversation) -> None:
        if self._kept.get(conversation.session.id) is conversation:
            del self._kept[conversation.session.id]
