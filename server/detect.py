"""What a client asks to detect, checked against the model's labels, as the latch's settings. Knows no session."""

from collections.abc import Mapping
from dataclasses import replace

from engine.latch import LatchSettings
from engine.pipeline import default_settings
from engine.weights import Model
from server.commands import Detect, Mistake, Thresholds, WhichModel, shown
from server.errors import Code, Refusal
from server.protocol import EffectiveDetect, EffectiveThresholds


class Mistaken(Exception):
    """What was asked does not fit the model."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes[0].message)
        self.mistakes = mistakes


def named(which: WhichModel, main: Model, compare: Model | None) -> Model:
    """The model that is asked for. Raises Refusal where there is no second one."""
    if which == "main":
        return main
    if compare is None:
        raise Refusal(
            Code.UNKNOWN_MODEL, f"model='compare': this service has {main.id} only (compare_model names a second)"
        )
    return compare


def applied(model: Model, base: LatchSettings, asked: Detect) -> LatchSettings:
    """`base` changed by what was asked. Raises Mistaken naming everything that does not fit."""
    mistakes: list[Mistake] = []
    known = f"the labels of {model.id} are {', '.join(model.labels)}"

    def check(path: str, label: str) -> bool:
        if label in model.labels:
            return True
        message = f"{path}: {shown(label)} is not a label; {known}"
        mistakes.append(Mistake(path=path, code=Code.UNKNOWN_LABEL, message=message))
        return False

    enabled = base.enabled
    if asked.labels is not None:
        wanted = {label for i, label in enumerate(asked.labels) if check(f"detect.labels.{i}", label)}
        enabled = tuple(label in wanted for label in model.labels)

    on, off = list(base.on), list(base.off)
    for label, thresholds in asked.thresholds.items():
        path = f"detect.thresholds.{shown(label)[1:-1]}"
        if not check(path, label):
            continue
        i = model.labels.index(label)
        on[i] = on[i] if thresholds.on is None else thresholds.on
        off[i] = off[i] if thresholds.off is None else thresholds.off
        if not off[i] < on[i]:
            message = f"{path}: on={on[i]:g}, off={off[i]:g}: off must be below on"
            mistakes.append(Mistake(path=path, code=Code.BAD_THRESHOLDS, message=message))
    if mistakes:
        raise Mistaken(mistakes)
    return replace(
        base,
        on=tuple(on),
        off=tuple(off),
        enabled=enabled,
        min_on_ms=base.min_on_ms if asked.min_on_ms is None else asked.min_on_ms,
        min_off_ms=base.min_off_ms if asked.min_off_ms is None else asked.min_off_ms,
        refractory_ms=base.refractory_ms if asked.refractory_ms is None else asked.refractory_ms,
    )


def unfit(model: Model, asked: Detect) -> list[Mistake]:
    """What of it does not fit the model."""
    try:
        applied(model, default_settings(model), asked)
    except Mistaken as error:
        return error.mistakes
    return []


def effective(model: Model, settings: LatchSettings) -> EffectiveDetect:
    """The settings in force, as told to the client: the labels that are on, with their thresholds."""
    on = [i for i, enabled in enumerate(settings.enabled) if enabled]
    return EffectiveDetect(
        labels=[model.labels[i] for i in on],
        thresholds={model.labels[i]: EffectiveThresholds(on=settings.on[i], off=settings.off[i]) for i in on},
        min_on_ms=settings.min_on_ms,
        min_off_ms=settings.min_off_ms,
        refractory_ms=settings.refractory_ms,
    )


def tuned(model: Model, thresholds: Mapping[str, Thresholds]) -> Model:
    """The model with other thresholds for some labels. Raises Mistaken."""
    try:
        latch = applied(model, default_settings(model), Detect(thresholds=dict(thresholds)))
    except Mistaken as error:
        raise Mistaken([_bare(mistake) for mistake in error.mistakes]) from error
    return replace(model, on=latch.on, off=latch.off)


def _bare(mistake: Mistake) -> Mistake:
    """Named as in the settings, where nothing stands before `thresholds`."""
    path, message = mistake.path.removeprefix("detect."), mistake.message.removeprefix("detect.")
    return Mistake(path=path, code=mistake.code, message=message)
