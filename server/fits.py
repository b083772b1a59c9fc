"""Whether settings fit the model and each other. Changes nothing."""

from collections.abc import Iterator
from importlib.util import find_spec

from pydantic import SecretStr

from engine.weights import Model
from server import bus
from server.detect import Mistaken, tuned, unfit
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
    found = [*_thresholds(settings, model), *_history(settings), *_sources(settings, model), *_redis(settings)]
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


def _redis(settings: Settings) -> Iterator[Mistake]:
    for name in ("redis_url", "failover_url"):
        url: SecretStr | None = getattr(settings, name)
        if url is None:
            continue
        if find_spec("redis") is None:
            yield Mistake((name,), f"{name} needs a package more: pip install 'spiccato[redis]'")
        elif not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            yield Mistake((name,), f"{name}: it begins with redis://, rediss:// or unix://")
        else:
            try:
                bus.check(url.get_secret_value())
            except ValueError as error:
                yield Mistake((name,), f"{name} cannot be read: {error}")


def _sources(settings: Settings, model: Model) -> Iterator[Mistake]:
    for number, source in enumerate(settings.sources):
        for mistake in unfit(model, source.detect):
            yield Mistake(("sources", number), mistake.message)
        try:
            source.input(settings.allowed)
        except Refusal as refusal:
            yield Mistake(("sources", number), refusal.message)
