"""What was heard reaches the disk: after kill -9, through a full disk and a lost database, within its bounds."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from server.past import HistoryError
from server.past.database import Database, address
from server.past.records import Records
from server.past.tables import events, gaps, sessions
from server.past.writer import BATCH, Write, Writer
from tests.live_server import eventually
from tests.past_rows import event_id, final, row, started, summary
from tests.postgres import cluster


def opened(path: Path) -> Database:
    return Database(address(str(path), path))


def kept(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(events.c.event_id).order_by(events.c.event_id)).scalars())


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    running = Writer(opened(tmp_path / "below" / "history.sqlite"))
    running.start()
    yield running
    running.close()


def test_rows_of_a_moment_share_transactions_and_a_repeated_one_changes_nothing(writer: Writer) -> None:
    for n in range(3 * BATCH):
        writer.put(Write(events, row(n)))
    writer.put(Write(events, row(0, label="flute")))  # its commit was not answered, so it comes again
    assert writer.flush(20)
    assert kept(writer.database) == [event_id(n) for n in range(3 * BATCH)]
    with writer.database.reading() as connection:
        assert set(connection.execute(select(events.c.label)).scalars()) == {"violin"}


def test_a_session_is_kept_with_its_gaps_and_its_end(writer: Writer) -> None:
    records = Records(zone_min=lambda moment: 120)
    gap = {"type": "gap", "session": "s_1", "from_sample": 5, "samples": 7, "where": "queue", "reason": "overload"}
    said = [
        started(),
        gap,
        final(1, "onset"),
        final(1),
        final(2, "retract"),
        {"type": "warning", "session": "s_1"},
        summary(),
        final(3),  # of a session that is over
        started("s_file", kind="file"),
        final(4, session="s_file", utc_onset=None),
        summary("s_file"),
    ]
    for message in said:
        for write in records.of("st\0age", message):
            writer.put(write)
    assert writer.flush(20)
    with writer.database.reading() as connection:
        session = connection.execute(select(sessions)).one()
        assert (session.source, session.kind, session.zone_min) == ("st\N{REPLACEMENT CHARACTER}age", "microphone", 120)
        assert session.ended_utc - session.started_utc == 12_500
        assert connection.execute(select(gaps.c.from_sample, gaps.c.samples, gaps.c.place)).all() == [(5, 7, "queue")]
        found = connection.execute(select(events).order_by(events.c.event_id)).all()
    assert [(e.phase, e.family, e.duration_ms) for e in found] == [
        ("offset", "strings", 1000.0),
        ("retract", "strings", 1050.0),
    ]


def test_a_row_that_the_database_refuses_is_lost_alone(writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(20):
        writer.put(Write(events, row(n, **({"label": None} if n == 7 else {}))))
    assert writer.flush(20)
    assert kept(writer.database) == [event_id(n) for n in range(20) if n != 7]
    assert (writer.dropped, writer.written, writer.problem) == (1, 19, None)
    assert caplog.text.count("was refused and is lost") == 1


class Lost(Database):
    """One that can be taken away."""

    away = False

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        if self.away:
            raise OperationalError("INSERT ...", {}, Exception("server closed the connection unexpectedly"))
        with super().writing() as connection:
            yield connection


def test_while_the_database_is_lost_rows_wait_up_to_the_bound_and_are_written_late(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spiccato.history")
    database = Lost(address(str(tmp_path / "h.sqlite"), tmp_path))
    writer = Writer(database, max_waiting=50)
    writer.start()
    assert writer.flush(20)
    database.away = True
    for n in range(60):
        writer.put(Write(events, row(n)))
    eventually(lambda: writer.problem is not None)
    assert not writer.flush(0)
    assert (writer.waiting, writer.dropped) == (50, 10)
    database.away = False
    assert writer.flush(20)
    assert kept(database) == [event_id(n) for n in range(50)]
    assert (writer.problem, writer.written, writer.dropped) == (None, 50, 10)
    assert caplog.text.count("cannot be used, rows wait") == 1  # told once, however often it is tried
    assert caplog.text.count("rows are written again") == 1
    writer.close()


def test_what_cannot_be_written_before_the_end_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Lost(address(str(tmp_path / "h.sqlite"), tmp_path))
    writer = Writer(database)
    writer.start()
    assert writer.flush(20)
    database.away = True
    writer.put(Write(events, row(1)))
    writer.close(timeout_s=0.3)
    assert "1 rows could not be written before the end" in caplog.text
    assert writer.dropped == 1


def test_a_folder_that_cannot_be_made_is_a_problem_and_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = Writer(opened(tmp_path / "file" / "history.sqlite"))
    writer.start()
    writer.put(Write(events, row(1)))
    eventually(lambda: writer.problem is not None)
    assert not writer.flush(0)
    (tmp_path / "file").unlink()
    assert writer.flush(20)
    assert kept(writer.database) == [event_id(1)]
    writer.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no disk of 1 MB can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(file: int) -> None:
    while True:
        os.write(file, b"x" * 4096)


def test_a_full_disk_keeps_rows_waiting_until_there_is_room(small_disk: Path) -> None:
    writer = Writer(opened(small_disk / "history.sqlite"))
    writer.start()
    assert writer.flush(20)
    ballast = small_disk / "ballast"
    file = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        fill(file)
    os.close(file)
    for n in range(2 * BATCH):
        writer.put(Write(events, row(n)))
    eventually(lambda: writer.problem is not None)
    assert not writer.flush(0)
    assert "full" in writer.problem
    assert writer.waiting == 2 * BATCH
    ballast.unlink()
    assert writer.flush(20)
    assert len(kept(writer.database)) == 2 * BATCH
    writer.close()


ENDLESS = """
import sys
from pathlib import Path
from server.past.database import Database, address
from server.past.tables import events
from server.past.writer import Write, Writer
from tests.past_rows import event_id, row

