"""What an added detector learns from and is judged by, as spikes: scenes of the notes, and of others.

Scenes are divided into folds: a scene of fold `k` holds notes and counterexamples of fold `k` only. Knows sound and
spikes; learns nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model
from models.added_scenes import heard, played, synthetic
from models.data.scenes import FRAMES, OFF
from models.detector import Examples, Plan
from models.evaluation.onset import onset_frame
from models.hearing import LEAD_FRAMES, TAIL_FRAMES, normal_level
from models.others import Others, joined, through_ear
from models.replay import Replay
from models.takes import LONGEST_S

T = TypeVar("T")
Samples = NDArray[np.float32]
Progress = Callable[[str, int, int], None]  # told what is being done, how much of it is, and of how much

GIVEN_SCENES = 400  # of counterexamples that are given as sound
NOTE_FRAMES = LEAD_FRAMES + round((LONGEST_S + 0.1) * 100) + TAIL_FRAMES


@dataclass(frozen=True)
class Lesson:
    examples: Examples
    fold: NDArray[np.int64]  # of each scene
    others: Others  # the counterexamples among them, `parts` being folds
    notes: NDArray[np.uint8]  # (notes, NOTE_FRAMES, bytes) each note alone, in silence, as it was recorded
    begins: NDArray[np.int64]  # (notes,) the frame in which it does
    note_fold: NDArray[np.int64]  # (notes,)


def lesson(
    model: Model,
    folds: Sequence[Sequence[Samples]],
    rests: Sequence[Samples],
    others: Sequence[Others],
    given: Sequence[Samples],
    plan: Plan,
    progress: Progress,
) -> Lesson:
    """Scene `i` depends on the seed, `i`, and the sounds alone."""
    count = len(folds)
    front_end = model.front_end
    fold = np.arange(plan.scenes) % count
    heard_by_fold = [list(given[k::count]) for k in range(count)]

    drawn = [
        played(_rng(plan, 10, i), folds[k], rests, heard_by_fold[k])
        for i, k in _told(enumerate(fold.tolist()), "scenes", plan.scenes, progress)
    ]
    own = through_ear(front_end, (scene.samples for scene in drawn))
    truth = np.stack([scene.truth for scene in drawn])

    more = [synthetic(_rng(plan, 11, i)) for i in range(plan.synthetic)]
    banks = [*others, Others(through_ear(front_end, more), ("synthetic",) * len(more), np.arange(len(more)))]
    if given:
        yours = [heard(_rng(plan, 12, i), heard_by_fold[i % count] or given, rests) for i in range(GIVEN_SCENES)]
        banks.append(Others(through_ear(front_end, yours), ("yours",) * len(yours), np.arange(len(yours))))
    if rests:
        pauses = [heard(_rng(plan, 13, i), rests) for i in range(plan.synthetic)]
        banks.append(Others(through_ear(front_end, pauses), ("rests",) * len(pauses), np.arange(len(pauses))))
    bank = joined(banks)
    bank = replace(bank, parts=bank.parts % count)

    spikes = np.concatenate([own, bank.spikes])
    silent = np.full((len(bank), FRAMES), OFF, np.uint8)
    notes, begins = alone(model, [note for members in folds for note in members])
    return Lesson(
        Examples(spikes, _hidden(model, spikes, progress), np.concatenate([truth, silent])),
        np.concatenate([fold, bank.parts]),
        bank,
        notes,
        begins,
        np.repeat(np.arange(count), [len(members) for members in folds]),
    )


def alone(model: Model, notes: Sequence[Samples]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Each note by itself between silences, as `hearing.py` plays a clip: spikes, and the frame where it begins."""
    hop = model.front_end.hop_samples
    streams, begins = [], []
    for note in notes:
        stream = np.zeros(NOTE_FRAMES * hop, np.float32)
        loud = normal_level(note)
        stream[LEAD_FRAMES * hop :][: len(loud)] = loud
        streams.append(stream)
        begins.append(LEAD_FRAMES + onset_frame(loud, hop))
    return through_ear(model.front_end, streams), np.array(begins, np.int64)


def _hidden(model: Model, spikes: NDArray[np.uint8], progress: Progress) -> NDArray[np.uint8]:
    """(scenes, frames, bytes) what the model's hidden neurons say to each scene."""
    replay = Replay(model)
    width = model.neurons - len(model.labels)
    told = _told(spikes, "listening", len(spikes), progress)
    return np.stack(
        [np.packbits(replay.scene(scene, keep=True)[0][:, :width], axis=1, bitorder="little") for scene in told]
    )


def _rng(plan: Plan, kind: int, index: int) -> np.random.Generator:
    return np.random.default_rng((plan.seed, kind, index))


def _told(items: Iterable[T], stage: str, total: int, progress: Progress) -> Iterator[T]:
    for done, item in enumerate(items, start=1):
        yield item
        progress(stage, done, total)
