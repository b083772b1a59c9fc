"""How soon a system answers, measured: the sound that passes after an onset until a row of scores knows of it, and the
computing of a row. Knows scores and clocks; nothing of what the scores are worth.

`python -m models.zoo.answer_time FILE ...` measures the label systems of these files and the shipped model, and writes
`answer_times.json`, which the table reads.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TIMES = Path(__file__).parent / "answer_times.json"
RATE_HZ = 16_000
ONSETS = 8  # tried, at other places between two rows
GRID = 1_600  # samples over which the onsets lie: every system's rows divide it
QUIET = RATE_HZ  # samples of silence before
LONGEST = 2 * RATE_HZ  # samples after an onset within which an answer must come
TRIES = 25  # of computing a row

Scores = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # samples (n,) -> rows, one each so many samples


def measured(scores: Scores, hop_samples: int) -> dict[str, float]:
    """In milliseconds. `sound_ms`: from an onset to the end of the first row that differs from silence's, the mean over
    ONSETS places; `worst_sound_ms`: the longest of them; `compute_ms`: CPU time of a row, the median of TRIES.

    Raises ValueError if a row never differs.
    """
    random = np.random.default_rng(0)
    length = QUIET + GRID + LONGEST
    silent = scores(np.zeros(length, np.float32))
    waits = []
    for onset in QUIET + (np.arange(ONSETS) * GRID + GRID // 2) // ONSETS:
        sound = np.zeros(length, np.float32)
        sound[onset:] = 0.1 * random.standard_normal(length - onset, dtype=np.float32)
        other = np.flatnonzero(np.any(scores(sound) != silent, axis=1))
        if not len(other):
            raise ValueError(f"no row differs from silence within {LONGEST} samples of an onset")
        waits.append(((int(other[0]) + 1) * hop_samples - int(onset)) * 1000.0 / RATE_HZ)
    row = 0.1 * random.standard_normal(hop_samples, dtype=np.float32)
    scores(row)  # whatever is made on the first call
    took = []
    for _ in range(TRIES):
        start = time.process_time()
        scores(row)
        took.append(1000.0 * (time.process_time() - start))
    return {
        "sound_ms": round(statistics.fmean(waits), 1),
        "worst_sound_ms": round(max(waits), 1),
        "compute_ms": round(statistics.median(took), 2),
    }


def of_shipped(path: Path) -> tuple[str, dict[str, float]]:
    """Name and times of a spiking model, through the engine's pipeline: its rows are the output membranes."""
    from engine.pipeline import Pipeline
    from engine.weights import load
    from models.hearing import listen

    model = load(path)
    pipeline = Pipeline(model)

    def scores(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        pipeline.reset()
        return listen(pipeline, samples)[0]

    return model.name, measured(scores, model.front_end.hop_samples)


def main() -> None:
    import torch

    from models.zoo.file import load
    from models.zoo.results import machine
    from models.zoo.system import Labeller
    from models.zoo.table import JUDGED

    parser = argparse.ArgumentParser(description="Measure how soon systems answer, for the table of docs/models.md.")
    parser.add_argument("file", type=Path, nargs="*", help="of `spiccato train --system NAME`")
    parser.add_argument("--out", type=Path, default=TIMES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    times = dict([of_shipped(JUDGED)])
    for path in given.file:
        kept = load(path)
        if not isinstance(kept.trained, Labeller):
            parser.error(f"{path}: {kept.system.name} is no label system")
        times[kept.system.name] = measured(kept.trained.scores, kept.trained.hop_samples)
    told = {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), "systems": times}
    given.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for name, row in times.items():
        print(f"{name}: {row}")


if __name__ == "__main__":
    main()
