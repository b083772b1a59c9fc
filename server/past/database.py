"""The database of the history: SQLite or PostgreSQL by URL, opened, brought to the form of `tables.py`, measured.

SQLite writes ahead and syncs each commit (WAL, synchronous FULL): what was committed survives the death of the process
and of the machine. Knows connections; nothing of what is kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, StatementError

from server.past import HistoryError
from server.past.tables import REVISION, events

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 10.0  # that a transaction waits for another process's
CONNECT_S = 5  # that reaching PostgreSQL may take
STATEMENT_MS = 60_000
EVENT_BYTES = 400  # in PostgreSQL, indexes included: its files do not shrink by deleting, so they tell nothing
LOCK = 7_305_112  # PostgreSQL: one server at a time brings the tables into form


def address(asked: str, default: Path) -> URL:
    """`asked`: a URL, a path, or nothing for the file `default`. Raises HistoryError."""
    if "://" not in asked:
        path = Path(asked).expanduser() if asked else default
        return URL.create("sqlite", database=str(path.absolute()))
    try:
        url = make_url(asked)
    except (ArgumentError, ValueError) as error:
        raise HistoryError("history: the URL cannot be read; write postgresql://user:password@host/name") from error
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg") or not url.database:
        raise HistoryError(f"history={shown(url)}: there are postgresql://... and sqlite:///FILE")
    return url


def shown(url: URL) -> str:
    """For people: without the password, and without options, where another may stand."""
    told = {name: value for name, value in url.query.items() if name in ("host", "port")}
    return url.set(query=told).render_as_string(hide_password=True)


class Database:
    """Raises HistoryError where the driver is not installed. Nothing is opened before it is needed."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.is_sqlite = url.drivername == "sqlite"
        self.engine = self._engine()

    @property
    def told(self) -> str:
        """Its address for people, without a password."""
        return str(self.url.database) if self.is_sqlite else shown(self.url)

    def prepare(self) -> None:
        """Make the file and bring the tables into form. Raises SQLAlchemyError, OSError, HistoryError."""
        if self.is_sqlite:
            assert self.url.database is not None
            file = Path(self.url.database)
            if not file.parent.exists():
                file.parent.mkdir(parents=True, mode=0o700)
            if not file.exists():
                file.touch(mode=0o600)  # what sounded where, and when, is its owner's
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            found = _revision(connection)
            if found != REVISION:
                _migrate(connection, found)

    def form(self) -> tuple[str | None, str]:
        """That of its tables (None: there are none) and the one that they are brought to. Changes nothing.

        Raises SQLAlchemyError, HistoryError where they are of a newer form.
        """
        with self.reading() as connection:
            found = _revision(connection)
        if found not in (None, REVISION):
            _steps(found)
        return found, REVISION

    def may_write(self) -> bool:
        """Of a PostgreSQL: its user may keep events, and make the tables where there are none. Changes nothing."""
        if self.is_sqlite:
            return True
        live = "NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool"
        rights = "has_schema_privilege(current_schema(), 'CREATE')"
        if self.form()[0] is not None:
            rights = "has_table_privilege('events', 'INSERT') AND has_table_privilege('events', 'DELETE')"
        with self.reading() as connection:
            return bool(connection.execute(text(f"SELECT {live} AND {rights}")).scalar())

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write, committed at the end of the block."""
        with self.engine.connect().execution_options(immediate=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One view of the database for the whole block."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def bytes(self) -> int:
        """What the history takes, without what a later row will fill again."""
        with self.reading() as connection:
            if self.is_sqlite:
                pages, free, size = (
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                    for name in ("page_count", "freelist_count", "page_size")
                )
                return int((pages - free) * size)
            return int(connection.execute(select(func.count()).select_from(events)).scalar_one()) * EVENT_BYTES

    def give_back(self) -> None:
        """Let the disk have the room of deleted rows. PostgreSQL does so by itself."""
        if self.is_sqlite:
            raw = self.engine.raw_connection()
            try:
                # a script, as a statement without a result is taken one step, and gives back one page
                raw.cursor().executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")
            finally:
                raw.close()

    def close(self) -> None:
        self.engine.dispose()

    def _engine(self) -> Engine:
        if self.is_sqlite:
            engine = create_engine(self.url, connect_args={"timeout": BUSY_S})
            event.listen(engine, "connect", _pragmas)
            event.listen(engine, "begin", _begin)
            return engine
        limits = f"-c statement_timeout={STATEMENT_MS} -c timezone=UTC"
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 10_000}
        try:
            return create_engine(
                self.url,
                pool_pre_ping=True,
                connect_args={"connect_timeout": CONNECT_S, "options": limits, **alive},
            )
        except (ImportError, NoSuchModuleError) as error:
            raise HistoryError(
                "history: PostgreSQL needs the package psycopg: pip install 'spiccato[postgres]'"
            ) from error


def _pragmas(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    pragmas = ["synchronous=FULL", "secure_delete=ON"]
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):  # a new file: to set it waits for writers
        pragmas = ["auto_vacuum=INCREMENTAL", "journal_mode=WAL", *pragmas]
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _begin(connection: Connection) -> None:
    # a transaction that reads first and writes later would fail, not wait, where another wrote meanwhile
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection, found: str | None) -> None:
    from alembic import command

    steps = _steps(found)
    steps.attributes["connection"] = connection
    command.upgrade(steps, "head")


def _steps(found: str | None) -> Any:
    """alembic's configuration. Raises HistoryError where it knows no way on from `found`."""
    from alembic import config, script  # 0.3 s that a usual start saves

    steps = config.Config()
    steps.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    steps.set_main_option("path_separator", "os")
    known = {step.revision for step in script.ScriptDirectory.from_config(steps).walk_revisions()}
    if found is not None and found not in known:
        raise HistoryError(f"the history was written by a newer Spiccato (its form is {found}, known is {REVISION})")
    return steps


def reason(error: BaseException) -> str:
    """The first line of what a database or a disk says, short enough for a sentence; never the statement."""
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return lines[0][:200]
