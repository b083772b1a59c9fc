"""A set of rendered pieces to judge by: FLAC files, and what sounds in them when. Knows files; the ensemble plays.

`truth.csv` (path, onset_s, offset_s, label): a label is on while one of its parts is less than AUDIBLE_DB below that
part's loudest frame. `parts.csv` tells which recordings play what. The same notes, scores and seed give the same bytes.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from models.data.augment import coloured_noise, with_noise
from models.data.corpus import RATE_HZ
from models.data.ensemble import Ensemble, Stem
from models.data.truth import frame_levels, runs

HOP_SAMPLES = 160
AUDIBLE_DB = 35.0  # as in the scenes that train
GAP_FRAMES = 5  # a pause of up to 50 ms parts no event

TRUTH_FIELDS = ("path", "onset_s", "offset_s", "label")
PARTS_FIELDS = ("path", "score", "start_s", "part", "label", "library", "group", "notes", "level_db")


def render(
    ensemble: Ensemble,
    out: Path,
    *,
    count: int,
    seconds: float,
    least: int,
    most: int,
    seed: int,
    snr_db: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `count` pieces into `out`, which is made. `snr_db`: with coloured noise that far below."""
    out.mkdir(parents=True, exist_ok=True)
    with (
        (out / "truth.csv").open("w", newline="", encoding="utf-8") as truth_file,
        (out / "parts.csv").open("w", newline="", encoding="utf-8") as parts_file,
    ):
        truth, parts = csv.writer(truth_file), csv.writer(parts_file)
        truth.writerow(TRUTH_FIELDS)
        parts.writerow(PARTS_FIELDS)
        for index in range(count):
            rng = np.random.default_rng((seed, index))
            score, start_s, stems = ensemble.excerpt(rng, seconds, least, most)
            mixture = np.sum([stem.samples for stem in stems], axis=0)
            if snr_db is not None:
                mixture = with_noise(mixture, coloured_noise(rng, len(mixture)), snr_db)
                mixture *= np.float32(min(1.0, 0.99 / float(np.abs(mixture).max())))
            name = f"{index:04d}.flac"
            soundfile.write(out / name, mixture, RATE_HZ, subtype="PCM_16")
            truth.writerows((name, f"{on:.2f}", f"{off:.2f}", label) for on, off, label in events(stems))
            for stem in stems:
                level_db = f"{10 * np.log10(np.mean(np.square(stem.samples)) + 1e-18):.1f}"
                player = (stem.part, stem.label, stem.library, stem.group, len(stem.notes), level_db)
                parts.writerow((name, score.name, f"{start_s:.2f}", *player))
            progress(index + 1, count)


def events(stems: Sequence[Stem]) -> list[tuple[float, float, str]]:
    """(onset_s, offset_s, label) by onset; parts of one label are one source."""
    heard: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(stems[0].samples) // HOP_SAMPLES, bool))
    for stem in stems:
        level_db = frame_levels(stem.samples, HOP_SAMPLES)
        heard[stem.label] |= level_db > level_db.max() - AUDIBLE_DB
    frame_s = HOP_SAMPLES / RATE_HZ
    return sorted(
        (on * frame_s, off * frame_s, label) for label, frames in heard.items() for on, off in runs(frames, GAP_FRAMES)
    )