database = Database(address(sys.argv[1], Path(".")))
writer = Writer(database)
writer.start()
n = 0
while True:
    for _ in range(100):
        writer.put(Write(events, row(n)))
        n += 1
    assert writer.flush(20)
    print(n, flush=True)  # these are told to be kept
"""


def killed(url: str, at: int) -> int:
    """Kill -9 a process that keeps rows, as soon as it told that `at` are kept; how many it told in the end."""
    command = [sys.executable, "-c", ENDLESS, url]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert running.stdout is not None
    told = 0
    for line in running.stdout:
        told = int(line)
        if told >= at:
            break
    running.send_signal(signal.SIGKILL)
    rest = running.stdout.read().split("\n")[:-1]  # it may have told more until it died
    running.wait(60)
    running.stdout.close()
    return int(rest[-1]) if rest else told


def test_what_was_told_to_be_kept_is_there_after_kill_9(tmp_path: Path) -> None:
    url = str(tmp_path / "h.sqlite")
    told = killed(url, 1000)
    database = opened(Path(url))
    database.prepare()
    found = kept(database)
    assert found[:told] == [event_id(n) for n in range(told)]
    assert found == [event_id(n) for n in range(len(found))]  # nothing is there by half
    with database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    database.close()
    if os.name == "posix":
        assert Path(url).stat().st_mode & 0o077 == 0  # its owner's alone


def test_a_postgresql_that_goes_away_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    with cluster() as running:
        url = running.create("history")
        assert killed(url, 200) >= 200
        database = Database(address(url, tmp_path))
        writer = Writer(database)
        writer.start()
        assert writer.flush(20)
        before = len(kept(database))
        running.stop()
        for n in range(10_000, 10_100):
            writer.put(Write(events, row(n)))
        eventually(lambda: writer.problem is not None)
        assert not writer.flush(0)
        running.start()
        assert writer.flush(30)
        assert len(kept(database)) == before + 100
        assert writer.dropped == 0
        writer.close()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("mysql://somebody:secret@host/x", "there are postgresql"),
        ("postgresql://somebody:secret@host:port/x", "cannot be read"),
        ("postgresql://somebody:secret@host", "there are postgresql"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_its_password(asked: str, says: str) -> None:
    with pytest.raises(HistoryError, match=says) as refused:
        address(asked, Path("x"))
    assert "secret" not in str(refused.value)


def test_of_a_database_only_what_people_may_see_is_told(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'spiccato[postgres]'")
    told: Any = Database(address("postgres://somebody:secret@host/x", tmp_path)).told
    assert told == "postgresql+psycopg://somebody:***@host/x"


def test_many_threads_may_put(writer: Writer) -> None:
    def put(first: int) -> None:
        for n in range(first, first + 200):
            writer.put(Write(events, row(n)))

    threads = [threading.Thread(target=put, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(20)
    with writer.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(events)).scalar() == 800
