"""NSynth: `examples.json` beside `audio/`, WAV or Ogg, or a folder of such folders. CC BY 4.0.

Its own splits are read from the folder's name (`nsynth-train`, `nsynth-valid`, `nsynth-test`). A note is named by
family and origin only, so few have a label: an acoustic string may be a cello or a violin. A synthetic sound is no
example of an instrument; family and origin are kept for whoever asks which it is. Source: Engel and others,
"Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders", arXiv 1704.01279, and the dataset's page.
"""

import json
import re
from pathlib import Path
from typing import Any

from models.data.ontology import family_of, label_of
from models.data.recording import CorpusError, OwnPart, Recording

LICENCE = "CC BY 4.0 (NSynth, Magenta)"
LIBRARY = "nsynth"
NOTE_S = 4.0

# (family, origin) -> instrument; other pairs name several instruments, or none
INSTRUMENTS = {
    ("bass", "electronic"): "bass_guitar",
    ("flute", "acoustic"): "flute",
    ("guitar", "acoustic"): "guitar_acoustic",
    ("guitar", "electronic"): "guitar_electric",
    ("keyboard", "electronic"): "electric_piano",
    ("mallet", "acoustic"): "mallets",
    ("organ", "acoustic"): "organ",
    ("organ", "electronic"): "organ",
    ("vocal", "acoustic"): "voice",
}
# NSynth's family -> the ontology's, where it is one
FAMILIES = {
    "bass": None,  # plucked strings, bowed strings or a synthesiser
    "brass": "brass",
    "flute": "woodwind",
    "guitar": "plucked_strings",
    "keyboard": "keyboard",
    "mallet": "mallets",
    "organ": "keyboard",
    "reed": "woodwind",
    "string": "bowed_strings",
    "synth_lead": "synth",
    "vocal": "voice",
}


def recognises(path: Path) -> bool:
    return path.is_dir() and bool(_folders(path))


def read(path: Path) -> list[Recording]:
    return [recording for folder in _folders(path) for recording in _read(folder, path)]


def _folders(path: Path) -> list[Path]:
    if (path / "examples.json").is_file():
        return [path]
    return sorted(found.parent for found in path.glob("*/examples.json"))


def _read(folder: Path, root: Path) -> list[Recording]:
    table = folder / "examples.json"
    try:
        examples = json.loads(table.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorpusError(f"{table} is no JSON: {error}") from error
    part = _part(folder)
    found = {
        file.stem: file for file in (folder / "audio").glob("*") if file.suffix.lower() in (".wav", ".ogg", ".flac")
    }
    try:
        return [
            _recording(note, about, found.get(note, folder / "audio" / f"{note}.wav"), root, part)
            for note, about in examples.items()
        ]
    except KeyError as error:
        raise CorpusError(f"{table}: a note has no {error}") from error


def _recording(note: str, about: dict[str, Any], path: Path, root: Path, part: OwnPart | None) -> Recording:
    family, origin = str(about["instrument_family_str"]), str(about["instrument_source_str"])
    instrument = INSTRUMENTS.get((family, origin), f"{family}_{origin}")
    known = (family, origin) in INSTRUMENTS
    return Recording(
        path=path,
        name=path.relative_to(root).as_posix(),
        instrument=instrument,
        label=label_of(instrument) if known else None,
        family=(family_of(instrument) if known else None) or FAMILIES.get(family),
        library=LIBRARY,
        group=f"{LIBRARY}/{about['instrument_str']}",
        part=part,
        pitch=int(about["pitch"]),
        dynamics=f"velocity {about['velocity']}",
        articulation=" ".join(about["qualities_str"]),
        duration_s=NOTE_S,
        licence=LICENCE,
        origin=origin,
    )


def _part(folder: Path) -> OwnPart | None:
    match = re.search(r"nsynth[-_](train|valid|test)\b", folder.resolve().name)
    return match[1] if match else None  # type: ignore[return-value]
