"""What is asked of the history, on SQLite and on PostgreSQL: pages, filters, sums, deletion, retention."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, inspect, select

from server.errors import Refusal
from server.past import HistoryError, query
from server.past.asked import Asked, moment
from server.past.database import Database, address
from server.past.glance import edges, glance, zone_of
from server.past.query import Cursor, Filter
from server.past.retention import DAY_MS, Limits, Retention
from server.past.tables import REVISION, clips, corrections, events, gaps, metadata, sessions
from tests.past_rows import START, event_id, keep, row
from tests.postgres import cluster

SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of a database."""
    with cluster() as running:
        yield running.create("history")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = str(tmp_path / "history.sqlite")
    else:
        url = request.getfixturevalue("postgres")
    opened = Database(address(url, tmp_path))
    opened.prepare()
    emptied(opened)
    yield opened
    opened.close()


def emptied(database: Database) -> None:
    with database.writing() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [event["event_id"] for event in found]


def test_the_steps_lead_to_the_tables_that_the_code_names(database: Database) -> None:
    with database.reading() as connection:
        for table in metadata.tables.values():
            found = {column["name"]: column for column in inspect(connection).get_columns(table.name)}
            assert found.keys() == set(table.c.keys())
            for column in table.c:
                assert bool(found[column.name]["nullable"]) == bool(column.nullable), column
            indexes = {index["name"]: index["column_names"] for index in inspect(connection).get_indexes(table.name)}
            assert indexes == {index.name: [c.name for c in index.columns] for index in table.indexes}
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == REVISION


def test_a_second_start_changes_nothing_and_a_newer_form_is_refused(database: Database) -> None:
    keep(database, row(1))
    database.prepare()
    with database.reading() as connection:
        assert len(query.page(connection, Filter(), 10)[0]) == 1
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(HistoryError, match="newer Spiccato"):
        database.prepare()
    with database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{REVISION}'")


MOMENTS = st.lists(st.integers(0, 12), min_size=1, max_size=24)  # many at the same moment


@SLOW
@given(MOMENTS, MOMENTS, st.integers(1, 7), st.booleans(), st.randoms(use_true_random=False))
def test_pages_hold_every_event_once_whatever_is_added_and_deleted_meanwhile(
    database: Database, first: list[int], later: list[int], limit: int, newest: bool, random: Any
) -> None:
    emptied(database)
    numbers = random.sample(range(1000), len(first) + len(later))
    rows = [row(n, onset_utc=START + when) for n, when in zip(numbers, first + later, strict=True)]
    keep(database, *rows[: len(first)])
    waiting = rows[len(first) :]
    gone: set[str] = set()
    seen: list[dict[str, Any]] = []
    after = None
    while True:
        with database.reading() as connection:
            found, after = query.page(connection, Filter(), limit, after, newest)
        assert len(found) <= limit
        seen += found
        if after is None:
            break
        if waiting:
            keep(database, waiting.pop())
        if seen and random.random() < 0.3:
            with database.writing() as connection:  # even the event that the cursor stands on
                doomed = random.choice(rows[: len(first)])["event_id"]
                connection.execute(events.delete().where(events.c.event_id == doomed))
                gone.add(doomed)
        after = Cursor.read(str(after))
    order = [(datetime.fromisoformat(e["utc_onset"]), e["event_id"]) for e in seen]
    assert order == sorted(order, reverse=newest)
    assert max(Counter(ids(seen)).values()) == 1
    assert {one["event_id"] for one in rows[: len(first)]} - gone <= set(ids(seen))


