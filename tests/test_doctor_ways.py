"""`spiccato doctor` looks at the history's database and at the ways out, and changes nothing there."""

import shutil
import socket
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.past.history import database
from server.settings import Settings
from spiccato.doctor_ways import history, ways_out
from tests.ways import output


def looked_at(asked: object) -> tuple[str, str]:
    """The finding on this history."""
    finding = history(Settings(history=str(asked)))
    assert bool(finding.do) == (finding.state != "ok")
    return finding.state, finding.found


def prepared(asked: object) -> None:
    made = database(str(asked))
    made.prepare()
    made.close()


def test_a_history_that_is_well_or_not_yet_there_is_ok_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "new" / "history.sqlite"
    assert looked_at(file) == ("ok", f"{file} is made at the start")
    assert not file.parent.exists()
    prepared(file)
    before = file.read_bytes()
    state, found = looked_at(file)
    assert (state, "can be read and written" in found) == ("ok", True)
    assert file.read_bytes() == before
    assert looked_at("off")[0] == "ok"


def test_a_history_that_cannot_be_used_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.sqlite"
    other.write_text("no database at all, but long enough to be looked at" * 20)
    state, found = looked_at(other)
    assert (state, "file is not a database" in found) == ("problem", True)
    newer = tmp_path / "newer.sqlite"
    prepared(newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffff'")
    connection.close()
    state, found = looked_at(newer)
    assert (state, "newer Spiccato" in found) == ("problem", True)
    assert looked_at(tmp_path / "other.sqlite" / "below" / "h.sqlite")[0] == "problem"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    state, found = looked_at(tmp_path / "h.sqlite")
    assert (state, "has 0.0 GB left" in found) == ("warning", True)


def test_ways_out_are_tried_and_nothing_is_sent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker, socket.create_server(("127.0.0.1", 0)) as hooks:
        ports = [one.getsockname()[1] for one in (broker, hooks)]
        ways = [
            output(kind="mqtt", host="127.0.0.1", port=ports[0]),
            output(kind="webhook", url=f"http://127.0.0.1:{ports[1]}/s3cr3t"),
            output(kind="osc", port=9000),
            output(kind="command", run=["true"]),
            output(kind="midi"),
        ]
        found = list(ways_out(Settings(outputs=ways)))
        assert [(one.check, one.state) for one in found] == [
            (f"output {kind}", "ok") for kind in ("mqtt", "webhook", "osc", "command", "midi")
        ]
        hooks.setblocking(False)
        with pytest.raises(BlockingIOError):
            hooks.accept()  # nobody came
    assert [one.state for one in ways_out(Settings(outputs=()))] == ["ok"]


@pytest.mark.parametrize(
    ("settings", "state", "told"),
    [
        ({"kind": "mqtt", "host": "127.0.0.1", "port": 1}, "warning", "127.0.0.1:1: connection refused"),
        ({"kind": "mqtt", "host": "nowhere.invalid"}, "warning", "nowhere.invalid:1883: "),
        ({"kind": "webhook", "url": "https://nowhere.invalid/s3cr3t"}, "warning", "nowhere.invalid:443: "),
        ({"kind": "webhook", "url": {"env": "NO_SUCH_VARIABLE"}}, "problem", "the environment has no NO_SUCH_VARIABLE"),
        ({"kind": "webhook", "url": "ftp://s3cr3t@x"}, "problem", "its address does not begin with http"),
        ({"kind": "command", "run": ["/no/such/program"]}, "problem", "is no program that can be run"),
    ],
)
def test_a_way_out_that_leads_nowhere_is_told(settings: dict[str, Any], state: str, told: str) -> None:
    (found,) = ways_out(Settings(outputs=(output(**settings),)))
    assert (found.state, told in found.found) == (state, True), found
    assert found.do
    assert "s3cr3t" not in found.found
