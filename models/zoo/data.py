"""The recordings that a system learns from and is judged by, read when they are first asked for. Knows the split."""

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from models.data.corpus import Clip, Progress

T = TypeVar("T")


class Data:
    """Clips by part of the fixed split, the same as the shipped model's: rendered notes are in `train` only."""

    plain = False  # whether windows to learn from are heard as they are, not in other rooms and noise

    def __init__(
        self,
        folders: Sequence[Path] = (),
        soundfonts: Sequence[Path] = (),
        report: Callable[[str], None] = lambda line: None,
        progress: "Progress" = lambda done, total: None,
    ) -> None:
        """folders: corpora of any kind that `models.data.loaders` knows; a system may read one of them itself."""
        self.folders = tuple(folders)
        self.soundfonts = tuple(soundfonts)
        self.report, self.progress = report, progress
        self._made: dict[Hashable, Any] = {}

    @cached_property
    def recorded(self) -> "list[Clip]":
        """Without rendered notes. Raises FileNotFoundError and CorpusError as `read_corpora` does."""
        from models.data.corpus import read_corpora

        return read_corpora(self.folders, progress=self.progress)

    @cached_property
    def clips(self) -> "list[Clip]":
        """Raises as `recorded` and `render_all` do."""
        from models.data.render import render_all

        clips = self.recorded
        rendered = render_all(self.soundfonts)
        self.report(f"{len(clips)} clips, {len(rendered)} notes rendered from {len(self.soundfonts)} soundfonts")
        return clips + rendered

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What there is to learn: the labels of the training part, in the ontology's order."""
        from models.data.ontology import LABELS

        present = {clip.label for clip in self.part("train")}
        return tuple(label for label in LABELS if label in present)

    def part(self, name: str) -> "list[Clip]":
        """name: train, calibrate or report. The report part is for the end: look at it once."""
        return [clip for clip in self.clips if clip.part == name]

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made on the first call with this key: systems trained in one process share it."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def described(self) -> dict[str, Any]:
        """Clips of each part and library; nothing if no clip was asked for."""
        told: dict[str, Any] = {}
        for clip in self.__dict__.get("clips", self.__dict__.get("recorded", [])):
            libraries = told.setdefault(clip.part, {"clips": 0, "libraries": {}})
            libraries["clips"] += 1
            libraries["libraries"][clip.library] = libraries["libraries"].get(clip.library, 0) + 1
        return {part: {**row, "libraries": dict(sorted(row["libraries"].items()))} for part, row in told.items()}