FILTERS = st.builds(
    Filter,
    from_utc=st.none() | st.integers(START, START + 20_000),
    to_utc=st.none() | st.integers(START, START + 20_000),
    labels=st.lists(st.sampled_from(["violin", "flute", "tuba"]), max_size=2).map(tuple),
    families=st.lists(st.sampled_from(["strings", "winds"]), max_size=1).map(tuple),
    sources=st.lists(st.sampled_from(["stage", "hall"]), max_size=1).map(tuple),
    session=st.none() | st.sampled_from(["s_1", "s_2"]),
    min_score=st.none() | st.sampled_from([0.25, 0.5, 0.75]),
    min_duration_ms=st.none() | st.sampled_from([500.0, 1000.0]),
    retracted=st.booleans(),
    corrected=st.none() | st.booleans(),
    clip=st.none() | st.booleans(),
)
PLAYED = [
    row(
        n,
        label=("violin", "flute", "tuba")[n % 3],
        family="strings" if n % 3 == 0 else "winds",
        source=("stage", "hall")[n % 2],
        session=("s_1", "s_2")[n // 10],
        peak=n % 4 / 4,
        duration_ms=n % 5 * 250.0,
        phase="retract" if n % 7 == 0 else "offset",
    )
    for n in range(20)
]


@SLOW
@given(FILTERS)
def test_a_filter_finds_what_a_loop_would(database: Database, asked: Filter) -> None:
    with database.reading() as connection:
        empty = not connection.execute(select(func.count()).select_from(events)).scalar()
    if empty:
        keep(database, *PLAYED)
        with database.writing() as connection:
            for n in (1, 4, 7):
                query.correct(connection, event_id(n), "harp", "", START)
                query.correct(connection, event_id(n), None, "again", START)
            for n in (2, 4):
                there = {"event_id": event_id(n), "first_sample": 0, "samples": 1, "bytes": 1, "onset_utc": START}
                connection.execute(insert(clips).values(there))

    def wanted(one: dict[str, Any]) -> bool:
        n = int(one["onset_utc"] - START) // 1000
        return (
            (asked.from_utc is None or one["onset_utc"] >= asked.from_utc)
            and (asked.to_utc is None or one["onset_utc"] < asked.to_utc)
            and (not asked.labels or one["label"] in asked.labels)
            and (not asked.families or one["family"] in asked.families)
            and (not asked.sources or one["source"] in asked.sources)
            and asked.session in (None, one["session"])
            and one["peak"] >= (asked.min_score or 0)
            and one["duration_ms"] >= (asked.min_duration_ms or 0)
            and (asked.retracted or one["phase"] != "retract")
            and asked.corrected in (None, n in (1, 4, 7))
            and asked.clip in (None, n in (2, 4))
        )

    with database.reading() as connection:
        found, _ = query.page(connection, asked, 100, newest_first=False)
    assert ids(found) == [one["event_id"] for one in PLAYED if wanted(one)]
    assert all(e["correction"] is None or e["correction"]["note"] == "again" for e in found)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "+05:30", "UTC"])
@pytest.mark.parametrize("by", ["hour", "day"])
def test_a_glance_counts_each_event_in_the_hour_of_that_zones_clocks(database: Database, zone: str, by: Any) -> None:
    """Over the night in which Berlin's clocks go back, and the one in which they go forward."""
    clock = zone_of(zone)
    for year, month, day in ((2026, 10, 24), (2026, 3, 28)):
        emptied(database)
        begin = round(datetime(year, month, day, 10, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1000)
        end = begin + 2 * DAY_MS
        rows = [row(n, onset_utc=begin + n * 1_234_567) for n in range(140)]
        keep(database, *rows)
        with database.reading() as connection:
            found = glance(connection, Filter(from_utc=begin, to_utc=end), by, clock)
        buckets = [(datetime.fromisoformat(b["start"]), datetime.fromisoformat(b["end"])) for b in found["buckets"]]
        assert all(one[1] == other[0] for one, other in itertools.pairwise(buckets))
        assert buckets[0][0].timestamp() * 1000 <= begin < buckets[0][1].timestamp() * 1000
        for (first, last), bucket in zip(buckets, found["buckets"], strict=True):
            assert first.minute == 0
            assert by == "hour" or first.hour == 0
            inside = [r for r in rows if first.timestamp() * 1000 <= r["onset_utc"] < last.timestamp() * 1000]
            inside = [r for r in inside if begin <= r["onset_utc"] < end]
            wanted = {"events": len(inside), "seconds": float(len(inside)), "peak": 0.9}
            assert bucket["labels"] == ({"violin": wanted} if inside else {})
        assert found["labels"]["violin"]["family"] == "strings"
        assert found["sources"]["stage"]["events"] == sum(r["onset_utc"] < end for r in rows)


def test_a_day_may_have_23_or_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for month, day, hours in ((3, 29, 23), (10, 25, 25), (7, 1, 24)):
        first = round(datetime(2026, month, day, 12, tzinfo=berlin).timestamp() * 1000)
        begin, end = edges(first, first + 1, "day", berlin)
        assert (end - begin) / 3_600_000 == hours
        assert len(edges(begin, end, "hour", berlin)) == hours + 1


@pytest.mark.parametrize("text", ["yes", "2026-01-01T00:00:00", "-5", "99999999999999999", "١٢"])
def test_what_is_no_moment_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refusal, match="from="):
        moment("from", text)


def test_moments_are_iso_with_an_offset_or_milliseconds() -> None:
    assert moment("from", "2026-09-21T16:13:20+02:00") == moment("from", "1790000000000") == START
    assert moment("to", "2026-09-21T16:13:20 02:00") == START  # `+` in an address is a space
    with pytest.raises(Refusal, match="is not after"):
        Asked(from_="2", to="1").filter()


