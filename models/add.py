"""A detector for one's own instrument, added to a finished model: the whole command, a line a stage.

    notes -> scenes -> spikes -> folds: learn, judge what was left out -> threshold -> learn from all -> graft -> proof

The figures come from notes and counterexamples that the judged detector had not learned from, and from a threshold
that they had no part in. Knows the order; how a block learns is `detector.py`, how it gets into the model `graft.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.ear import Ear
from engine.weights import Model
from models.added_examples import Lesson, Progress, lesson
from models.added_figures import Judged, figures_of, on_v, scores
from models.data.decode import RATE_HZ
from models.detector import Detector, Plan, fit, steps_of
from models.graft import with_label, without_label
from models.hearing import normal_level
from models.others import PARTS, Others
from models.replay import Replay
from models.takes import Takes

Samples = NDArray[np.float32]

FEWEST = 3  # notes: fewer cannot be learned from and judged
PROOF_S, NOISE_S = 60.0, 5.0  # of notes, after noise, heard by the model before and after


def add(
    model: Model,
    label: str,
    family: str,
    takes: Takes,
    others: Sequence[Others],
    given: Sequence[Samples],
    plan: Plan,
    budget: float,
    progress: Progress = lambda stage, done, total: None,
) -> Model:
    """The model with a detector for `label`, in the label's old place if it had one.

    others: counterexamples as spikes. given: more of them as sound. budget: false onsets an hour that the threshold may
    allow. The same sound, plan, model and machine give the same bytes. Raises ValueError, with a sentence, if there
    are too few notes or the model's layers are not what training makes.
    """
    at = model.labels.index(label) if label in model.labels else None
    base = model if at is None else without_label(model, label, added_neurons(model))
    check(base)
    folds = dealt(takes, plan.seed)
    rests = [rest for take in takes.takes for rest in take.rests]
    learned = lesson(base, folds, rests, [other.without(label) for other in others], given, plan, progress)

    everything = np.arange(len(learned.fold))
    total = steps_of(len(everything), plan)
    total += sum(steps_of(int((learned.fold != k).sum()), plan) for k in range(len(folds)))
    steps = iter(range(1, total + 1))

    def trained(rows: NDArray[np.int64]) -> Detector:
        return fit(base, learned.examples, rows, plan, lambda: progress("learning", next(steps), total))

    def grafted(detector: Detector, v: float) -> Model:
        return with_label(base, label, family, detector.blocks(), *scores(v), at)

    column = len(base.labels) if at is None else at
    left_out = [grafted(trained(np.flatnonzero(learned.fold != k)), 0.0) for k in range(len(folds))]
    judged = judge(left_out, column, learned)
    figures = {"files": len(takes.takes), **figures_of(judged, budget)}
    made = grafted(trained(everything), on_v(judged, budget))
    figures["proved_s"] = prove(model, made, label, [note for fold in folds for note in fold])
    return described(made, base, model, label, plan, figures)


def judge(left_out: Sequence[Model], column: int, learned: Lesson) -> Judged:
    """Each fold's notes and counterexamples heard by the model that had not learned from them."""
    notes = np.zeros(learned.notes.shape[:2], np.float32)
    others = np.zeros(learned.others.spikes.shape[:2], np.float32)
    for k, model in enumerate(left_out):
        replay = Replay(model)
        for i in np.flatnonzero(learned.note_fold == k):
            notes[i] = replay.scene(learned.notes[i])[1][:, column]
        for i in np.flatnonzero(learned.others.parts == k):
            others[i] = replay.scene(learned.others.spikes[i])[1][:, column]
    kinds, hop_s = learned.others.kinds, left_out[0].front_end.hop_s
    return Judged(notes, learned.begins, learned.note_fold, others, learned.others.parts, kinds, hop_s)


def prove(before: Model, after: Model, label: str, notes: Sequence[Samples]) -> float:
    """Let both networks hear notes and noise. Returns the seconds of it; raises AssertionError if one bit of another
    label's membrane differs: that would be our mistake."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(NOISE_S * RATE_HZ), dtype=np.float32)
    sound = np.concatenate([noise, *(normal_level(note) for note in notes)])[: round(PROOF_S * RATE_HZ)]
    spikes = np.packbits(Ear(before.front_end).feed(sound)[1], axis=1, bitorder="little")
    old, new = (Replay(model).scene(spikes)[1] for model in (before, after))
    for name in before.labels:
        if name != label:
            same = np.array_equal(old[:, before.labels.index(name)], new[:, after.labels.index(name)])
            assert same, f"{name} is not what it was before {label} was added"
    return round(len(sound) / RATE_HZ, 1)


def described(made: Model, base: Model, model: Model, label: str, plan: Plan, figures: dict[str, Any]) -> Model:
    """With a name that tells what was added, and with how, and the figures."""
    row = {
        "label": label,
        "to": model.id,
        "to_sha256": model.sha256,
        "neurons": [
            new.weight.shape[1] - old.weight.shape[1]
            for new, old in zip(made.layers[:-1], base.layers[:-1], strict=True)
        ],
        "plan": plan.to_dict(),
        "figures": figures,
    }
    rows = [one for one in model.trained.get("added", []) if one["label"] != label]
    name = model.name if label in model.labels else f"{model.name}+{label}"
    return replace(made, name=name, trained={**model.trained, "added": [*rows, row]})


def added_neurons(model: Model) -> list[int]:
    """How many neurons of each hidden layer came with labels that were added."""
    rows = [row["neurons"] for row in model.trained.get("added", [])]
    return [sum(row[index] for row in rows) for index in range(len(model.layers) - 1)]


def check(model: Model) -> None:
    """Raises ValueError if the model's layers are not what training makes."""
    resets = [layer.reset for layer in model.layers]
    if resets != ["subtract"] * (len(resets) - 1) + ["none"] or not all(layer.reset_delay for layer in model.layers):
        raise ValueError(
            f"{model.id} has layers that reset by {resets}: a detector can be added where hidden layers subtract, "
            "one step late, and the last one does not reset"
        )


def dealt(takes: Takes, seed: int) -> list[list[Samples]]:
    """The notes in up to PARTS folds that share no file; where there are fewer files, no stretch of a file."""
    if takes.notes < FEWEST:
        raise ValueError(f"{takes.notes} notes are too few: at least {FEWEST} are needed, and 30 are a good number")
    count = min(PARTS, takes.notes)
    stretches = -(-count // len(takes.takes))
    units = [
        [take.notes[i] for i in index]
        for take in takes.takes
        for index in np.array_split(np.arange(len(take.notes)), stretches)
        if len(index)
    ]
    while len(units) < count:  # a file with many notes among files with one
        longest = max(units, key=len)
        units.remove(longest)
        units += [longest[: len(longest) // 2], longest[len(longest) // 2 :]]
    folds: list[list[Samples]] = [[] for _ in range(count)]
    order = np.random.default_rng((seed, 3)).permutation(len(units))
    for index in sorted(order, key=lambda i: -len(units[i])):
        min(folds, key=len).extend(units[index])
    return folds
