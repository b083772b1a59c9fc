"""`spiccato train --system NAME`: from folders to a file, its results beside it. Knows the order."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.data.render import SOUNDFONTS
from models.zoo import file
from models.zoo.data import Data
from models.zoo.registry import system
from models.zoo.results import trained_and_judged
from models.zoo.system import Run, ZooError


def train(
    name: str,
    folders: Sequence[Path],
    out: Path,
    given: Mapping[str, str | int | None],
    soundfonts: bool,
    folder: Path,
    report: Callable[[str], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
    data: Data | None = None,
) -> dict[str, Any]:
    """Train, judge, write `out` and its results beside it as JSON, which is returned.

    given: settings by name. folder: for the run's logs. data: instead of `folders`, to share what was read.
    Raises ZooError, and what reading the corpora raises.
    """
    which = system(name)
    settings = which.set(given)
    if which.needs_data and not folders and data is None:
        raise ZooError(f"--system {name} needs --data DIR")
    if not out.absolute().parent.is_dir():
        raise ZooError(f"--out {out}: there is no such folder")
    data = data or Data(folders, SOUNDFONTS if soundfonts else (), report, progress)
    trained, results = trained_and_judged(which, settings, data, Run(report, folder))
    file.save(out, which, settings, trained, results)
    out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def headline(results: dict[str, Any]) -> str:
    """One line for the terminal."""
    figures = results["figures"]
    if results["kind"] == "task":
        return "; ".join(f"{row['what']}: {row['ours']} (to beat: {row['to_beat']})" for row in figures["headline"])
    told = ", ".join(f"{value} % after {ms} ms" for ms, value in figures["balanced_accuracy"].items())
    return f"balanced accuracy on the report part: {told}"
