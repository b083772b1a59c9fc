"""A label system on clips that it has never heard, by the measure of `models/evaluate.py`: the same clips, levels,
silence before, onsets, moments and answers. Knows scores and clips; nothing of networks.

The answer after a time is the label with the greatest mean score over the rows since 80 ms after the onset that have
ended by then; the last row always counts. Some systems hear a whole second in each row: for them the last row alone
may say more, and `best_rule` asks the calibrate part which it is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.onset import onset_frame
from models.hearing import LEAD_FRAMES, SETTLING_FRAMES, normal_level
from models.zoo.system import Labeller

if TYPE_CHECKING:
    from models.data.corpus import Clip

RATE_HZ = 16_000
HOP = 160  # 10 ms: the grid of onsets
ROW = 1_600  # rows of any system end at the onset + 100 ms, 200 ms ...
MOMENTS_MS = (100, 200, 500, 1000)
RULES = ("mean", "last")


def since_onset(
    labeller: Labeller, sound: NDArray[np.float32], gain_db: float = 0.0, snr_db: float | None = None, seed: int = 0
) -> NDArray[np.float32]:
    """(rows, labels): of the first second since the note's onset, or less if the clip is shorter; one row at least.

    sound: (n,) as `models/hearing.py` scales it. The rows of the first 80 ms are left out, unless there are no others.
    """
    hop = labeller.hop_samples
    if ROW % hop:
        raise ValueError(f"hop_samples={hop} does not divide {ROW}")
    onset = onset_frame(sound, HOP) * HOP
    sound = sound[: onset + max(RATE_HZ, ROW)]
    lead = LEAD_FRAMES * HOP
    lead += -(lead + onset) % ROW
    end = lead + len(sound)
    stream = np.zeros(end + -end % ROW, np.float32)
    stream[lead:end] = sound
    if snr_db is not None:
        noise = np.random.default_rng(seed).standard_normal(len(stream), dtype=np.float32)
        power = float(np.mean(np.square(sound)))
        stream += noise * np.float32(np.sqrt(power * 10.0 ** (-snr_db / 10.0)))
    rows = labeller.scores(stream * np.float32(10.0 ** (gain_db / 20.0)))
    first = (lead + onset) // hop
    rows = rows[first : max(first + 1, end // hop)]
    settling = SETTLING_FRAMES * HOP // hop
    return rows[min(settling, len(rows) - 1) :]


def answer(labeller: Labeller, rows: NDArray[np.float32], ms: int, rule: str) -> str:
    """rows: of `since_onset`."""
    settling = SETTLING_FRAMES * HOP // labeller.hop_samples
    heard = rows[: max(1, ms * RATE_HZ // 1000 // labeller.hop_samples - settling)]
    score = heard[-1] if rule == "last" else heard.mean(axis=0, dtype=np.float64)
    return labeller.labels[int(np.argmax(score))]


def hear(
    labeller: Labeller, clips: "Sequence[Clip]", gain_db: float = 0.0, snr_db: float | None = None
) -> list[NDArray[np.float32]]:
    return [
        since_onset(labeller, normal_level(clip.samples.astype(np.float32)), gain_db, snr_db, index)
        for index, clip in enumerate(clips)
    ]


def best_rule(labeller: Labeller, clips: "Sequence[Clip]") -> str:
    """The rule with the better accuracy, averaged over the moments. clips: of the calibrate part."""
    clips = [clip for clip in clips if clip.label in labeller.labels]
    if not clips:
        return labeller.answer
    heard = hear(labeller, clips)
    return max(
        RULES,
        key=lambda rule: sum(balanced_accuracy(confusion(labeller, clips, heard, ms, rule)) for ms in MOMENTS_MS),
    )


def judge(labeller: Labeller, clips: "Sequence[Clip]") -> dict[str, Any]:
    """Figures as JSON, in percent. Clips of no label of the system are left out."""
    clips = [clip for clip in clips if clip.label in labeller.labels]
    heard = hear(labeller, clips)
    rule = labeller.answer
    tables = {(ms, each): confusion(labeller, clips, heard, ms, each) for ms in MOMENTS_MS for each in RULES}
    whole = tables[1000, rule]
    quiet = confusion(labeller, clips, hear(labeller, clips, gain_db=-40.0), 1000, rule)
    noisy = confusion(labeller, clips, hear(labeller, clips, snr_db=10.0), 1000, rule)
    return {
        "clips": len(clips),
        "answer": rule,
        "balanced_accuracy": {str(ms): balanced_accuracy(tables[ms, rule]) for ms in MOMENTS_MS},
        "balanced_accuracy_by_rule": {
            each: {str(ms): balanced_accuracy(tables[ms, each]) for ms in MOMENTS_MS} for each in RULES
        },
        "accuracy": accuracy(whole),
        "macro_f1": macro_f1(whole),
        "balanced_accuracy_level": {"-40 dB": balanced_accuracy(quiet)},
        "balanced_accuracy_white_noise": {"10 dB": balanced_accuracy(noisy)},
        "confusion": whole,
    }


Confusion = dict[str, dict[str, int]]  # label -> what its clips were answered as, most frequent first


def confusion(
    labeller: Labeller, clips: "Sequence[Clip]", heard: Sequence[NDArray[np.float32]], ms: int, rule: str
) -> Confusion:
    table: Confusion = {}
    for clip, rows in zip(clips, heard, strict=True):
        row = table.setdefault(clip.label, {})
        name = answer(labeller, rows, ms, rule)
        row[name] = row.get(name, 0) + 1
    return {
        label: dict(sorted(table[label].items(), key=lambda item: (-item[1], item[0])))
        for label in labeller.labels
        if label in table
    }


def balanced_accuracy(table: Confusion) -> float:
    """Mean over the labels of the share of their clips that were answered right, in percent."""
    return _percent([row.get(label, 0) / sum(row.values()) for label, row in table.items()])


def accuracy(table: Confusion) -> float:
    """The share of all clips, in percent."""
    right = sum(row.get(label, 0) for label, row in table.items())
    return round(100.0 * right / max(1, sum(sum(row.values()) for row in table.values())), 1)


def macro_f1(table: Confusion) -> float:
    """Mean over the labels of the answers' F1, every instrument counted as equally frequent, in percent."""
    shares = {label: {name: n / sum(row.values()) for name, n in row.items()} for label, row in table.items()}
    values = []
    for label, row in shares.items():
        said = sum(other.get(label, 0.0) for other in shares.values())
        values.append(2.0 * row.get(label, 0.0) / (1.0 + said))
    return _percent(values)


def _percent(shares: Sequence[float]) -> float:
    return round(100.0 * float(np.mean(shares)), 1) if shares else 0.0
