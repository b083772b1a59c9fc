"""Scores drawn at random and, once read, kept as JSON: music21 takes seconds for a long one. Knows no sound."""

import hashlib
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from models.data.pack import cache, write_whole
from models.data.recording import CorpusError
from models.data.scores import Note, Part, Score, read_score

FORMAT = 1  # of the JSON, and of what read_score makes of a file


def some_scores(
    paths: Sequence[Path],
    count: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    skipped: Callable[[str], None] = warnings.warn,
) -> list[Score]:
    """`count` of the scores, drawn folder by folder: no composer of a thousand masses is most of them.

    `skipped` is told of each score that cannot be read.
    """
    rng = np.random.default_rng((seed, len(paths)))
    left: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        left[path.parent].append(path)
    drawn: list[Path] = []
    while left and len(drawn) < count:
        folder = sorted(left)[rng.integers(len(left))]
        drawn.append(left[folder].pop(rng.integers(len(left[folder]))))
        if not left[folder]:
            del left[folder]
    scores = []
    for done, path in enumerate(drawn, start=1):
        try:
            scores.append(kept_score(path))
        except CorpusError as error:
            skipped(str(error))
        progress(done, len(drawn))
    return scores


def kept_score(path: Path) -> Score:
    """`read_score`, once for each file. Raises CorpusError naming a file that cannot be read."""
    about = path.stat()
    key = f"{FORMAT} {path.resolve()} {about.st_size} {about.st_mtime_ns}"
    place = cache("scores") / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"
    if not place.exists():
        write_whole(place, json.dumps(asdict(read_score(path))))
    kept = json.loads(place.read_text(encoding="utf-8"))
    parts = (Part(p["name"], p["instrument"], tuple(Note(**note) for note in p["notes"])) for p in kept["parts"])
    return Score(kept["name"], tuple(parts))
