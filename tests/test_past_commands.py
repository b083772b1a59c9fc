"""`spiccato history` as a person uses it: lists, exports, corrections to judge by, backups that come back."""

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result
from sqlalchemy import func, insert, select, text
from typer.testing import CliRunner

from models.evaluation.listing import read
from server.past import flac, query
from server.past.backup import copy
from server.past.clips import path_of
from server.past.database import Database, address
from server.past.tables import clips, corrections, events
from server.settings import Settings
from spiccato import doctor_ways
from spiccato.cli import app
from tests.past_rows import START, event_id, keep, row
from tests.postgres import Cluster, cluster
from tests.toy import toy_model


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Ten events, of which three were corrected and two of these have a clip, from a second before them on."""
    opened = Database(address(str(tmp_path / "h.sqlite"), tmp_path))
    opened.prepare()
    keep(opened, *(row(n, label="flute" if n % 2 else "violin") for n in range(10)))
    with opened.writing() as connection:
        for n, label in ((1, "low"), (2, None), (3, "high")):
            query.correct(connection, event_id(n), label, "heard it", START)
        for n in (1, 2):
            clip = np.arange(3 * 16_000, dtype=np.int16)
            size = flac.write(path_of(tmp_path / "clips", event_id(n)), clip, 16_000, {})
            there = {"event_id": event_id(n), "samples": len(clip), "bytes": size, "onset_utc": START}
            connection.execute(insert(clips).values(**there, first_sample=(n - 1) * 16_000))
    yield opened
    opened.close()


def spiccato(home: Path, *arguments: str) -> Result:
    settings = {"SPICCATO_HISTORY": str(home / "h.sqlite"), "SPICCATO_CLIPS_DIR": str(home / "clips")}
    with contextlib.chdir(home):
        return CliRunner().invoke(app, ["history", *arguments], env=settings)


def test_a_list_is_a_table_for_people_and_lines_for_programs(database: Database, tmp_path: Path) -> None:
    shown = spiccato(tmp_path, "list", "--label", "violin", "--limit", "3")
    assert shown.exit_code == 0, shown.stderr
    onset = datetime.fromtimestamp(START / 1000 + 8).astimezone()  # in the zone of whoever asks
    assert f"{onset:%Y-%m-%d %H:%M:%S %z}" in shown.stdout
    assert "there are more" in shown.stderr
    lines = spiccato(tmp_path, "list", "--label", "violin", "--limit", "3", "--json").stdout.splitlines()
    assert [json.loads(line)["event_id"] for line in lines] == [event_id(n) for n in (8, 6, 4)]


def test_an_export_is_chosen_by_its_name_and_never_overwrites(database: Database, tmp_path: Path) -> None:
    assert spiccato(tmp_path, "export", "all.csv").exit_code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert [r["event_id"] for r in rows] == [event_id(n) for n in range(10)]
    again = spiccato(tmp_path, "export", "all.csv")
    assert (again.exit_code, "File exists" in again.stderr) == (1, True)
    assert spiccato(tmp_path, "export", "-", "--format", "audacity").stdout.count("\n") == 10
    unknown = spiccato(tmp_path, "export", "all.pdf")
    assert (unknown.exit_code, "there are ndjson, csv" in unknown.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "--from", "yesterday"], "is no moment"),
        (["list", "--database", "nowhere.sqlite"], "there is no history yet"),
        (["list", "--database", "mysql://x/y"], "there are postgresql"),
        (["backup", "h.sqlite"], "has a history already"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    database: Database, tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = spiccato(tmp_path, *arguments)
    assert done.exit_code == 1
    assert says in done.stderr
    assert isinstance(done.exception, SystemExit)  # and not one of ours


def test_corrections_become_recordings_that_a_model_is_judged_by(database: Database, tmp_path: Path) -> None:
    done = spiccato(tmp_path, "corrections", "mine")
    assert done.exit_code == 0, done.stderr
    assert "1 recordings in manifest.csv, 1 in false.csv" in done.stdout
    assert "1 corrected events have no clip" in done.stderr
    found, left_out = read(tmp_path / "mine", toy_model())
    assert ([one.target.name for one in found], left_out) == (["low"], [])
    assert (found[0].onset_s, found[0].offset_s) == (0.0, 1.0)
    sound, rate = soundfile.read(found[0].path, dtype="int16")
    assert rate == 16_000
    assert np.array_equal(sound, np.arange(16_000, 32_000).astype(np.int16))  # the event, without what lies around it
    nameless = list(csv.DictReader(io.StringIO((tmp_path / "mine" / "false.csv").read_text())))
    assert [(one["event_id"], one["instrument"], one["heard_as"]) for one in nameless] == [(event_id(2), "", "violin")]


def contents(database: Database) -> list[Any]:
    with database.reading() as connection:
        return [connection.execute(select(t).order_by(*t.primary_key)).all() for t in (events, clips, corrections)]


def test_a_backup_holds_all_while_somebody_writes(database: Database, tmp_path: Path) -> None:
    wanted = contents(database)
    with database.writing() as connection:
        connection.execute(insert(events).values(row(50)))  # and is not done with it
        done = spiccato(tmp_path, "backup", "copy.sqlite")
    assert done.exit_code == 0, done.stderr
    assert "copy.sqlite: 10 events" in done.stdout
    copied = Database(address(str(tmp_path / "copy.sqlite"), tmp_path))
    assert contents(copied) == wanted
    copied.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


def test_a_history_moves_to_postgresql_and_back(postgres: Cluster, database: Database, tmp_path: Path) -> None:
    moved = Database(address(postgres.create("history"), tmp_path))
    assert copy(database, moved) == 10
    with moved.writing() as connection:  # numbers go on after those that were copied
        query.correct(connection, event_id(5), "tuba", "", START)
    with moved.reading() as connection:
        assert connection.execute(select(func.count()).select_from(corrections)).scalar() == 4
    back = Database(address(str(tmp_path / "back.sqlite"), tmp_path))
    assert copy(moved, back) == 10
    assert contents(back) == contents(moved)
    moved.close()
    back.close()


def test_the_doctor_asks_a_postgresql_what_its_user_may(postgres: Cluster, tmp_path: Path) -> None:
    url = postgres.create("examined")

    def found(of: str) -> tuple[str, str]:
        finding = doctor_ways.history(Settings(history=of))
        return finding.state, finding.found

    assert found(url)[1].endswith("its tables are made at the start")
    opened = Database(address(url, tmp_path))
    opened.prepare()
    state, told = found(url)
    assert (state, "can be read and written" in told) == ("ok", True)
    with opened.writing() as connection:
        connection.execute(text("CREATE ROLE reader LOGIN"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
    opened.close()
    state, told = found(url.replace("postgres@", "reader@"))
    assert (state, "may be read only" in told) == ("problem", True)
    state, told = found("postgresql://ear:s3cr3t@/examined?host=/nowhere")
    assert (state, "No such file" in told, "s3cr3t" in told) == ("problem", True, False)
