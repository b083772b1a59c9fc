"""What waits in many sessions, heard together: one call of the engine for a chunk of each. Knows sessions and the pool.

Item after item of each session, as it came; a chunk of audio of a session in the pool is heard with those of the
others. The same bits as each session alone. For one thread at a time.
"""

import logging
import time
from collections.abc import Sequence

import numpy as np

from engine.events import Event
from engine.pool import Pool
from server.errors import Code, Refusal
from server.inbox import Dropped, Item
from server.ingest import read_s16
from server.level import measured
from server.session import Out, Session
from server.stream import Measured, Piece

log = logging.getLogger("spiccato.live")

HEAVY = 65_536  # bytes: who sends such chunks is heard alone from then on, so that nobody waits for them

Items = Sequence[tuple[Item, float]]  # with their arrivals


def hear(pool: Pool, batch: Sequence[tuple[Session, Items]]) -> list[list[Out]]:
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
            _together(pool, pieces, outs)
            share_s = (time.perf_counter() - began) / len(pieces)
            for _, session, piece in pieces:
                if session.stream is not None:
                    session.stream.busy(share_s, piece.count)
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
        return _failed(session)


def _failed(session: Session) -> list[Out]:
    log.exception("failed session=%s", session.id)
    return session.fail(Refusal(Code.INTERNAL, "the server failed on this message; the log says why"))


def _heavy(session: Session, item: bytes) -> bool:
    if len(item) > HEAVY:
        assert session.stream is not None
        session.stream.hearing.leave_pool()
        return True
    return False


def _begun(session: Session, data: bytes, arrived: float) -> tuple[list[Out], Piece | None]:
    try:
        return session.begin(data, arrived)
    except Exception:
        return _failed(session), None


def _together(pool: Pool, pieces: list[tuple[int, Session, Piece]], outs: list[list[Out]]) -> None:
    """Hear one piece of each of these sessions, and let each say what it has to."""
    levels: dict[int, Measured] = {}  # of the pieces of bytes
    decided: dict[int, list[Event]] = {}  # stream in the pool to what was decided
    try:
        plain = [piece.pcm for _, _, piece in pieces if piece.pcm is not None]
        heard = []
        if plain:
            ends = np.cumsum([len(pcm) // 2 for pcm in plain])
            samples = read_s16(b"".join(plain))
            heard = np.split(samples, ends[:-1])
            power, peak = measured(samples, ends)
            levels = dict(enumerate(zip(heard, power, peak, strict=True)))
        if len(plain) < len(pieces):
            of_bytes = iter(heard)
            heard = [next(of_bytes) if piece.heard is None else piece.heard for _, _, piece in pieces]
            ends = np.cumsum([len(one) for one in heard])
            samples = np.concatenate(heard)
        streams = np.array([session.pooled for _, session, _ in pieces], np.int64)
        for stream, event in pool.feed_rows(streams, ends, samples):
            decided.setdefault(stream, []).append(event)
    except Exception:
        for i, session, _ in pieces:
            outs[i] += _failed(session)
        return
    number = 0
    for stream, (i, session, piece) in zip(streams.tolist(), pieces, strict=True):
        level = None
        if piece.pcm is not None:
            level = levels[number]
            number += 1
        try:
            outs[i] += session.finish(piece, decided.get(stream, []), level)
        except Exception:
            outs[i] += _failed(session)
