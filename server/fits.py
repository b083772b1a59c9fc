"""Whether settings fit the model and each other. Changes nothing."""

from collections.abc import Iterator

from engine.weights import Model
from server.detect import Mistaken, tuned
from server.errors import Refusal
from server.mistakes import Mistake
from server.outputs import fits as outputs
from server.past import HistoryError
from server.past.history import database
from server.settings import Settings


class Unfit(ValueError):
    """Settings of the right form that cannot be used here."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(mistake.sentence for mistake in mistakes))
        self.mistakes = mistakes


def check(settings: Settings, model: Model) -> None:
    """Raises Unfit with everything that does not fit."""
    if found := mistakes(settings, model):
        raise Unfit(found)


def mistakes(settings: Settings, model: Model) -> list[Mistake]:
    """`model` is the one of the file, before its thresholds were changed."""
    found = [*_thresholds(settings, model), *_history(settings), *_sources(settings)]
    return [*found, *outputs.mistakes(settings.outputs, model)]


def _thresholds(settings: Settings, model: Model) -> Iterator[Mistake]:
    try:
        tuned(model, settings.thresholds)
    except Mistaken as error:
        for mistake in error.mistakes:
            yield Mistake(tuple(mistake.path.split(".", 1)), mistake.message)


def _history(settings: Settings) -> Iterator[Mistake]:
    asked = settings.history.get_secret_value()
    if asked == "off":
        if settings.clips != "off":
            yield Mistake(("clips",), f"clips={settings.clips} needs a history, and history=off keeps none")
        return
    try:
        database(asked).close()
    except HistoryError as error:
        yield Mistake(("history",), str(error))


def _sources(settings: Settings) -> Iterator[Mistake]:
    for number, source in enumerate(settings.sources):
        try:
            source.input(settings.allowed)
        except Refusal as refusal:
            yield Mistake(("sources", number), refusal.message)
