"""What an archive costs: throughput against processes, and how much of the decoding hides behind the hearing.

    python -m tests.bench_archive [--files 48] [--seconds 120] [--format flac] [--jobs 1 2] [--out FILE]

Files of two channels at 44.1 kHz, made on the spot, go through `spiccato archive`'s own work with the shipped model: a
process for each job, Parquet and all. The start of the processes (import, kernels) is told by itself.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.weights import Model, load
from server.classify import classify
from server.decode import Decoder
from spiccato.archive import local
from spiccato.archive.listing import listed
from spiccato.archive.results import Results
from spiccato.archive.run import cores
from spiccato.archive.work import Hearer
from spiccato.classify import LIMITS
from tests.audio_files import write
from tests.bench.machine import describe
from tests.conftest import ORCHESTRA

RATE = 44_100


def recordings(folder: Path, count: int, seconds: float, suffix: str) -> None:
    """Notes of changing pitch with partials and some noise: neither silence nor a codec's easiest sound."""
    t = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(1)
    pitch = 220 * 2 ** (np.floor(t * 3) % 12 / 12)
    sound = sum(np.sin(2 * np.pi * np.cumsum(k * pitch / RATE)) / k for k in range(1, 6)) * np.exp(-4 * (t * 3 % 1))
    stereo = np.stack([0.2 * sound, 0.15 * sound], 1) + 0.01 * rng.standard_normal((len(t), 2))
    first = folder / f"000.{suffix}"
    whole = write(first, stereo.astype(np.float32), RATE)
    for number in range(1, count):
        (folder / f"{number:03d}.{suffix}").write_bytes(whole)


def archived(model: Model, folder: Path, out: Path, jobs: int, sound_s: float) -> dict[str, Any]:
    began = time.perf_counter()
    with Results(out, model) as results:
        rows = local.heard(model, listed(folder).entries, jobs)
        results.add(next(rows))
        first, count = time.perf_counter(), 0
        for row in rows:
            assert row["code"] is None, row
            results.add(row)
            count += 1
    wall = time.perf_counter() - first
    return {
        "jobs": jobs, "start_s": round(first - began, 2), "wall_s": round(wall, 2), "files_a_s": round(count / wall, 1),
        "times_real_time": round(count * sound_s / wall),
    }  # fmt: skip


def overlapped(model: Model, path: Path, sound_s: float) -> dict[str, Any]:
    """Wall and CPU of one file, ms for a second of sound: decoded only, and heard whole. The least of seven."""
    Hearer(model)

    def decode() -> None:
        with path.open("rb") as file:
            decoder = Decoder(file, LIMITS)
            for _ in decoder.blocks():
                pass
            decoder.close()

    def whole() -> None:
        with path.open("rb") as file:
            classify(model, file, "x", LIMITS)

    def least(work: Callable[[], None]) -> dict[str, float]:
        took = []
        for _ in range(7):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            took.append((time.perf_counter() - wall, time.process_time() - cpu))
        wall, cpu = (1000 * min(column) / sound_s for column in zip(*took, strict=True))
        return {"wall_ms": round(wall, 3), "cpu_ms": round(cpu, 3)}

    return {"decoding": least(decode), "all": least(whole)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--format", default="flac")
    parser.add_argument("--jobs", type=int, nargs="+", default=sorted({1, max(1, cores() // 2), cores()}))
    parser.add_argument("--out", type=Path, default=Path("build/bench/archive.json"))
    asked = parser.parse_args()
    model = load(ORCHESTRA)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "in")
        folder.mkdir()
        recordings(folder, asked.files, asked.seconds, asked.format)
        figures: dict[str, Any] = {
            "machine": describe(None), "model": model.id, "format": asked.format, "files": asked.files,
            "seconds": asked.seconds, "one_file": overlapped(model, folder / f"000.{asked.format}", asked.seconds),
        }  # fmt: skip
        one = figures["one_file"]
        print(
            f"{asked.files} files of {asked.seconds:g} s, {asked.format}, {model.id}; one file, ms a second of sound:"
        )
        for name, took in one.items():
            print(f"  {name:10} wall {took['wall_ms']:6.3f}  cpu {took['cpu_ms']:6.3f}")
        figures["runs"] = [
            archived(model, folder, Path(temporary, f"out{jobs}"), jobs, asked.seconds) for jobs in asked.jobs
        ]
    base = figures["runs"][0]["times_real_time"]
    for row in figures["runs"]:
        row["speed_up"] = round(row["times_real_time"] / base, 2)
        print("  ".join(f"{name} {value:g}" for name, value in row.items()))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
