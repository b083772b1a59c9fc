"""What `spiccato train --add` is worth: instruments that the shipped model does not know, learned from 30 recordings.

    python -m tests.bench_add DATA/manifest.csv [--instrument mandolin ...] [--notes 30] [--seed 1]

For each: what the command says of itself, then the other recordings of the same instrument, and the left-out libraries
of the model's own labels, noise and speech (`models/data/split.py`), in which it does not play, through the engine.
Prints the table of docs/models.md. A minute or two of one core for each.
"""

import argparse
import csv
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.weights import load
from models.data import split
from models.data.ontology import LABELS, NEGATIVES, label_of
from models.evaluation.run import evaluate

UNKNOWN = ("mandolin", "steel_drum", "timpani", "cor_anglais")
ROW = "| {} | {:.1f} % of {} | {:g} | {:.0f} ms | {:.1f} % of {} | {:.0f} | {:.0f} | {:.0f} | {:.0f} |"

Rows = list[dict[str, str]]


def listing(folder: Path, data: Path, name: str, rows: Rows, instrument: str | None = None) -> Path:
    """A manifest of `rows`, all of them called `instrument` if that is given."""
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("path", "instrument", "group"))
        out.writerows((data.parent / row["path"], instrument or row["instrument"], row["group"]) for row in rows)
    return path


def measured(name: str, rows: Rows, data: Path, notes: int, seed: int) -> str:
    own = [row for row in rows if row["instrument"] == name]
    source = max({row["source"] for row in own}, key=lambda s: sum(row["source"] == s for row in own))
    own = [row for row in own if row["source"] == source]
    random.Random(seed).shuffle(own)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        taught, model = folder / name, folder / "added.safetensors"
        taught.mkdir()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        before_s = used.ru_utime + used.ru_stime
        for row in own[:notes]:
            shutil.copy(data.parent / row["path"], taught)
        command = ["spiccato", "train", "--add", name, "--from", taught, "--out", model, "--seed", str(seed)]
        subprocess.run([sys.executable, "-m", *command], check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        took_s = used.ru_utime + used.ru_stime - before_s
        told = load(model).trained["added"][-1]["figures"]
        later = evaluate(load(model), listing(folder, data, "later", own[notes:]))["labels"][name]
        left_out = [row for row in rows if split.validates(row["source"], row["group"])]
        kinds = {"instruments": [row for row in left_out if label_of(row["instrument"]) in LABELS]}
        kinds |= {kind: [row for row in left_out if row["instrument"] == kind] for kind in NEGATIVES}
        an_hour: dict[str, float] = {}
        for kind, members in kinds.items():
            if members:
                figures: dict[str, Any] = evaluate(load(model), listing(folder, data, kind, members, "none"))
                an_hour[kind] = figures["false_onsets"]["labels"][name]
    return ROW.format(
        name, told["recall"], told["notes"], told["false_onsets"]["per_hour"], told["onset_latency_ms"]["median"],
        100 * later["recall"], later["clips"], an_hour["instruments"], an_hour["noise"], an_hour["speech"], took_s,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--instrument", action="append", choices=UNKNOWN)
    parser.add_argument("--notes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with options.data.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [measured(name, rows, options.data, options.notes, options.seed) for name in options.instrument or UNKNOWN]
    head = ("", "left out: heard", "false onsets an hour", "onset to event", "later: heard")
    head += ("on instruments", "noise", "speech", "CPU, s")
    print("|", " | ".join(head), "|")
    print("|" + "---|" * len(head))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
