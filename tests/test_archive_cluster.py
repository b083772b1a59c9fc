"""`spiccato archive --cluster`: two nodes of Ray on this machine, a command killed, a file that kills its process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.weights import Model
from tests.conftest import ROOT
from tests.live_server import eventually
from tests.ray_cluster import ray_cluster
from tests.test_archive import FILES, expected, named, recordings, rows_of, told, trapped

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
START = (
    "from spiccato.archive import cluster, results; cluster.TOGETHER = 2; results.PART_S = results.PART_SHARE = 0; "
    "from spiccato.__main__ import main; main()"
)


@pytest.mark.timeout(600)
def test_on_a_cluster_every_file_is_there_once_whatever_is_killed(toy: Model, toy_path: Path, tmp_path: Path) -> None:
    """03.wav holds the first process that opens it, until the command is killed, and kills those that come after."""
    folder, out, held = recordings(tmp_path / "in"), tmp_path / "out", tmp_path / "held"
    once = f"os.path.exists({str(held)!r}) and os.kill(os.getpid(), signal.SIGKILL); os.mkdir({str(held)!r}); "
    with ray_cluster(trapped(tmp_path / "trap", once + "signal.pause()")) as address:
        arguments = ["archive", str(folder), "--out", str(out), "--model", str(toy_path), "--cluster", address]
        line = [sys.executable, "-c", START, *arguments]
        killed = subprocess.Popen(line, cwd=ROOT)
        eventually(lambda: held.exists() and len(list(out.glob("part-*.parquet"))) >= 4, 300)
        killed.kill()
        killed.wait()
        before = {part: part.read_bytes() for part in out.glob("part-*.parquet")}
        assert 4 <= len(before) <= FILES
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert not [word for word in ("Traceback", "Deprecat", "core_worker") if word in done.stderr]
    assert done.stdout.startswith(f"{FILES + 1} files, ")
    assert done.stderr.splitlines()[-3:] == [
        "spiccato: 03.wav: the processes that heard it ended, twice",
        "spiccato: notes.wav: 8 bytes that are no sound file: WAV, FLAC, OGG, MP3 and M4A are known",
        "spiccato: left aside: 1 no sound by their names",
    ]
    assert {part: part.read_bytes() for part in before} == before
    assert [named(row) for row in rows_of(out)] == sorted([f"{n:02d}.wav" for n in range(FILES)] + ["notes.wav"])
    assert [told(row) for row in rows_of(out) if row["code"] != "died"] == [
        row for row in expected(folder, toy) if named(row) != "03.wav"
    ]


def test_where_no_cluster_is_the_address_is_told(toy_path: Path, tmp_path: Path) -> None:
    folder = recordings(tmp_path / "in")
    arguments = ["archive", str(folder), "--out", str(tmp_path / "out"), "--model", str(toy_path)]
    done = subprocess.run(
        [sys.executable, "-m", "spiccato", *arguments, "--cluster", "127.0.0.1:1"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("spiccato: no Ray cluster at 127.0.0.1:1: ")
