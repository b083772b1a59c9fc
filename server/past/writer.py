"""What is to be kept, from the event loop to the database: a bounded queue, one thread, many rows a transaction.

`put` never waits. While the database is lost or the disk is full rows wait here and are tried again; over MAX_WAITING
the newest are dropped, counted and told. A row that the database itself refuses is dropped alone. Knows rows and
transactions; nothing of events.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Table, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from server.past import HistoryError
from server.past.database import Database, reason

log = logging.getLogger("spiccato.history")

MAX_WAITING = 20_000  # rows, some 30 MB: with one event a second, five hours
BATCH = 500  # rows in a transaction
COMMIT_S = 0.1  # rows that come within it share a transaction, and its sync of the disk
RETRY_S = (1.0, 2.0, 5.0, 10.0)
CHORES_S = 600.0
BROKEN = (OperationalError, InterfaceError)  # the database is at fault, not the row


@dataclass(frozen=True, slots=True)
class Write:
    """One row: new (and left as it is where it is there already), or, with `key`, changed where `key` is its name."""

    table: Table
    row: dict[str, Any]
    key: str | None = None


class Writer:
    """`chores` is called in the writing thread, when the database was opened and every CHORES_S."""

    def __init__(
        self,
        database: Database,
        chores: Callable[[Database], None] = lambda database: None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.database = database
        self.problem: str | None = None  # why nothing can be written now
        self.open = False  # the tables are there
        self.written = 0  # rows
        self.dropped = 0  # rows
        self._chores = chores
        self._max_waiting = max_waiting
        self._queue: deque[Write] = deque()
        self._changed = threading.Condition()
        self._hurry = self._closing = False
        self._give_up_at = float("inf")
        self._failures = 0  # in a row
        self._chores_at = 0.0
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def put(self, write: Write) -> None:
        with self._changed:
            if len(self._queue) >= self._max_waiting or self._closing:
                self.dropped += 1
                if self.dropped == 1:
                    log.error("history: %d rows wait, which is the limit: the next are dropped", len(self._queue))
                return
            self._queue.append(write)
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Write what waits, now. False where that was not done in time."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self.open and not self._queue, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, then end. What a lost database does not take in time is lost, and told."""
        with self._changed:
            self._closing = True
            self._give_up_at = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join(timeout_s + 1.0)
        if self._queue:
            self.dropped += len(self._queue)
            log.error("history: %d rows could not be written before the end: %s", len(self._queue), self.problem)
        if not self._thread.is_alive():
            self.database.close()

    def _run(self) -> None:
        while True:
            try:
                if not self.open:
                    self.database.prepare()
                    with self._changed:
                        self.open = True
                        self._changed.notify_all()
                    log.info("history %s", self.database.told)
                if time.monotonic() >= self._chores_at and not self._closing:
                    self._chores_at = time.monotonic() + CHORES_S  # also where they fail: rows come first
                    self._chores(self.database)
                if not self._once():
                    return
            except (SQLAlchemyError, OSError, HistoryError) as error:
                if not self._failed(error):
                    return
            except Exception as error:
                log.exception("history: a fault of ours")
                if not self._failed(error):
                    return

    def _once(self) -> bool:
        """Write a batch, as soon as there is one. False when no more will come."""
        with self._changed:
            until_chores = self._chores_at - time.monotonic()
            self._changed.wait_for(lambda: self._queue or self._closing, max(0.0, until_chores))
            self._changed.wait_for(lambda: len(self._queue) >= BATCH or self._closing or self._hurry, COMMIT_S)
            batch = [self._queue[i] for i in range(min(BATCH, len(self._queue)))]
            if not batch:
                self._hurry = False
                self._changed.notify_all()
                return not self._closing
        written = self._write(batch)
        with self._changed:
            for _ in batch:
                self._queue.popleft()
            self.written += written
            if self.problem is not None:
                log.warning("history: rows are written again, %d wait, %d were dropped", self.waiting, self.dropped)
                self.problem = None
            self._failures = 0
            self._changed.notify_all()
        return True

    def _write(self, batch: list[Write]) -> int:
        """How many of them are kept: all, but those that the database refuses for what they are."""
        try:
            with self.database.writing() as connection:
                _execute(connection, batch)
            return len(batch)
        except BROKEN:
            raise
        except (DBAPIError, ValueError) as error:
            if len(batch) == 1:
                self.dropped += 1
                log.error("history: a row of %s was refused and is lost: %s", batch[0].table.name, reason(error))
                return 0
            return sum(self._write([write]) for write in batch)

    def _failed(self, error: Exception) -> bool:
        """Wait before the next try. False where there is no time for one."""
        told, self.problem = self.problem, reason(error)
        if told is None:
            log.error("history %s cannot be used, rows wait: %s", self.database.told, self.problem)
        wait_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        with self._changed:
            if self._closing:
                wait_s = min(0.2, self._give_up_at - time.monotonic())
                if wait_s <= 0:
                    return False
                self._changed.wait(wait_s)
            else:
                self._changed.wait_for(lambda: self._closing or self._hurry, wait_s)
                self._hurry = False
        return True


def _execute(connection: Connection, batch: list[Write]) -> None:
    for (table, key), writes in groupby(batch, lambda write: (write.table, write.key)):
        rows = [write.row for write in writes]
        if key is None:
            connection.execute(_insert(connection, table), rows)
        else:
            for row in rows:
                changed = {name: value for name, value in row.items() if name != key}
                connection.execute(update(table).where(table.c[key] == row[key]).values(changed))


def _insert(connection: Connection, table: Table) -> Any:
    """A row whose commit was not answered is tried again: it may be there."""
    insert: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing()
