"""`spiccato train --add NAME`: what is asked is checked, then read, added, written and told. Knows files and texts.

How a detector is added is `add.py`.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TaskID

from engine.weights import Model, ModelError, load, save
from models.add import FEWEST, add
from models.data.corpus import read_corpora
from models.data.ontology import NEGATIVES, family_of
from models.detector import Plan
from models.others import SHIPPED, OthersError, read
from models.takes import Takes, decoded, files_of, read_takes, trouble_of
from server.errors import Refusal

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
NAME_RULE = "lower-case letters, digits and underscores, a letter first, at most 32 of them"
FEW = 10  # notes: fewer are told to be few
CORPUS_CLIPS = 600  # of a corpus of counterexamples


class Refused(ValueError):
    """A sentence about what was asked."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the command line says."""

    label: str
    sources: Sequence[Path]
    model: Path
    out: Path | None
    family: str | None
    replace: bool
    negatives: Sequence[Path]
    data: Sequence[Path]
    budget: float
    plan: Plan


def run(wish: Wish, console: Console, bars: Progress) -> Path:
    """Add, write, tell. Returns the file written. Raises Refused with what was wrong with the wish."""
    begun = time.monotonic()
    model, out = checked(wish)
    tasks: dict[str, TaskID] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, visible=done < total)

    with bars:
        takes = read_all(wish.sources, progress)
        tell_files(takes, console)
        if takes.notes < FEWEST:
            raise Refused(
                f"{takes.notes} notes in {', '.join(map(str, wish.sources))}: at least {FEWEST} are needed, 30 are good"
            )
        given = sounds(wish, console, progress)
        try:
            others = [read(SHIPPED, model.front_end)]
        except OthersError as error:
            others = []
            said = "yours and synthetic ones" if given else "synthetic ones only: give --negatives, or it will cry wolf"
            console.print(f"warning: {error}; learning from {said}", markup=False)
        try:
            made = add(model, wish.label, family(wish, model), takes, others, given, wish.plan, wish.budget, progress)
        except ValueError as error:
            raise Refused(str(error)) from error
    save(made, out)
    tell(made, wish, console)
    console.print(f"wrote {out} in {_minutes(time.monotonic() - begun)}", markup=False, highlight=False)
    return out


def checked(wish: Wish) -> tuple[Model, Path]:
    """The model and where the new one goes. Raises Refused before anything takes time."""
    if not NAME.fullmatch(wish.label) or wish.label in NEGATIVES:
        other = f", and not {', '.join(NEGATIVES)}" if wish.label in NEGATIVES else ""
        raise Refused(f"{wish.label!r} cannot be a label: {NAME_RULE}{other}")
    if not wish.sources:
        raise Refused(f"--add {wish.label} needs --from FOLDER with recordings of it")
    try:
        model = load(wish.model)
    except ModelError as error:
        raise Refused(str(error)) from error
    if wish.label in model.labels:
        if not wish.replace:
            raise Refused(f"{model.id} has a label {wish.label} already: choose another name, or --replace it")
        if len(model.labels) == 1:
            raise Refused(f"{wish.label} is the only label of {model.id}: there is nothing to replace it in")
    out = wish.out or Path(default_name(wish.model, wish.label))
    if SHIPPED.parent.resolve() in out.resolve().parents:
        raise Refused(f"{out} is among the shipped models, which stay as they are: give --out another name")
    if out.exists() and not wish.replace:
        raise Refused(f"{out} is there already: give --out another name, or --replace it")
    return model, out


def default_name(model: Path, label: str) -> str:
    added = label in model.stem.split("+")[1:]
    return f"{model.stem}{'' if added else f'+{label}'}.safetensors"


def family(wish: Wish, model: Model) -> str:
    """As asked, as it was, as the ontology says, or `other`."""
    was = model.families[model.labels.index(wish.label)] if wish.label in model.labels else None
    return wish.family or was or family_of(wish.label) or "other"


def read_all(paths: Sequence[Path], progress: Any) -> Takes:
    try:
        files = [file for path in paths for file in files_of(path)]
    except FileNotFoundError as error:
        raise Refused(str(error)) from error
    count = iter(range(1, len(files) + 1))
    return read_takes(files, lambda: progress("reading", next(count), len(files)))


def sounds(wish: Wish, console: Console, progress: Any) -> list[NDArray[np.float32]]:
    """The user's own counterexamples."""
    found = []
    try:
        for file in (file for path in wish.negatives for file in files_of(path)):
            try:
                found.append(decoded(file)[0])
            except (OSError, Refusal) as error:
                console.print(f"warning: {file} is not used: {trouble_of(error)}", markup=False)
        if wish.data:
            clips = read_corpora(wish.data, progress=lambda done, total: progress("corpus", done, total))
            clips = [clip for clip in clips if wish.label not in (clip.label, clip.instrument)]
            chosen = np.random.default_rng((wish.plan.seed, 4)).permutation(len(clips))[:CORPUS_CLIPS]
            found += [clips[i].samples.astype(np.float32) / np.float32(32768.0) for i in chosen]
    except (FileNotFoundError, ValueError) as error:
        raise Refused(str(error)) from error
    return [sound for sound in found if np.any(sound)]


def tell_files(takes: Takes, console: Console) -> None:
    for path, reason in takes.unused:
        console.print(f"warning: {path} is not used: {reason}", markup=False, highlight=False)
    for path, reason in takes.warned:
        console.print(f"warning: {path} is {reason}", markup=False, highlight=False)
    if FEWEST <= takes.notes < FEW:
        console.print(
            f"warning: {takes.notes} notes are few: the figures below are rough, and 30 notes make a better detector",
            markup=False,
        )


def tell(model: Model, wish: Wish, console: Console) -> None:
    figures = model.trained["added"][-1]["figures"]
    index = model.labels.index(wish.label)
    false = figures["false_onsets"]
    latency = figures["onset_latency_ms"]
    rows = [
        f"{wish.label}: {figures['notes']} notes from {figures['files']} files, judged on notes left out in turn",
        f"  heard          {figures['recall']:g} % of them, folds {_listed(figures['recall_of_folds'])}",
        f"  false onsets   {false['per_hour']:g} an hour in {false['hours']:g} h of other instruments, speech and noise"
        + (f": {', '.join(f'{kind} {count}' for kind, count in list(false['on'].items())[:5])}" if false["on"] else ""),
        "  onset to event "
        + (f"median {latency['median']:g} ms, 95 % within {latency['p95']:g} ms" if latency["events"] else "never"),
        "  with another --budget: "
        + ", ".join(f"{budget} an hour {recall:g} %" for budget, recall in figures["recall_at_budget"].items()),
        f"  turns on at a score of {model.on[index]:g}, off at {model.off[index]:g}",
        f"  the {len(model.labels) - 1} other labels are what they were, bit for bit (compared over"
        f" {figures['proved_s']:g} s of notes and noise)",
    ]
    for row in rows:
        console.print(row, markup=False, highlight=False, soft_wrap=True)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
