"""Corpora of every known kind as one list of recordings. Knows which kind a folder is; each kind has its own file."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.data.loaders import folder, manifest, nsynth, philharmonia
from models.data.recording import Recording

# name, does the path look like it, read it: the first that does
KINDS: tuple[tuple[str, Callable[[Path], bool], Callable[[Path], list[Recording]]], ...] = (
    ("manifest", manifest.recognises, manifest.read),
    ("nsynth", nsynth.recognises, nsynth.read),
    ("philharmonia", philharmonia.recognises, philharmonia.read),
    ("folder", folder.recognises, folder.read),
)


@dataclass(frozen=True)
class Corpus:
    path: Path
    kind: str
    recordings: list[Recording]


def load(path: Path) -> Corpus:
    """What `path` holds. Raises FileNotFoundError if it is no corpus, CorpusError if it is one with mistakes in it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    for kind, recognises, read in KINDS:
        if recognises(path):
            return Corpus(path, kind, read(path))
    raise FileNotFoundError(
        f"{path} is no corpus: it holds no manifest.csv, no examples.json of NSynth and no sound files in folders"
    )


def merged(corpora: Sequence[Corpus]) -> list[Recording]:
    """All recordings, each file once; a name that two corpora use gets its corpus's folder in front."""
    by_path = {recording.path.resolve(): (corpus, recording) for corpus in corpora for recording in corpus.recordings}
    names = Counter(recording.name for _, recording in by_path.values())
    return [
        recording if names[recording.name] == 1 else replace(recording, name=f"{corpus.path}:{recording.name}")
        for corpus, recording in by_path.values()
    ]
