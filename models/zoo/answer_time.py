"""How soon a system answers, measured: the sound that passes after an onset until a row of scores knows of it, and the
computing of a row. Knows scores and clocks; nothing of what the scores are worth.

`python -m models.zoo.answer_time` measures the shipped model in the same way and writes `results/orchestra.json`.
"""

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def of_shipped() -> dict[str, Any]:
    """Of the shipped model, through the engine's pipeline: its rows are the output membranes, one each hop."""
    from engine.pipeline import Pipeline
    from engine.weights import load
    from models.hearing import listen
    from models.zoo.results import machine
    from models.zoo.table import SHIPPED

    model = load(SHIPPED)
    pipeline = Pipeline(model)

    def scores(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        pipeline.reset()
        return listen(pipeline, samples)[0]

    return {
        "system": model.name,
        "version": model.version,
        "kind": "shipped",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "first_answer": measured(scores, model.front_end.hop_samples),
    }


def main() -> None:
    from models.zoo.table import RESULTS

    told = of_shipped()
    (RESULTS / "orchestra.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(told["first_answer"])


if __name__ == "__main__":
    main()