def whole(database: Database) -> dict[str, int]:
    tables = (events, clips, corrections, sessions, gaps)
    with database.reading() as connection:
        return {t.name: connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}


def retention(root: Path, **limits: Any) -> Retention:
    wanted = {"days": 10.0, "bytes": 10**9, "clip_days": 5.0, "clip_bytes": 10**9, **limits}
    return Retention(Limits(**wanted), lambda name: root / name[:6] / f"{name}.flac", root)


def with_clips(database: Database, root: Path, numbers: range) -> None:
    with database.writing() as connection:
        for n in numbers:
            path = root / event_id(n)[:6] / f"{event_id(n)}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 100)
            there = {"event_id": event_id(n), "first_sample": 0, "samples": 1, "bytes": 100}
            connection.execute(insert(clips).values(**there, onset_utc=START + n * DAY_MS))


def test_old_events_go_with_all_that_is_theirs_and_corrected_ones_stay(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "clips"
    keep(database, *(row(n, onset_utc=START + n * DAY_MS, session=f"s_{n}") for n in range(30)))
    with_clips(database, root, range(30))
    with database.writing() as connection:
        query.correct(connection, event_id(3), "viola", "", START)
        for n in range(30):
            begun = {"started_utc": START + n * DAY_MS, "ended_utc": START + n * DAY_MS, "zone_min": 0}
            name = {"session": f"s_{n}", "source": "stage", "kind": "microphone", "model": "m", "sample_rate": 8000}
            connection.execute(insert(sessions).values(**name, **begun))
            lost = {"session": f"s_{n}", "from_sample": 1, "samples": 1, "place": "client", "reason": "x"}
            connection.execute(insert(gaps).values(lost))
    retention(root).apply(database, START + 29 * DAY_MS + 1)
    assert whole(database) == {"events": 11, "clips": 6, "corrections": 1, "sessions": 11, "gaps": 11}
    kept = {event_id(3), *(event_id(n) for n in range(25, 30))}
    assert {path.stem for path in root.rglob("*.flac")} == kept
    with database.reading() as connection:
        assert ids(query.page(connection, Filter(), 100)[0])[-1] == event_id(3)


def test_over_its_size_the_history_loses_the_oldest_events(database: Database, tmp_path: Path) -> None:
    for at in range(0, 12_000, 500):
        keep(database, *(row(n) for n in range(at, at + 500)))
    before = database.bytes()
    limit = before // 2
    retention(tmp_path, bytes=limit, days=36_500.0).apply(database)
    assert 0.4 * before < database.bytes() <= limit
    with database.reading() as connection:
        left = connection.execute(select(func.min(events.c.onset_utc), func.max(events.c.onset_utc))).one()
        assert left[1] == START + 11_999_000
        assert left[0] > START + 3_000_000
    if database.is_sqlite:
        assert database.url.database
        assert Path(database.url.database).stat().st_size <= limit * 1.2  # the disk has it back


def test_over_their_size_the_oldest_clips_go_and_the_events_stay(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "clips"
    keep(database, *(row(n, onset_utc=START + n * DAY_MS) for n in range(10)))
    with_clips(database, root, range(10))
    with database.writing() as connection:
        query.correct(connection, event_id(0), None, "", START)
    retention(root, days=36_500.0, clip_days=36_500.0, clip_bytes=350).apply(database)
    assert {path.stem for path in root.rglob("*.flac")} == {event_id(0), event_id(8), event_id(9)}
    assert whole(database)["events"] == 10


def test_a_deletion_takes_corrected_events_and_their_clips_too(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "clips"
    keep(database, *(row(n, source="hall" if n % 2 else "stage") for n in range(10)))
    with_clips(database, root, range(10))
    with database.writing() as connection:
        query.correct(connection, event_id(1), "viola", "", START)
    assert retention(root).delete(database, Filter(sources=("hall",), retracted=True)) == 5
    assert whole(database) == {"events": 5, "clips": 5, "corrections": 0, "sessions": 0, "gaps": 0}
    assert len(list(root.rglob("*.flac"))) == 5


def test_sound_without_a_row_is_swept(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "clips"
    with_clips(database, root, range(2))

    old = timedelta(hours=2).total_seconds()
    orphan = root / event_id(7)[:6] / f"{event_id(7)}.flac.part"
    fresh = orphan.with_name(f"{event_id(8)}.flac")
    for path in (orphan, fresh, *root.rglob("*.flac")):
        path.touch()
        age = 0 if path == fresh else old
        os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))
    retention(root, clip_days=36_500.0).apply(database)
    assert {path.name for path in root.rglob("*.*")} == {f"{event_id(n)}.flac" for n in (0, 1, 8)}
