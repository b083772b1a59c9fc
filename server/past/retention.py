"""What goes, and when: by age and by size, the oldest first; or because somebody deletes it. Knows rows and files.

An event that somebody corrected stays, and so does its clip, until somebody deletes it. Rows go first and files after:
a file without a row is swept later.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Select, delete, exists, func, select

from server.past.database import Database
from server.past.query import Filter
from server.past.tables import clips, corrections, events, gaps, sessions

log = logging.getLogger("spiccato.history")

BATCH = 1_000  # rows of a transaction, so that nobody waits long
DAY_MS = 86_400_000
LOW_WATER = 0.9  # of the limit: down to here, where it was passed
ORPHAN_S = 3_600.0  # a file this old whose row is not there will not get one

kept = exists().where(corrections.c.event_id == events.c.event_id)
kept_clip = exists().where(corrections.c.event_id == clips.c.event_id)


@dataclass(frozen=True)
class Limits:
    days: float
    bytes: int
    clip_days: float
    clip_bytes: int


class Retention:
    def __init__(self, limits: Limits, clip_path: Callable[[str], Path], clip_root: Path | None) -> None:
        self._limits = limits
        self._clip_path = clip_path
        self._clip_root = clip_root  # None: there are no clips
        self._swept = False

    def apply(self, database: Database, now_ms: int | None = None) -> None:
        now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        oldest = now - round(self._limits.days * DAY_MS)
        gone = self._events(database, select(events.c.event_id).where(events.c.onset_utc < oldest, ~kept))
        self._sessions(database, oldest)
        gone += self._too_large(database)
        if gone:
            log.info("history: %d old events were deleted", gone)
            database.give_back()
        if self._clip_root is not None:
            self._clips(database, now)

    def delete(self, database: Database, asked: Filter) -> int:
        """All that is asked for, corrected or not. How many events there were."""
        return self._events(database, select(events.c.event_id).where(*asked.where()))

    def forget(self, database: Database, event_id: str) -> None:
        """One event, with its clip and corrections."""
        self._some(database, select(events.c.event_id).where(events.c.event_id == event_id))

    def _events(self, database: Database, which: Select[tuple[str]]) -> int:
        gone = 0
        while found := self._some(database, which):
            gone += found
        return gone

    def _some(self, database: Database, which: Select[tuple[str]], most: int = BATCH) -> int:
        """At most `most` of these events, with all that belongs to them."""
        with database.writing() as connection:
            ids = list(connection.execute(which.limit(most)).scalars())
            with_clip = list(connection.execute(select(clips.c.event_id).where(clips.c.event_id.in_(ids))).scalars())
            for table in (corrections, clips, events):
                connection.execute(delete(table).where(table.c.event_id.in_(ids)))
        self._unlink(with_clip)
        return len(ids)

    def _sessions(self, database: Database, oldest: int) -> None:
        """Those that ended before, and of which no event is left."""
        used = exists().where(events.c.session == sessions.c.session)
        over = func.coalesce(sessions.c.ended_utc, sessions.c.started_utc) < oldest
        while True:
            with database.writing() as connection:
                ids = list(connection.execute(select(sessions.c.session).where(over, ~used).limit(BATCH)).scalars())
                for table in (gaps, sessions):
                    connection.execute(delete(table).where(table.c.session.in_(ids)))
            if not ids:
                return

    def _too_large(self, database: Database) -> int:
        gone = 0
        limit = self._limits.bytes
        while database.bytes() > (limit * LOW_WATER if gone else limit):
            found = self._some(database, select(events.c.event_id).where(~kept).order_by(events.c.onset_utc))
            if not found:
                log.warning("history: over the limit of %d bytes with corrected events alone, which stay", limit)
                break
            gone += found
        return gone

    def _clips(self, database: Database, now: int) -> None:
        oldest = now - round(self._limits.clip_days * DAY_MS)
        limit = self._limits.clip_bytes
        while True:
            with database.writing() as connection:
                rows = connection.execute(
                    select(clips.c.event_id, clips.c.bytes, clips.c.onset_utc)
                    .where(~kept_clip)
                    .order_by(clips.c.onset_utc, clips.c.event_id)
                    .limit(BATCH)
                ).all()
                total = int(connection.execute(select(func.coalesce(func.sum(clips.c.bytes), 0))).scalar_one())
                over, ids = total - limit, []
                for event_id, size, onset in rows:
                    if onset >= oldest and over <= 0:
                        break
                    ids.append(event_id)
                    over -= size
                connection.execute(delete(clips).where(clips.c.event_id.in_(ids)))
            self._unlink(ids)
            if len(ids) < BATCH:
                break
        if not self._swept:
            self._swept = True
            try:
                self._sweep(database)
            except OSError as error:
                log.warning("clips cannot be looked through: %s", error)

    def _sweep(self, database: Database) -> None:
        """Files whose row never came, because the service was killed between the two."""
        assert self._clip_root is not None
        old = time.time() - ORPHAN_S
        for folder in self._clip_root.iterdir() if self._clip_root.is_dir() else ():
            files = {path.stem: path for path in folder.glob("*.flac*") if path.stat().st_mtime < old}
            with database.reading() as connection:
                known = connection.execute(select(clips.c.event_id).where(clips.c.event_id.in_(files))).scalars()
                orphans = files.keys() - set(known)
            for name in orphans:
                files[name].unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()

    def _unlink(self, event_ids: Iterable[str]) -> None:
        for event_id in event_ids:
            try:
                self._clip_path(event_id).unlink(missing_ok=True)
            except OSError as error:
                log.warning("a clip cannot be deleted: %s", error)
