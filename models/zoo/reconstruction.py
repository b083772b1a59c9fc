"""How much of what was in the listener's memory comes back from its code, on notes that it has never heard.

A value is the level of one band in one row. It counts as reconstructed when it comes back within 1 dB, about the
smallest change of level that people hear; nothing below -60 dB of the shared gain is told apart. Moments: those whose
whole view lies in the note. Beside it, for the same moments: within 3 dB; the share of rows whose loudest band is the
same (what a framework's "accuracy" of such a network counts); and two codes of the same size that learn nothing but
means and directions: principal components, and the mean spectrum.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.onset import onset_frame
from models.hearing import normal_level

if TYPE_CHECKING:
    from models.data.corpus import Clip
    from models.zoo.listener import Listener

DB = 40.0  # times the logarithm of a feature, the fourth root of an energy
FLOOR = 10.0 ** (-60.0 / DB)  # of a feature
EACH_CLIP = 40  # moments at most: long recordings count no more than others
COMPONENTS_FROM = 12_000  # moments of the training part

Views = NDArray[np.float32]  # (moments, steps, bands)


def reconstruction(listener: "Listener", report: "Sequence[Clip]", training: "Sequence[Clip]") -> dict[str, Any]:
    """Figures as JSON, in percent. report: clips to judge by. training: what the components are learned from."""
    known = [clip for clip in report if clip.label in listener.labels]
    views = np.concatenate([moments_of(listener, clip) for clip in known])
    random = np.random.default_rng(5)
    some = random.permutation(len(training))[: COMPONENTS_FROM // EACH_CLIP * 2]
    learned = np.concatenate([moments_of(listener, training[i]) for i in some])[:COMPONENTS_FROM]
    told = {"moments": len(views), "compression": round(listener.settings.compression, 2)}
    if not len(views) or len(learned) <= listener.settings.code:
        return told  # too little sound to judge by: clips shorter than the memory is deep
    return told | {
        "listener": compared(views, listener.decoded(views)),
        "components": compared(views, by_components(views, learned, listener.settings.code)),
        "mean": compared(views, np.broadcast_to(learned.mean(axis=0), views.shape)),
    }


def moments_of(listener: "Listener", clip: "Clip") -> Views:
    """At most EACH_CLIP moments of a clip whose whole view lies between its onset and its end, equally far apart."""
    sound = normal_level(clip.samples.astype(np.float32))
    views = listener.views(sound)
    first = -(-(onset_frame(sound, 160) + int(listener.memory.back[0])) // (listener.hop_samples // 160))
    views = views[first:]
    return views[np.unique(np.linspace(0, len(views) - 1, EACH_CLIP).astype(int))] if len(views) else views


def compared(views: Views, again: NDArray[Any]) -> dict[str, float]:
    """In percent; `error_db`: the median difference of a value's level."""
    off = np.abs(level_db(views) - level_db(again))
    return {
        "within_1_db": _percent(off <= 1.0),
        "within_3_db": _percent(off <= 3.0),
        "loudest_band": _percent(views.argmax(axis=2) == again.argmax(axis=2)),
        "error_db": round(float(np.median(off)), 2),
    }


def level_db(feature: NDArray[Any]) -> NDArray[np.float64]:
    """Of a band, from the fourth root of its energy."""
    return np.asarray(DB * np.log10(np.maximum(feature, FLOOR)))


def by_components(views: Views, learned: Views, numbers: int) -> Views:
    """The views as their first principal components in `learned` tell them."""
    mean, directions = components(learned, numbers)
    flat = views.reshape(len(views), -1) - mean
    return np.asarray((flat @ directions @ directions.T + mean).reshape(views.shape), np.float32)


def components(learned: Views, numbers: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean, (steps * bands,), and the `numbers` directions of greatest variance, (steps * bands, numbers)."""
    rows = learned.reshape(len(learned), -1).astype(np.float64)
    mean = rows.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
    return mean, np.ascontiguousarray(vectors[:, -numbers:])


def _percent(right: NDArray[np.bool_]) -> float:
    return round(100.0 * float(np.mean(right)), 1)
