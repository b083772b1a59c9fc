"""A folder or table to figures, one file at a time. Knows the order of the stages.

Negatives come first, because their noise is mixed into the others; of an instrument's recording that is longer than
`PIECE_S` its first piece is judged, of a negative everything.
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from engine.weights import Model
from models.evaluation.figures import false_onsets, figures
from models.evaluation.judge import Judge, Judged
from models.evaluation.listing import LeftOut, read, some
from models.evaluation.sound import PIECE_S, Unreadable, pieces


def evaluate(
    model: Model,
    path: Path,
    *,
    sweeps: bool = False,
    limit: int | None = None,
    seed: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Figures as JSON. Raises CorpusError if `path` is nothing that can be judged; what is wrong inside is listed."""
    listed, left_out = read(path, model)
    listed = some(listed, limit, seed)
    rate_hz = model.front_end.sample_rate_hz
    judge = Judge(model, seed, sweeps)
    judged: list[Judged] = []
    negatives = cut = 0
    ordered = sorted(enumerate(listed), key=lambda pair: not pair[1].target.negative)
    for done, (index, item) in enumerate(ordered, start=1):
        sounds = pieces(item.path, rate_hz, item.onset_s, item.offset_s)
        try:
            if item.target.negative:
                for sound in sounds:
                    judge.negative(item.target.name, sound)
                negatives += 1
                continue
            first = list(islice(sounds, 2))
            one = judge.instrument(item, first[0], index) if first else None
            if one is None:
                left_out.append(LeftOut(item.name, item.instrument, "nothing sounds in it"))
                continue
            judged.append(one)
            cut += len(first) > 1
        except Unreadable as error:
            left_out.append(LeftOut(item.name, item.instrument, str(error)))
        finally:
            progress(done, len(listed))
    return {
        "path": str(path),
        "model": named(model),
        "seed": seed,
        "limit": limit,
        "clips": len(judged),
        "negatives": negatives,
        "cut": {"clips": cut, "seconds": PIECE_S},
        **figures(model, judged, seed),
        "false_onsets": false_onsets(model, judge.false_onsets, judge.negative_s),
        "operations_per_s": judge.operations.figures(),
        "left_out": [{"path": one.name, "instrument": one.instrument, "reason": one.reason} for one in left_out],
    }


def named(model: Model) -> dict[str, str]:
    """Which model the figures are of."""
    return {"name": model.name, "version": model.version, "sha256": model.sha256}
