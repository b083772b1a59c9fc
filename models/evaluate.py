"""What a model is worth on clips that it has never heard: accuracy over time, events, latency, false alarms.

For the card, on the clips of the fixed split; `models/evaluation` judges any folder by the same measure. Everything
goes through `engine.pipeline.Pipeline`, the code that serves. Knows clips and events; nothing of training.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.latch import LatchSettings
from engine.weights import Model
from models.data.corpus import RATE_HZ, Clip
from models.hearing import Heard, hear, mean_scores

MOMENTS_MS = (100, 200, 500, 1000)


def evaluate(model: Model, clips: Sequence[Clip], settings: LatchSettings | None = None) -> dict[str, Any]:
    """Figures as JSON. Instruments among `clips` give accuracy and latency, speech and noise give false alarms."""
    instruments = [clip for clip in clips if clip.label in model.labels]
    negatives = [clip for clip in clips if clip.label not in model.labels]
    heard = hear(model, instruments, settings)
    figures: dict[str, Any] = {
        "clips": len(instruments),
        "balanced_accuracy": {str(ms): balanced_accuracy(model, heard, ms) for ms in MOMENTS_MS},
        "balanced_accuracy_level": {
            f"{gain_db:+d} dB": balanced_accuracy(model, hear(model, instruments, settings, gain_db=gain_db), 1000)
            for gain_db in (-40, -20, 20)
        },
        "balanced_accuracy_white_noise": {
            f"{snr_db} dB": balanced_accuracy(model, hear(model, instruments, settings, snr_db=snr_db), 1000)
            for snr_db in (20, 10)
        },
        "libraries": by_library(model, heard),
        "labels": by_label(model, heard),
        "confusion": confusion(model, heard, 1000),
        "onset_latency_ms": latency(heard),
        "release_ms": release(heard),
    }
    figures["macro_f1_events"] = _mean([row["f1"] for row in figures["labels"].values()])
    figures["macro_recall_events"] = _mean([row["recall"] for row in figures["labels"].values()])
    figures["false_onsets"] = false_onsets(model, hear(model, negatives, settings))
    return figures


def answer(heard: Heard, ms: int) -> int:
    """The label with the greatest mean score in the first `ms` milliseconds of the note, without the first 80."""
    return int(np.argmax(mean_scores(heard.evidence, ms // 10)))


def balanced_accuracy(model: Model, heard: Sequence[Heard], ms: int) -> float:
    """Mean over the labels of the share of their clips that were answered right, in percent."""
    right: dict[str, list[bool]] = {}
    for one in heard:
        right.setdefault(one.clip.label, []).append(model.labels[answer(one, ms)] == one.clip.label)
    return round(100.0 * float(np.mean([np.mean(row) for row in right.values()])), 1)


def by_library(model: Model, heard: Sequence[Heard]) -> dict[str, dict[str, float]]:
    rows: dict[str, list[Heard]] = {}
    for one in heard:
        rows.setdefault(one.clip.library, []).append(one)
    return {
        library: {
            "clips": len(members),
            "labels": len({one.clip.label for one in members}),
            "balanced_accuracy": balanced_accuracy(model, members, 1000),
        }
        for library, members in sorted(rows.items())
    }


def by_label(model: Model, heard: Sequence[Heard]) -> dict[str, dict[str, float]]:
    """Accuracy of the one-second answer, and recall and precision of the events, every instrument equally frequent."""
    present = [label for label in model.labels if any(one.clip.label == label for one in heard)]
    turned_on = {
        label: np.mean(
            [
                [name in {event.label for event in one.events if event.phase == "onset"} for name in model.labels]
                for one in heard
                if one.clip.label == label
            ],
            axis=0,
        )
        for label in present
    }
    table: dict[str, dict[str, float]] = {}
    for label in present:
        own = [one for one in heard if one.clip.label == label]
        column = model.labels.index(label)
        recall = float(turned_on[label][column])
        everywhere = float(sum(rates[column] for rates in turned_on.values()))
        precision = recall / everywhere if everywhere else 0.0
        table[label] = {
            "clips": len(own),
            "accuracy": round(100.0 * float(np.mean([answer(one, 1000) == column for one in own])), 1),
            "recall": round(100.0 * recall, 1),
            "precision": round(100.0 * precision, 1),
            "f1": round(200.0 * recall * precision / (recall + precision), 1) if recall else 0.0,
        }
    return table


def confusion(model: Model, heard: Sequence[Heard], ms: int) -> dict[str, dict[str, int]]:
    """Label -> what its clips were answered as, most frequent first."""
    table: dict[str, dict[str, int]] = {}
    for one in heard:
        row = table.setdefault(one.clip.label, {})
        name = model.labels[answer(one, ms)]
        row[name] = row.get(name, 0) + 1
    return {
        label: dict(sorted(table[label].items(), key=lambda item: (-item[1], item[0])))
        for label in model.labels
        if label in table
    }


def latency(heard: Sequence[Heard]) -> dict[str, float]:
    """From the note's onset to the decision for its own label, where there was one."""
    times = []
    for one in heard:
        decided = [e.decided_sample for e in one.events if e.phase == "onset" and e.label == one.clip.label]
        if decided:
            times.append(1000.0 * (decided[0] - one.onset_sample) / RATE_HZ)
    return _spread(times)


def release(heard: Sequence[Heard]) -> dict[str, float]:
    """From the end of the clip to the decision that a label which was still on is off."""
    times = []
    for one in heard:
        closed = [event.decided_sample for event in one.events if event.phase != "onset"]
        times += [1000.0 * (sample - one.end_sample) / RATE_HZ for sample in closed if sample > one.end_sample]
    return _spread(times)


def false_onsets(model: Model, heard: Sequence[Heard]) -> dict[str, Any]:
    """Onsets on speech and noise, and how many that makes an hour for one label on average."""
    hours = sum(len(one.clip.samples) for one in heard) / RATE_HZ / 3600.0
    counts = dict.fromkeys(model.labels, 0)
    for one in heard:
        for event in one.events:
            counts[event.label] += event.phase == "onset"
    total = sum(counts.values())
    return {
        "hours": round(hours, 3),
        "onsets": total,
        "per_hour_and_label": round(total / hours / len(counts), 2) if hours else 0.0,
        "labels": {label: count for label, count in counts.items() if count},
    }


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {"events": 0}
    median, p95 = np.percentile(values, [50, 95])
    return {"events": len(values), "median": round(float(median), 1), "p95": round(float(p95), 1)}


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 1)
