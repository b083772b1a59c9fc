"""A label system on a folder or table of one's own, as `spiccato evaluate` judges models, and on one file. Knows clips.

The same lists, targets, levels, onsets and moments as `models/evaluation`; shares are 0 to 1 there and here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from models.data.ontology import family_of
from models.evaluation.judge import AUDIBLE
from models.evaluation.listing import LeftOut, read, some
from models.evaluation.sound import Unreadable, pieces
from models.hearing import normal_level
from models.zoo.judge import MOMENTS_MS, RATE_HZ, answer, since_onset
from models.zoo.system import Labeller, ZooError

SHOWN = 3  # labels of each second


@dataclass(frozen=True)
class Names:
    """See `models.evaluation.target.Named`."""

    labels: tuple[str, ...]
    families: tuple[str, ...]


def evaluate(
    labeller: Labeller,
    path: Path,
    limit: int | None,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Figures as JSON. Negatives are left out: these systems have no way to say nothing.

    Raises CorpusError if `path` is nothing that can be judged; what is wrong inside is listed.
    """
    listed, left_out = read(path, Names(labeller.labels, tuple(family_of(label) or "" for label in labeller.labels)))
    listed = some([item for item in listed if not item.target.negative], limit, seed)
    right: dict[int, dict[str, list[bool]]] = {ms: {} for ms in MOMENTS_MS}
    confusion: dict[str, dict[str, int]] = {}
    for done, item in enumerate(listed, start=1):
        try:
            sound = next(pieces(item.path, RATE_HZ, item.onset_s, item.offset_s), np.zeros(0, np.float32))
            if np.abs(sound).max(initial=0.0) < AUDIBLE:
                raise Unreadable("nothing sounds in it")
        except Unreadable as error:
            left_out.append(LeftOut(item.name, item.instrument, str(error)))
            continue
        finally:
            progress(done, len(listed))
        rows = since_onset(labeller, normal_level(sound))
        for ms in MOMENTS_MS:
            said = answer(labeller, rows, ms, labeller.answer)
            right[ms].setdefault(item.target.name, []).append(said in item.target.right)
        row = confusion.setdefault(item.target.name, {})
        row[said] = row.get(said, 0) + 1
    last = right[MOMENTS_MS[-1]]
    return {
        "path": str(path),
        "clips": sum(len(row) for row in last.values()),
        "limit": limit,
        "seed": seed,
        "balanced_accuracy_at_ms": {
            str(ms): float(np.mean([np.mean(row) for row in rows.values()])) if rows else None
            for ms, rows in right.items()
        },
        "targets": {name: {"clips": len(row), "accuracy": float(np.mean(row))} for name, row in sorted(last.items())},
        "confusion": {
            name: dict(sorted(row.items(), key=lambda item: (-item[1], item[0])))
            for name, row in sorted(confusion.items())
        },
        "left_out": [{"path": one.name, "instrument": one.instrument, "reason": one.reason} for one in left_out],
    }


def predict(labeller: Labeller, path: Path) -> list[dict[str, Any]]:
    """The labels with the greatest mean scores in each second of a sound file, at most its first two minutes.

    Raises ZooError if it cannot be read or is shorter than a row.
    """
    try:
        sound = np.concatenate([np.zeros(0, np.float32), *islice(pieces(path, RATE_HZ), 1)])
    except Unreadable as error:
        raise ZooError(f"{path}: {error}") from error
    rows = labeller.scores(normal_level(sound))
    if not len(rows):
        raise ZooError(f"{path}: {len(sound) / RATE_HZ:.2f} s is too short to name an instrument")
    per_s = RATE_HZ // labeller.hop_samples
    told = []
    for start in range(0, len(rows), per_s):
        mean = rows[start : start + per_s].mean(axis=0)
        best = np.argsort(-mean)[:SHOWN]
        told.append(
            {"at_s": start / per_s, "labels": {labeller.labels[int(i)]: round(float(mean[i]), 3) for i in best}}
        )
    return told
