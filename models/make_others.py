"""`python -m models.make_others DIR`: the shipped bank of counterexamples, from a corpus and two soundfonts.

Takes training libraries only, so that what validates stays unheard, and only recordings whose licences let anybody
pass on works made from them.
"""

import sys
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from models.added_scenes import heard, played
from models.data.corpus import Clip, read_corpora
from models.data.ontology import LABELS
from models.data.render import SOUNDFONTS, render_all
from models.others import PARTS, SHIPPED, Others, through_ear, write
from models.train import FRONT_END

LICENCES = (
    "CC0",
    "CC BY 3.0",
    "CC BY 4.0",
    "Apache 2.0",
    "Unlicense",
    "Public domain",
    "OLPC",
    "Speech Commands CC BY",
)
RENDERED = ("FluidR3_GM", "MuseScore_General_Full")  # MIT
PER_LABEL, SPEECH, NOISE, MIXTURES = 25, 150, 150, 100  # scenes

Sounds = dict[str, list[list[NDArray[np.float32]]]]  # label -> part -> clips


def free(clip: Clip) -> bool:
    return clip.library.removeprefix("soundfont:") in RENDERED or clip.licence.startswith(LICENCES)


def by_part(clips: Sequence[Clip]) -> Sounds:
    """Groups of a label dealt to the parts, the largest first to the smallest part; fewer than PARTS: by clip."""
    groups: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        groups[clip.label][f"{clip.library}/{clip.group}"].append(clip)
    sounds: Sounds = {}
    for label, members in groups.items():
        parts: list[list[NDArray[np.float32]]] = [[] for _ in range(PARTS)]
        units = list(members.values())
        if len(units) < PARTS:
            units = [[clip] for unit in units for clip in unit]
        for unit in sorted(units, key=lambda unit: (-len(unit), zlib.crc32(unit[0].name.encode()))):
            min(parts, key=len).extend(clip.samples.astype(np.float32) / 32768.0 for clip in unit)
        sounds[label] = parts
    return sounds


def make(clips: Sequence[Clip], front_end: FrontEnd, seed: int) -> Others:
    sounds = by_part([clip for clip in clips if free(clip)])
    labels = [label for label in LABELS if label in sounds]
    kinds = [label for label in labels for _ in range(PER_LABEL)]
    kinds += ["speech"] * SPEECH + ["noise"] * NOISE + ["mixture"] * MIXTURES
    scenes, names = [], []
    for index, kind in enumerate(kinds):
        rng = np.random.default_rng((seed, index))
        part = index % PARTS
        rests = sounds["noise"][part]
        if kind in ("speech", "noise"):
            scenes.append(heard(rng, sounds[kind][part], rests))
        elif kind == "mixture":
            first, second = (labels[i] for i in rng.choice(len(labels), 2, replace=False))
            scenes.append(
                np.sum([played(rng, sounds[label][part], rests).samples for label in (first, second)], axis=0)
            )
            kind = f"{first} + {second}"
        else:
            scenes.append(played(rng, sounds[kind][part], rests).samples)
        names.append(kind)
    return Others(through_ear(front_end, scenes), tuple(names), np.arange(len(names)) % PARTS)


def main(folder: Path, path: Path = SHIPPED) -> None:
    clips = read_corpora([folder], parts=("train",))
    clips += render_all(tuple(font for font in SOUNDFONTS if font.stem in RENDERED))
    bank = make(clips, FRONT_END, seed=1)
    write(bank, FRONT_END, path)
    print(f"wrote {path}: {len(bank)} scenes, {bank.hours:.2f} h, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
