"""A history copied whole into another database: a backup while the service runs, or a move to or from PostgreSQL.

What is read is one moment's view. Knows tables; nothing of what is in them.
"""

from sqlalchemy import func, insert, select, text

from server.past import HistoryError
from server.past.database import Database
from server.past.tables import events, metadata

BATCH = 1_000


def copy(source: Database, target: Database) -> int:
    """How many events were copied. Raises HistoryError where `target` holds some, SQLAlchemyError, OSError."""
    target.prepare()
    copied = 0
    with source.reading() as taken, target.writing() as given:
        if given.execute(select(func.count()).select_from(events)).scalar_one():
            raise HistoryError(f"{target.told} has a history already: name a new file or an empty database")
        if not source.is_sqlite:
            taken.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        for table in metadata.sorted_tables:
            rows = taken.execution_options(yield_per=BATCH).execute(select(table)).mappings()
            for batch in rows.partitions(BATCH):
                given.execute(insert(table), [dict(row) for row in batch])
                copied += len(batch) if table is events else 0
            if not target.is_sqlite and "id" in table.c:
                sequence = func.pg_get_serial_sequence(table.name, "id")
                given.execute(select(func.setval(sequence, func.coalesce(func.max(table.c.id), 0) + 1, False)))
    return copied
