"""The Philharmonia Orchestra's samples: everything is in the file name, `violin_As4_05_mezzo-piano_arco-normal.mp3`.

Instrument (hyphens for spaces), note (`s` for sharp; empty for drums), length (`025`, `05`, `1`, `15` for quarters to
one and a half seconds, `long`, `very-long`, or `phrase`), dynamics, articulation (at times empty). One player an
instrument, in one hall: one group for each. Not to be sold or passed on as samples.
"""

import re
from pathlib import Path

from models.data.recording import Recording, midi_of, named, sound_files
from models.data.spelling import instrument_of

LIBRARY = "philharmonia"
LICENCE = "Philharmonia terms: not to be sold or made available as samples"
NAME = re.compile(
    r"(?P<instrument>[A-Za-z' -]+)_(?P<note>[A-G]s?\d)?_(?P<length>025|05|1|15|long|very-long|phrase)"
    r"_(?P<dynamics>[a-z-]+)_(?P<articulation>[a-z'-]*)"
)
SECONDS = {"025": 0.25, "05": 0.5, "1": 1.0, "15": 1.5}
PERCUSSION = "percussion"  # the folder of the small instruments, and what those are that the ontology does not know
# its own names that mean something else, or less, elsewhere
INSTRUMENTS = {"guitar": "guitar_acoustic", "clash-cymbals": "cymbal"}


def recognises(path: Path) -> bool:
    """Most of its sound files are named so."""
    files = sound_files(path) if path.is_dir() else []
    return bool(files) and 2 * sum(NAME.fullmatch(file.stem) is not None for file in files) > len(files)


def read(path: Path) -> list[Recording]:
    """Files that are not named so are listed under their whole name, which no label has: `data check` tells of them."""
    return [_recording(file, path) for file in sound_files(path)]


def _recording(file: Path, root: Path) -> Recording:
    name = file.relative_to(root).as_posix()
    match = NAME.fullmatch(file.stem)
    if match is None:
        return Recording(
            path=file, name=name, instrument=file.stem, library=LIBRARY, group=f"{LIBRARY}/{file.stem}", licence=LICENCE
        )
    instrument = match["instrument"].lower()
    written = INSTRUMENTS.get(instrument, instrument)
    if instrument_of(written) is None and PERCUSSION in file.relative_to(root).parts:
        written = PERCUSSION
    length = match["length"]
    return Recording(
        path=file,
        name=name,
        library=LIBRARY,
        group=f"{LIBRARY}/{instrument.replace('-', ' ')}",
        pitch=midi_of(match["note"]) if match["note"] else None,
        dynamics=match["dynamics"],
        articulation=f"{match['articulation']}|len={length}",
        duration_s=SECONDS.get(length),
        licence=LICENCE,
        **named(written),  # type: ignore[arg-type]
    )
