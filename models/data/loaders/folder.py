"""A folder for each instrument: `violin/a.wav`, `strings/violin/anna/take 1/a.wav`, `train/violin/a.wav`.

The instrument is the folder nearest to the file whose name the ontology knows, else the first folder that is not a
part of a split. All files of one folder are one group, a player or physical instrument, so give each player a folder.
Note and dynamics are read from the file's name where they stand alone in it: `A4`, `Bb3`, `mf`.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

from models.data.ontology import labels_of
from models.data.recording import OwnPart, Recording, licence_in, midi_of, named, sound_files
from models.data.spelling import instrument_of

PARTS: dict[str, OwnPart] = {
    "train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
NOWHERE = "(in no folder)"
DYNAMICS = frozenset(
    {"ppp", "pp", "p", "mp", "mf", "f", "ff", "fff"}
    | {"pianissimo", "piano", "mezzo-piano", "mezzo-forte", "forte", "fortissimo"}
)


def recognises(path: Path) -> bool:
    return path.is_dir() and any(file.parent != path for file in sound_files(path))


def read(path: Path) -> list[Recording]:
    """Sound files that lie in no folder below `path` are listed under NOWHERE, which no label has."""
    library = path.resolve().name
    licences = cache(lambda folder: next((text for up in _up(folder, path) if (text := licence_in(up))), ""))
    recordings = []
    for file in sound_files(path):
        inside = PurePosixPath(file.parent.relative_to(path).as_posix())
        part = next((PARTS[piece.lower()] for piece in inside.parts if piece.lower() in PARTS), None)
        folders = [piece for piece in inside.parts if piece.lower() not in PARTS] or [*inside.parts, NOWHERE][:1]
        known = [piece for piece in folders if instrument_of(piece) or labels_of(piece)]
        fine = [piece for piece in known if instrument_of(piece)]
        player = folders[1:] and folders[-1] not in fine  # else each part of a split has players of its own
        tokens = re.split(r"[ _.,()\[\]]+|-(?=\D)", file.stem)
        recordings.append(
            Recording(
                path=file,
                name=(inside / file.name).as_posix(),
                library=library,
                group="/".join([library, *([part] if part and not player else []), *folders]),
                part=part,
                pitch=next((midi for token in tokens if (midi := midi_of(token)) is not None), None),
                dynamics=next((token for token in tokens if token.lower() in DYNAMICS), ""),
                licence=licences(file.parent),
                **named((fine or known or folders[:1])[-1]),  # type: ignore[arg-type]
            )
        )
    return recordings


def _up(folder: Path, root: Path) -> Iterator[Path]:
    """`folder` and what it lies in, up to `root`."""
    while folder != root:
        yield folder
        folder = folder.parent
    yield root
