"""Answers to figures, as JSON; every share is 0..1. Knows what was judged; nothing of sound or files.

Balanced accuracy: the mean over the targets of the share of their clips that were answered right. A coarse target
(`brass`) is one target more, right if the answer is any label of it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model
from models.evaluation.collars import event_f1, prf
from models.evaluation.interval import interval95
from models.evaluation.judge import MOMENTS_MS, Judged
from models.evaluation.target import families_of

COLLARS_MS = (50, 200)


def figures(model: Model, judged: Sequence[Judged], seed: int) -> dict[str, Any]:
    """Everything that clips of instruments tell."""
    last = str(MOMENTS_MS[-1])
    at_ms = {str(ms): balanced(judged, lambda one, ms=ms: one.answers[str(ms)]) for ms in MOMENTS_MS}  # type: ignore[misc]
    interval = interval95(
        [one.listed.target.name for one in judged],
        [one.listed.group for one in judged],
        [one.answers[last] in one.listed.target.right for one in judged],
        seed,
    )
    labels = by_label(model, judged)
    return {
        "balanced_accuracy": at_ms[last],
        "balanced_accuracy_interval95": interval,
        "balanced_accuracy_at_ms": at_ms,
        "balanced_accuracy_300_ms_pieces": balanced(judged, lambda one: one.piece),
        "family_accuracy": family_accuracy(model, judged),
        "macro_f1_events": mean([row["f1"] for row in labels.values()]),
        "macro_average_precision": mean([row["average_precision"] for row in labels.values()]),
        "onset_to_event_ms": spread([one.latency_ms for one in judged if one.latency_ms is not None]),
        "event_f1": event_scores(judged),
        "labels": labels,
        "targets": by_target(judged),
        "sources": by_source(judged),
        "confusion": confusion(judged),
        **sweeps(judged, at_ms[last]),
    }


def balanced(judged: Sequence[Judged], answer: Callable[[Judged], str]) -> float | None:
    right: dict[str, list[bool]] = defaultdict(list)
    for one in judged:
        right[one.listed.target.name].append(answer(one) in one.listed.target.right)
    return mean([float(np.mean(row)) for row in right.values()])


def family_accuracy(model: Model, judged: Sequence[Judged]) -> float | None:
    """The share of each family's clips whose answer is of that family, averaged over the families."""
    family = dict(zip(model.labels, model.families, strict=True))
    right: dict[frozenset[str], list[bool]] = defaultdict(list)
    for one in judged:
        meant = families_of(one.listed.target.right, model)
        right[meant].append(family[one.answers[str(MOMENTS_MS[-1])]] in meant)
    return mean([float(np.mean(row)) for row in right.values()])


def by_label(model: Model, judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Of clips with one right label. Accuracy and average precision of the scores after one second; recall and
    precision of events: did the label turn on, every instrument counted as equally frequent."""
    fine = [one for one in judged if one.listed.target.label]
    clips: dict[str, list[Judged]] = {
        label: own for label in model.labels if (own := [one for one in fine if one.listed.target.label == label])
    }
    on = {label: Counter(name for one in own for name in one.turned_on) for label, own in clips.items()}
    table: dict[str, dict[str, Any]] = {}
    for label, own in clips.items():
        column = model.labels.index(label)
        recall = on[label][label] / len(own)
        everywhere = sum(on[name][label] / len(rows) for name, rows in clips.items())
        scores = np.array([one.scores[column] for one in fine])
        right = np.array([one.listed.target.label == label for one in fine])
        table[label] = {
            "clips": len(own),
            "accuracy": round(float(np.mean([one.answers[str(MOMENTS_MS[-1])] == label for one in own])), 4),
            **prf(recall, 1.0, everywhere),
            "average_precision": average_precision(scores, right),
        }
    return table


def average_precision(scores: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> float:
    """sum over thresholds of (recall - recall before) * precision; equal scores are one threshold.

    scores, right: (clips,). Source: scikit-learn's `average_precision_score`, without interpolation.
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    recall = hits[ends] / hits[-1]
    return round(float(np.sum(np.diff(recall, prepend=0.0) * hits[ends] / (ends + 1))), 4)


def by_target(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    return {
        name: {"clips": len(own), "accuracy": balanced(own, lambda one: one.answers[str(MOMENTS_MS[-1])])}
        for name, own in _grouped(judged, lambda one: one.listed.target.name).items()
    }


def by_source(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "clips": len(own),
            "targets": len({one.listed.target.name for one in own}),
            "balanced_accuracy": balanced(own, lambda one: one.answers[str(MOMENTS_MS[-1])]),
        }
        for name, own in _grouped(judged, lambda one: one.listed.source).items()
        if name
    }


def confusion(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """Target -> what its clips were taken for after a second, most frequent first."""
    return {
        name: dict(Counter(one.answers[str(MOMENTS_MS[-1])] for one in own).most_common())
        for name, own in _grouped(judged, lambda one: one.listed.target.name).items()
    }


def event_scores(judged: Sequence[Judged]) -> dict[str, Any]:
    """By collar in ms, of onsets alone and with offsets; clips with one right label."""
    clips = [([one.truth], one.said) for one in judged if one.truth]
    return {
        str(ms): {"onset": event_f1(clips, ms / 1000, False), "onset_offset": event_f1(clips, ms / 1000, True)}
        for ms in COLLARS_MS
    }


def sweeps(judged: Sequence[Judged], plain: float | None) -> dict[str, Any]:
    """Balanced accuracy after a second in each condition; the one that changes nothing is the plain figure."""
    conditions = list(judged[0].sweeps) if judged else []
    table: dict[str, dict[str, float | None]] = {}
    for sweep, condition in conditions:
        row = table.setdefault(sweep, {"+0": plain} if sweep == "level_db" else {"inf": plain})
        row[condition] = balanced(judged, lambda one, key=(sweep, condition): one.sweeps[key])  # type: ignore[misc]
    return {"sweeps": {name: dict(sorted(row.items(), key=lambda item: float(item[0]))) for name, row in table.items()}}


def false_onsets(model: Model, onsets: Counter[str], seconds: Mapping[str, float]) -> dict[str, Any]:
    """Onsets of negatives, for an hour of them; None where there are no negatives."""
    hours = sum(seconds.values()) / 3600.0
    total = onsets.total()
    return {
        "hours": round(hours, 4),
        "seconds": {name: round(value, 2) for name, value in sorted(seconds.items())},
        "onsets": total,
        "per_hour_and_label": round(total / hours / len(model.labels), 3) if hours else None,
        "labels": {label: round(onsets[label] / hours, 3) for label in model.labels} if hours else {},
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"events": 0, "median": None, "p95": None}
    median, p95 = np.percentile(values, [50, 95])
    return {"events": len(values), "median": round(float(median), 1), "p95": round(float(p95), 1)}


def mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _grouped(judged: Sequence[Judged], key: Callable[[Judged], str]) -> dict[str, list[Judged]]:
    rows: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        rows[key(one)].append(one)
    return dict(sorted(rows.items()))
