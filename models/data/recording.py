"""One recording as a corpus tells of it, before anything is decoded. Knows names; nothing of samples.

Every loader yields these, so that a merged corpus is one list, whatever its parts looked like on disk.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.data.ontology import family_of, label_of
from models.data.spelling import instrument_of

OwnPart = Literal["train", "valid", "test"]

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aif", ".aiff", ".opus"})

STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
SIGNS = {"": 0, "#": 1, "s": 1, "♯": 1, "b": -1, "♭": -1}


class CorpusError(ValueError):
    """A sentence about what is wrong with what the caller gave: files, tables, scores."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A note, a phrase, or a stretch of noise."""

    path: Path
    name: str  # unique in its corpus: the path below the corpus's folder, with "/"
    instrument: str  # the ontology's fine name, or as the corpus wrote it where the ontology has none
    library: str  # who recorded it; whole libraries are left out to validate
    group: str  # the physical instrument, player or session: never on both sides of a split
    label: str | None = None  # of the model, or a negative; None: left out of training
    family: str | None = None
    part: OwnPart | None = None  # of the corpus's own split
    pitch: int | None = None  # MIDI note number
    dynamics: str = ""
    articulation: str = ""
    duration_s: float | None = None  # as the corpus says; None: it does not
    licence: str = ""
    origin: str = ""  # acoustic, electronic or synthetic, where the corpus tells


def named(instrument: str) -> dict[str, str | None]:
    """The fields `instrument`, `label` and `family` of a name as a corpus writes it."""
    return {
        "instrument": instrument_of(instrument) or instrument,
        "label": label_of(instrument),
        "family": family_of(instrument),
    }


def midi_of(note: str) -> int | None:
    """MIDI number of a note's name, C4 = 60: `A#4`, `As4`, `Bb3`, `c-1`. None for anything else."""
    match = re.fullmatch(r"([a-gA-G])([#s♯b♭]?)(-?\d)", note.strip())
    if match is None:
        return None
    midi = 12 * (int(match[3]) + 1) + STEPS[match[1].lower()] + SIGNS[match[2]]
    return midi if 0 <= midi <= 127 else None


def sound_files(folder: Path) -> list[Path]:
    """Everything below `folder` that looks like a sound file, in the order of the names; hidden files are skipped."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(piece.startswith(".") for piece in path.relative_to(folder).parts)
        and path.is_file()
    )


def licence_in(folder: Path) -> str:
    """What a licence file in `folder` says first, or nothing."""
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.is_file() and re.match(r"(licen[cs]es?|copying|copyright)(\.(txt|md))?$", path.name, re.IGNORECASE):
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            return f"{text.splitlines()[0].strip('# ')[:120]} ({path.name})" if text else path.name
    return ""
