"""`spiccato archive`: every file exactly once, whatever is killed, and the same events as `classify` tells."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.weights import Model
from server.classify import classify
from server.protocol import dumped
from spiccato.archive import ArchiveError
from spiccato.archive.listing import Entry, listed
from spiccato.archive.work import Hearer, Row, bad
from spiccato.classify import LIMITS
from tests.conftest import ROOT
from tests.live_server import eventually
from tests.synth import low_high, tone, write_wav

results = pytest.importorskip("spiccato.archive.results", reason="the extra `archive` is not installed")
archiving = pytest.importorskip("spiccato.archive.run")
pq = pytest.importorskip("pyarrow.parquet")

FILES = 12
PATIENCE_S = 300  # on a machine that has much else to do

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)
# The command; a part after so many seconds of work, and this done before in every process.
START = "from spiccato.archive import results as r; r.PART_S = {part_s}; r.PART_SHARE = 0; "
START += "from spiccato.__main__ import main; main()"
TRAP = """
import builtins, os, signal
was = builtins.open
def opening(file, *more, **named):
    if str(file).endswith("03.wav"):
        {then}
    return was(file, *more, **named)
builtins.open = opening
"""


def command(source: Path, out: Path, model: Path, *more: str, part_s: float = 0) -> list[str]:
    arguments = ["archive", str(source), "--out", str(out), "--model", str(model), *more]
    return [sys.executable, "-c", START.format(part_s=part_s), *arguments]


def run(source: Path, out: Path, model: Path, *more: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(command(source, out, model, *more), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@contextmanager
def begun(line: list[str], **more: Any) -> "Iterator[subprocess.Popen[str]]":
    """The command, running; with kill -9 at the end of the block."""
    with subprocess.Popen(line, cwd=ROOT, text=True, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def trapped(folder: Path, then: str) -> dict[str, str]:
    """The environment of a command whose processes do `then` instead of opening 03.wav."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(TRAP.format(then=then))
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def rows_of(out: Path) -> list[Row]:
    """Of all parts, each read by itself: a file that is there twice is seen."""
    return sorted((row for part in out.glob("part-*.parquet") for row in pq.read_table(part).to_pylist()), key=named)


def named(row: Row) -> str:
    return str(row["file"])


def told(row: Row) -> Row:
    """Without what differs from run to run."""
    return {**row, "wall_s": None, "model": None}


def recordings(folder: Path) -> Path:
    folder.mkdir()
    for number in range(FILES):
        rate = (16_000, 44_100, 48_000)[number % 3]
        write_wav(folder / f"{number:02d}.wav", np.tile(low_high(rate), 1 + number % 4), rate)
    (folder / "notes.wav").write_text("no sound")
    (folder / "cover.jpg").write_text("a picture")
    return folder


def expected(folder: Path, model: Model) -> list[Row]:
    hear = Hearer(model)
    return [told(hear(entry)) for entry in sorted(listed(folder).entries)]


# --- the whole command ---


def test_an_archive_is_heard_on_all_cores_as_classify_hears_each_file(
    toy: Model, toy_path: Path, tmp_path: Path
) -> None:
    folder, out = recordings(tmp_path / "in"), tmp_path / "out"
    done = run(folder, out, toy_path, "--jobs", "2", status=1)
    assert f"{FILES + 1} files; {out} holds {FILES + 1}, 0.03 h heard, 1 bad" in done.stdout
    assert "notes.wav: 8 bytes that are no sound file" in done.stderr
    assert "left aside: 1 no sound by their names" in done.stderr
    assert [told(row) for row in rows_of(out)] == expected(folder, toy)
    heard = rows_of(out)[1]
    with (folder / "01.wav").open("rb") as file:
        uploaded = dumped(classify(toy, file, "01.wav", LIMITS))
    assert (heard["model"], heard["audio_ms"]) == ("toy@0.0.1", uploaded["summary"]["audio_ms"])
    for event, classified in zip(heard["events"], uploaded["events"], strict=True):
        assert event == {name: classified[name] for name in event}


def test_after_kill_9_the_same_command_goes_on_and_every_file_is_there_once(
    toy: Model, toy_path: Path, tmp_path: Path
) -> None:
    folder, out = recordings(tmp_path / "in"), tmp_path / "out"
    held = tmp_path / "held"
    environment = trapped(tmp_path / "trap", f"os.mkdir({str(held)!r}); signal.pause()")
    with begun(command(folder, out, toy_path, "--jobs", "2"), env=environment) as killed:
        eventually(lambda: held.exists() and len(list(out.glob("part-*.parquet"))) >= 6, PATIENCE_S)
        workers = children(killed.pid)
        assert len(workers) == 2
    before = {part: part.read_bytes() for part in out.glob("part-*.parquet")}
    assert 6 <= len(before) <= FILES
    assert "done before" in run(folder, out, toy_path, "--jobs", "2", status=1).stdout
    assert {part: part.read_bytes() for part in before} == before
    assert [told(row) for row in rows_of(out)] == expected(folder, toy)
    eventually(lambda: not any(alive(pid) for pid in workers), PATIENCE_S)


def test_a_file_that_kills_its_process_takes_no_other_with_it(toy_path: Path, tmp_path: Path) -> None:
    folder, out = recordings(tmp_path / "in"), tmp_path / "out"
    environment = trapped(tmp_path / "trap", "os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run(
        command(folder, out, toy_path, "--jobs", "1"), cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "03.wav: two processes ended while they heard it (SIGKILL)" in done.stderr
    assert [named(row) for row in rows_of(out) if row["code"] == "died"] == ["03.wav"]
    assert len(rows_of(out)) == FILES + 1


def test_a_wish_to_stop_keeps_what_was_heard(toy_path: Path, tmp_path: Path) -> None:
    folder, out, held = recordings(tmp_path / "in"), tmp_path / "out", tmp_path / "held"
    environment = trapped(tmp_path / "trap", f"os.mkdir({str(held)!r}); signal.pause()")
    line = command(folder, out, toy_path, "--jobs", "1", part_s=3_600)
    with begun(line, env=environment, stderr=subprocess.PIPE) as running:
        eventually(held.exists, PATIENCE_S)
        running.terminate()
        _, said = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, said) == (1, "spiccato: stopped; the same command goes on\n")
    assert [named(row) for row in rows_of(out)] == ["00.wav", "01.wav", "02.wav"]


