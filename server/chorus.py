"""What waits in many sessions, heard together: one call of the engine for a chunk of each. Knows sessions and the pool.

The long way, for all that is not usual (`unison.py`): item after item of each session, as it came; a chunk of audio of
a session in the pool is heard with those of the others. The same bits as each session alone. For one thread at a time.
"""

import logging
import time
from collections.abc import Sequence

import numpy as np

from engine.events import Event
from server.choir import Choir
from server.errors import Code, Refusal
from server.inbox import Dropped, Item
from server.session import Out, Session
from server.stream import HEAVY, Piece
from server.unison import Spoken

log = logging.getLogger("spiccato.live")

Items = Sequence[tuple[Item, float]]  # with their arrivals


def hear(choir: Choir, batch: Sequence[tuple[Session, Items]]) -> list[list[Out]]:
    """What each session says to its items."""
    outs: list[list[Out]] = [[] for _ in batch]
    for turn in range(max((len(items) for _, items in batch), default=0)):
        began = time.perf_counter()
        pieces: list[tuple[int, Session, Piece]] = []
        for i, (session, items) in enumerate(batch):
            if turn >= len(items):
                continue
            item, arrived = items[turn]
            if isinstance(item, bytes) and session.pooled is not None and not _heavy(session, item):
                said, piece = _begun(session, item, arrived)
                outs[i] += said
                if piece is not None:
                    pieces.append((i, session, piece))
            else:
                outs[i] += said_to(session, item, arrived)
        if pieces:
            _together(choir, pieces, outs)
            share_s = (time.perf_counter() - began) / len(pieces)
            for _, session, _ in pieces:
                if session.stream is not None:
                    session.stream.busy(share_s)
    return outs


def said_to(session: Session, item: Item, arrived: float) -> list[Out]:
    """What the session says to one item. A fault of ours ends this session and no other."""
    try:
        if isinstance(item, bytes):
            return session.audio(item, arrived)
        if isinstance(item, str):
            return session.text(item)
        return session.lost(item.what) if isinstance(item, Dropped) else item(session)
    except Exception:
        return failed(session)


def said_after(session: Session, spoken: Spoken, fault: Exception | None) -> list[Out]:
    """What the session says after usual chunks, unless hearing them failed."""
    try:
        if fault is not None:
            raise fault
        return session.heard(spoken)
    except Exception:
        return failed(session)


def failed(session: Session) -> list[Out]:
    """A fault of ours ends this session and no other. To be called where it is handled."""
    log.exception("failed session=%s", session.id)
    return session.fail(Refusal(Code.INTERNAL, "the server failed on this message; the log says why"))


def _heavy(session: Session, item: bytes) -> bool:
    if len(item) > HEAVY:
        assert session.stream is not None
        session.stream.leave_pool()
        return True
    return False


def _begun(session: Session, data: bytes, arrived: float) -> tuple[list[Out], Piece | None]:
    try:
        return session.begin(data, arrived)
    except Exception:
        return failed(session), None


def _together(choir: Choir, pieces: list[tuple[int, Session, Piece]], outs: list[list[Out]]) -> None:
    """Hear one piece of each of these sessions, and let each say what it has to."""
    decided: dict[int, list[Event]] = {}  # stream in the pool to what was decided
    try:
        ends = np.cumsum([len(piece.heard) for _, _, piece in pieces])
        samples = np.concatenate([piece.heard for _, _, piece in pieces])
        streams = np.array([session.pooled for _, session, _ in pieces], np.int64)
        for stream, event in choir.feed_rows(streams, ends, samples):
            decided.setdefault(stream, []).append(event)
    except Exception:
        for i, session, _ in pieces:
            outs[i] += failed(session)
        return
    for stream, (i, session, piece) in zip(streams.tolist(), pieces, strict=True):
        try:
            outs[i] += session.finish(piece, decided.get(stream, []))
        except Exception:
            outs[i] += failed(session)
