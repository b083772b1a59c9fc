"""From a folder of recordings to a model file: the whole training command, a line a stage. Knows only the order."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.latch import LatchSettings
from engine.weights import Model
from models.calibrate import BUDGET, calibrated
from models.data.bank import Banks, build
from models.data.corpus import Clip, Progress, read_corpora
from models.data.ensemble import Ensemble
from models.data.ontology import LABELS
from models.data.render import SOUNDFONTS, render_all
from models.data.scenes import Stage
from models.data.scores import CORPUS, find_scores
from models.data.shelf import some_scores
from models.evaluate import evaluate
from models.export import model_of
from models.further import further
from models.hearing import hear
from models.run import Run, identity
from models.train import Recipe, fit
from models.twin import check_twin, of_twin, released
from models.validation import held_out

NAME = "orchestra"
VERSION = "1.3.0"
SCORES = 60  # of music21's corpus, from which scenes are taken where the recipe asks for any


def make(
    folders: Path | Sequence[Path],
    recipe: Recipe,
    soundfonts: tuple[Path, ...] = SOUNDFONTS,
    report: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
    run: Run | None = None,
    device: str = "cpu",
    budget: float | None = BUDGET,
    twin: Model | None = None,
) -> Model:
    """Read, render, train, calibrate, evaluate. The same folders, soundfonts, recipe and machine give the same bytes.

    `progress` is told of the recordings that are decoded. budget: false onsets an hour for each label. `run` keeps
    checkpoints and a log, and goes on from them. twin: a model of the same recipe and data, whose figures this one is
    given: it learns from the report half too. Raises RunError if it is none.
    """
    folders = [folders] if isinstance(folders, Path) else list(folders)
    clips = read_corpora(folders, progress=progress)
    report(f"{len(clips)} clips from {', '.join(map(str, folders))}")
    rendered = render_all(soundfonts)
    report(f"{len(rendered)} notes rendered from {len(soundfonts)} soundfonts")
    clips += rendered
    if twin is not None:
        check_twin(twin, recipe, described(clips))
        clips = released(clips)
    if run is not None:
        run.report = report
        run.open(recipe, identity(clips, described(clips)), device)
        run.validate_on(held_out(clips, recipe))
    training = [clip for clip in clips if clip.part == "train"]
    stage = stage_of(training, recipe)
    banks = Banks(
        lambda number: build(stage, recipe.front_end, recipe.scenes, recipe.seed, number * recipe.scenes), recipe.banks
    )
    with closing(banks):
        report(f"{len(banks)} scenes, {recipe.banks} times")
        network = fit(banks, recipe, report, run, device)
    model = model_of(network, recipe.front_end, name=NAME, version=VERSION)
    if run is not None and run.best:
        report(f"best epoch on libraries left out: {run.best['epoch']} of {recipe.epochs}")
    report("calibrating and evaluating")
    model = finished(model, clips, recipe, budget, twin)
    if run is not None:
        model = replace(model, trained={**model.trained, "best_epoch": run.best})
    return model


def stage_of(clips: Sequence[Clip], recipe: Recipe) -> Stage:
    """The scenes of the recipe; scores are read only if some scenes are to be bars of one."""
    if recipe.score_share == 0.0:
        return Stage(clips, stretch_share=recipe.stretch_share)
    scores = some_scores(find_scores(CORPUS), SCORES, recipe.seed)
    return Stage(clips, Ensemble(clips, scores), recipe.score_share, recipe.stretch_share)


def finished(
    model: Model, clips: list[Clip], recipe: Recipe, budget: float | None = BUDGET, twin: Model | None = None
) -> Model:
    """The model with thresholds from the calibration half and figures from the other, or the twin's."""
    trained = {"recipe": recipe.to_dict(), "data": described(clips)}
    if twin is not None:
        trained |= of_twin(twin)
    return judged(replace(model, trained=trained), clips, budget)


def judged(model: Model, clips: Sequence[Clip], budget: float | None) -> Model:
    """The same network with new thresholds, to `budget` false onsets an hour, and figures for them; a twin's stay."""
    known = [clip for clip in clips if clip.part == "calibrate"]
    on, off, calibration = calibrated(
        hear(model, [clip for clip in known if clip.label in LABELS]),
        hear(model, [clip for clip in known if clip.label not in LABELS]),
        budget,
    )
    model = replace(model, on=tuple(on), off=tuple(off), trained={**model.trained, "calibration": calibration})
    if "twin" in model.trained:
        return model
    settings = LatchSettings(on=model.on, off=model.off, enabled=(True,) * len(on))
    report = [clip for clip in clips if clip.part == "report"]
    figures = {**evaluate(model, report, settings), "further": further(model, report)}
    return replace(model, trained={**model.trained, "figures": figures})


def described(clips: list[Clip]) -> dict[str, Any]:
    """What the model learned from and was judged by: clips of each part, library, label and licence."""
    parts: dict[str, Any] = {}
    for part in ("train", "calibrate", "report"):
        own = [clip for clip in clips if clip.part == part]
        parts[part] = {
            "clips": len(own),
            "libraries": dict(sorted(Counter(clip.library for clip in own).items())),
            "labels": dict(sorted(Counter(clip.label for clip in own).items())),
        }
    licences: dict[str, set[str]] = {}
    for clip in clips:
        if clip.part == "train":
            licences.setdefault(clip.library, set()).add(clip.licence)
    parts["licences"] = {library: sorted(names) for library, names in sorted(licences.items())}
    return parts
