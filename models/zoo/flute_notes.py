"""Notes for `spiking-flute`, blown or made: from which library each comes and to which part it belongs. Knows clips,
soundfonts and patches; nothing of networks.

NSynth's flutes are left out wherever they are: they are for judging. Of NSynth's other instruments, and of the patches
of `synthesis.py`, a fifth calibrates and a fifth is reported. Of the soundfonts one calibrates; the others train.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.data.augment import coloured_noise, recorded, transposed
from models.data.decode import read_sound
from models.data.loaders import load, nsynth
from models.data.render import rendered
from models.zoo import synthesis
from models.zoo.data import Data
from models.zoo.system import Run, ZooError

RATE_HZ = 16_000
LONGEST = 3 * RATE_HZ
SILENT, OVER = 1e-3, 1e-2  # of the note's peak: below it before a note begins, and when it is over
CALIBRATING = "TimGM6mb"  # the soundfont; of its flutes, short loops in 6 MB, little is blown: they are left out
SYNTHESISERS = (80, 81, 82, 85, 89, 90)  # General MIDI from 0: square, saw, calliope, voice; warm and poly pad
BLOWN = (72, 73, 74, 75)  # piccolo, flute, recorder, pan flute
KEYS = range(60, 97, 6)
SYNTHETIC_S = (0.4, 2.5)  # how long a synthetic note is: where it ends must not tell
FLUTE_WEIGHT = 3.0  # how much oftener a library of flutes is drawn than one of another family
LIBRARY_LIMIT = 200  # notes beyond which a library is drawn no more often


@dataclass(frozen=True, eq=False)
class Note:
    samples: NDArray[np.float32]  # (n,), its peak 1, from its beginning on
    acoustic: bool
    flute: bool  # a real one, or made as one; else another family's note
    library: str


def notes_of(data: Data, seed: int, patches: int, part: str, run: Run) -> tuple[list[Note], int]:
    """The notes of a part, and how many flutes of NSynth were left out. patches: of each method, in all parts."""
    kept, left_out = [], 0
    for clip in data.recorded:
        if clip.label == "flute" and clip.part == part and clip.library != nsynth.LIBRARY:
            kept.append(_note(clip.samples, True, True, clip.library))
    for font in data.soundfonts:
        if part == ("calibrate" if font.stem == CALIBRATING else "train"):
            kept += _of_soundfont(font)
    for folder in data.folders:
        corpus = load(folder)
        for recording in corpus.recordings if corpus.kind == "nsynth" else ():
            if "flute" in recording.group or recording.label == "flute":
                left_out += 1
            elif recording.origin in ("acoustic", "synthetic") and _part(crc32(recording.group.encode())) == part:
                acoustic = recording.origin == "acoustic"
                kept.append(_note(read_sound(recording.path), acoustic, False, f"nsynth, {recording.origin}"))
    for number in (number for number in range(patches) if _part(number) == part):
        for method in synthesis.METHODS:
            random = np.random.default_rng((seed, number, len(method)))
            made = synthesis.patch(random, method)
            for midi in random.integers(synthesis.LOWEST, synthesis.HIGHEST, 4):
                seconds = random.uniform(*SYNTHETIC_S)
                kept.append(_note(synthesis.note(random, made, int(midi), seconds), False, True, method))
    run.report(f"{part}: {len(kept)} notes; {left_out} flutes of NSynth left out")
    return kept, left_out


def pieces_of(
    notes: Sequence[Note], count: int, samples: int, seed: int
) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
    """`count` random pieces of notes in random rooms, colours and noise, and whether they are acoustic: both kinds
    equally often, within each kind libraries by the square root of their notes, flutes more often than other families.

    Raises ZooError if a kind has no note.
    """
    kinds: dict[bool, dict[str, list[Note]]] = {True: {}, False: {}}
    for note in notes:
        kinds[note.acoustic].setdefault(note.library, []).append(note)
    if missing := [name for name, kind in (("acoustic", True), ("synthetic", False)) if not kinds[kind]]:
        raise ZooError(f"spiking-flute: there is no {missing[0]} note to learn from")
    sounds, truth = [], []
    for index in range(count):
        random = np.random.default_rng((seed, 6, index))
        libraries = list(kinds[index % 2 == 0].values())
        weight = [(FLUTE_WEIGHT if own[0].flute else 1.0) * min(len(own), LIBRARY_LIMIT) ** 0.5 for own in libraries]
        own = libraries[int(random.choice(len(libraries), p=np.array(weight) / sum(weight)))]
        sound = transposed(own[int(random.integers(len(own)))].samples, 2.0 ** (random.uniform(-2.0, 2.0) / 12.0))
        if random.random() < 0.7:
            sound = recorded(random, sound)[: len(sound)]
        sound = sound / (np.abs(sound).max() + np.float32(1e-9))
        sound = sound + coloured_noise(random, len(sound)) * np.float32(10.0 ** (-random.uniform(25.0, 70.0) / 20.0))
        sounds.append(piece_of(random, sound, samples))
        truth.append(index % 2 == 0)
    return sounds, np.array(truth)


def piece_of(random: np.random.Generator, sound: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """`size` samples from a random place; what is shorter is filled up with silence."""
    start = int(random.integers(max(1, len(sound) - size + 1)))
    piece = np.zeros(size, np.float32)
    own = sound[start : start + size]
    piece[: len(own)] = own
    return piece


def _of_soundfont(font: Path) -> list[Note]:
    kept = []
    for programs, acoustic, name in ((BLOWN, True, "flutes"), (SYNTHESISERS, False, "synthesisers")):
        if acoustic and font.stem == CALIBRATING:
            continue
        for program in programs:
            clips = rendered(font, "flute", program, KEYS)
            kept += [_note(clip.samples, acoustic, True, f"{clip.library}, {name}") for clip in clips]
    return kept


def _part(number: int) -> str:
    return {0: "report", 1: "calibrate"}.get(number % 5, "train")


def _note(samples: NDArray[np.generic], acoustic: bool, flute: bool, library: str) -> Note:
    sound = samples.astype(np.float32)
    sound /= np.float32(max(float(np.abs(sound).max(initial=0.0)), 1e-9))
    loud = np.flatnonzero(np.abs(sound) > SILENT)
    first, last = (int(loud[0]), int(np.flatnonzero(np.abs(sound) > OVER)[-1])) if len(loud) else (0, -1)
    return Note(sound[first : min(last + 1, first + LONGEST)], acoustic, flute, library)
