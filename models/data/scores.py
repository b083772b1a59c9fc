"""Written music as notes in seconds: MIDI, MusicXML and whatever else music21 reads, and its own corpus.

Knows music21, which is imported when a score is read; nothing of sound. Repeats are played once, ties are one note,
grace notes and tremolos are left out.
"""

import warnings
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.recording import CorpusError
from models.data.spelling import instrument_of

CORPUS = "corpus"  # the name of music21's own scores
SUFFIXES = frozenset({".mid", ".midi", ".xml", ".mxl", ".musicxml", ".krn"})
DEFAULT_BPM = 120.0  # of a tempo mark that gives no number, as music21 assumes where there is no mark
EXERCISES = frozenset({"demos", "theoryExercises", "leadSheet", "essenFolksong", "miscFolk"})  # nothing to orchestrate


@dataclass(frozen=True)
class Note:
    onset_s: float
    duration_s: float
    pitch: int | None  # MIDI; None: a drum
    velocity: float  # 0 to 1
    drum: str = ""  # the fine name, where the score says which


@dataclass(frozen=True)
class Part:
    name: str  # as the score has it
    instrument: str | None  # the ontology's fine name; None where the score names a voice, or nothing
    notes: tuple[Note, ...]  # by onset


@dataclass(frozen=True)
class Score:
    name: str
    parts: tuple[Part, ...]

    @property
    def duration_s(self) -> float:
        return max((note.onset_s + note.duration_s for part in self.parts for note in part.notes), default=0.0)


def find_scores(source: str | Path) -> list[Path]:
    """Files of scores: of a folder, a single one, or, for "corpus", music21's own. Raises FileNotFoundError on none."""
    if str(source) == CORPUS:
        from music21 import corpus

        found = [Path(path) for path in corpus.getCorePaths()]
        return sorted(p for p in found if p.suffix in SUFFIXES and p.parent.name not in EXERCISES)
    path = Path(source)
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{path} holds no score: {', '.join(sorted(SUFFIXES))} are read, or say {CORPUS!r}")
    return found


def read_score(path: Path) -> Score:
    """Raises CorpusError naming a file that music21 cannot read."""
    from music21 import converter, exceptions21

    midi = {"quantizePost": False} if path.suffix.lower() in (".mid", ".midi") else {}
    if midi and path.read_bytes()[:4] != b"MThd":  # music21 would leave it open
        raise CorpusError(f"{path} cannot be read as a score: it is no MIDI file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # overfull bars and the like: the notes count
            stream = converter.parse(path, **midi)
            if not midi:
                stream = stream.toSoundingPitch()
            clock = _Clock(stream)
            parts = tuple(_part(part, clock) for part in stream.parts)
    except (exceptions21.Music21Exception, OSError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise CorpusError(f"{path} cannot be read as a score: {error}") from error
    return Score(path.stem if midi else f"{path.parent.name}/{path.stem}", tuple(part for part in parts if part.notes))


class _Clock:
    """Quarter notes since the beginning, to seconds, with every change of tempo."""

    def __init__(self, stream: Any) -> None:
        self._starts: list[float] = []  # of each tempo, in quarters
        self._seconds: list[float] = []  # at that start
        self._per_quarter: list[float] = []
        at = 0.0
        for start, end, mark in stream.flatten().metronomeMarkBoundaries():
            per_quarter = 60.0 / float(mark.getQuarterBPM() or DEFAULT_BPM)
            self._starts.append(float(start))
            self._seconds.append(at)
            self._per_quarter.append(per_quarter)
            at += (float(end) - float(start)) * per_quarter

    def seconds(self, quarters: float) -> float:
        index = max(0, bisect_right(self._starts, quarters) - 1)
        return self._seconds[index] + (quarters - self._starts[index]) * self._per_quarter[index]


def _part(part: Any, clock: _Clock) -> Part:
    notes = sorted(_notes(part.stripTies().flatten(), clock), key=lambda note: (note.onset_s, note.pitch or 0))
    drummer = bool(notes) and all(note.pitch is None for note in notes)
    return Part(str(part.partName or ""), "drums" if drummer else _instrument(part), tuple(notes))


def _instrument(part: Any) -> str | None:
    """The name that is printed, or else the instrument that music21 makes of the file's."""
    player = part.getInstrument()
    for name in (part.partName, player.partName, player.instrumentName):
        if name and (found := instrument_of(str(name))):
            return found
    made_up = part.partName and part.partName != "MusicXML Part" and type(player).__name__ == "Piano"
    return None if made_up else instrument_of("".join(f" {c}" if c.isupper() else c for c in type(player).__name__))


def _notes(stream: Any, clock: _Clock) -> Iterator[Note]:
    for element in stream.notes:
        begin = float(element.offset)
        if element.duration.isGrace or element.quarterLength <= 0.0:
            continue
        onset_s = clock.seconds(begin)
        duration_s = clock.seconds(begin + float(element.quarterLength)) - onset_s
        for note in getattr(element, "notes", (element,)):
            velocity = note.volume.velocity or element.volume.velocity or 90
            if hasattr(note, "pitch"):
                yield Note(onset_s, duration_s, int(note.pitch.midi), velocity / 127.0)
            else:
                kind = getattr(note.storedInstrument, "instrumentName", None) or ""
                yield Note(onset_s, duration_s, None, velocity / 127.0, instrument_of(kind) or "")