def test_what_could_not_be_heard_is_tried_again_where_asked(
    toy: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, manifest = recordings(tmp_path / "in"), tmp_path / "out", tmp_path / "list.csv"
    manifest.write_text("id,path\n1,in/00.wav\n2,in/99.wav\n3,in/00.wav\n")
    assert not archiving.run(toy, manifest, out, cluster=None, jobs=1, retry=False)
    said = capsys.readouterr().err
    assert "in/99.wav: no such file or directory" in said
    assert "left aside: 1 named again" in said
    write_wav(folder / "99.wav", low_high())
    assert not archiving.run(toy, manifest, out, cluster=None, jobs=1, retry=False)  # it is done, and not done again
    assert archiving.run(toy, manifest, out, cluster=None, jobs=1, retry=True)
    assert [(named(row), row["code"], len(row["events"])) for row in rows_of(out)] == [
        ("in/00.wav", None, 2), ("in/99.wav", None, 2),
    ]  # fmt: skip


# --- the results ---


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def opened(toy: Model, tmp_path: Path, clock: list[float]) -> Callable[[], Any]:
    return lambda: results.Results(tmp_path / "out", toy, lambda: clock[0])


def test_parts_are_written_after_a_while_which_grows_with_the_run(
    opened: Callable[[], Any], clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "PART_SHARE", 0.1)
    at = []
    with opened() as kept:
        for second in range(200):
            clock[0] = float(second)
            before = len(kept.parts)
            kept.add(bad(f"{second}.wav", "unreadable", "gone"))
            if len(kept.parts) > before:
                at.append(second)
    assert at[:3] == [5, 10, 15]
    assert 15 < at[-1] - at[-2] <= 20
    assert len(rows_of(tmp_path / "out")) == 200


def test_many_events_do_not_wait(opened: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PART_ITEMS", 3)
    with opened() as kept:
        kept.add({**bad("a", "x", "y"), "events": [{}, {}]})
        assert len(kept.parts) == 1


def test_what_a_kill_left_half_written_counts_for_nothing(opened: Callable[[], Any], tmp_path: Path) -> None:
    with opened() as kept:
        kept.add(bad("a.wav", "unreadable", "gone"))
    (tmp_path / "out" / ".part-000002.parquet").write_bytes(b"PAR1 half")
    with opened() as kept:
        assert kept.done == {"a.wav"}
        kept.add(bad("b.wav", "unreadable", "gone"))
    assert [named(row) for row in rows_of(tmp_path / "out")] == ["a.wav", "b.wav"]


def test_results_are_refused_where_they_would_be_wrong(opened: Callable[[], Any], toy: Model, tmp_path: Path) -> None:
    from dataclasses import replace

    with opened() as kept:
        with pytest.raises(ArchiveError, match="is being written by another command"):
            opened()
        kept.add(bad("a.wav", "unreadable", "gone"))
        with pytest.raises(ArchiveError, match=r"a\.wav was heard twice"):
            kept.add(bad("a.wav", "unreadable", "gone"))
    with pytest.raises(ArchiveError, match=r"out was made with toy@0\.0\.1, of other weights or thresholds"):
        results.Results(tmp_path / "out", replace(toy, on=(0.8, 0.7)))
    (tmp_path / "out" / "part-000007.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(ArchiveError, match=r"part-000007\.parquet cannot be read"):
        opened()
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match="file cannot be used: file exists"):
        results.Results(tmp_path / "file", toy)


# --- the list ---


def test_a_list_names_each_file_once_under_a_name_that_moves_with_it(tmp_path: Path) -> None:
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "in" / "b" / "x.FLAC").touch()
    (tmp_path / "in" / "a.txt").touch()
    wild = os.fsdecode(b"caf\xe9.wav")
    (tmp_path / "in" / wild).touch()
    found = listed(tmp_path / "in")
    assert found.others == 1
    assert found.entries == [
        Entry("caf\\xe9.wav", str(tmp_path / "in" / wild)), Entry("b/x.FLAC", str(tmp_path / "in" / "b" / "x.FLAC")),
    ]  # fmt: skip
    lines = tmp_path / "list.txt"
    lines.write_text("in/b/x.FLAC\n\n/else/where.wav\nin/b/x.FLAC\n")
    assert listed(lines).repeated == 1
    assert listed(lines).entries[1] == Entry("/else/where.wav", "/else/where.wav")


def test_what_is_no_list_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="none: no such file or directory"):
        listed(tmp_path / "none")
    (tmp_path / "x.csv").write_text("file,id\na.wav,1\n")
    with pytest.raises(ArchiveError, match=r"its columns are \['file', 'id'\]: one has to be `path`"):
        listed(tmp_path / "x.csv")
    write_wav(tmp_path / "x.wav", tone(200, 0.1))
    with pytest.raises(ArchiveError, match="neither a folder nor a list of paths"):
        listed(tmp_path / "x.wav")


def children(pid: int) -> list[int]:
    """The processes that hear: those of `multiprocessing`, without its tracker."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                line = (folder / "cmdline").read_text()
            except OSError:
                continue
            if parent == pid and "spawn_main" in line:
                found.append(int(folder.name))
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
