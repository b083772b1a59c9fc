"""Whether outputs fit: the model's labels, this machine's packages and secrets. Changes nothing, opens nothing."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec

from engine.weights import Model
from server.mistakes import Mistake, Place
from server.outputs import webhook
from server.outputs.config import Midi, Mqtt, Output, Rule, Webhook
from server.secret import Secret


def mistakes(outputs: Iterable[Output], model: Model) -> Iterator[Mistake]:
    """Everything in the settings of outputs that does not fit."""
    names: set[str] = set()
    for index, output in enumerate(outputs):
        place: Place = ("outputs", index)
        name = output.name or output.kind
        if name in names:
            yield Mistake((*place, "name"), f"outputs.{index}: another output is called {name!r}: give this one a name")
        names.add(name)
        yield from _rule(output.rule, (*place, "rule"), model)
        yield from _secrets(output, place)
        if isinstance(output, Midi):
            yield from _midi(output, place, model)


def _rule(rule: Rule, place: Place, model: Model) -> Iterator[Mistake]:
    known = {"labels": model.labels, "families": tuple(dict.fromkeys(model.families))}
    for part, names in known.items():
        for index, name in enumerate(getattr(rule, part) or ()):
            if name not in names:
                word = f"rule.{part}: {name!r} is none of {model.id}'s: {', '.join(names)}"
                yield Mistake((*place, part, index), word)


def _secrets(output: Output, place: Place) -> Iterator[Mistake]:
    found: list[tuple[Place, Secret | None, Callable[[str], object]]] = []
    if isinstance(output, Mqtt):
        found = [(("password",), output.password, str)]
    elif isinstance(output, Webhook):
        found = [(("url",), output.url, webhook.address), (("secret",), output.secret, webhook.key)]
        for name, value in output.headers.items():
            found.append((("headers", name), value, partial(webhook.header, name)))
    for part, secret, used in found:
        try:
            if secret is not None:
                used(secret.read())
        except ValueError as error:  # a SecretError too
            yield Mistake((*place, *part), f"{part[-1]}: {error}")


def _midi(output: Midi, place: Place, model: Model) -> Iterator[Mistake]:
    if any(find_spec(package) is None for package in ("mido", "rtmidi")):
        yield Mistake(place, "MIDI needs two packages more: pip install 'spiccato[midi]'")
    for label in output.numbers:
        if label not in model.labels:
            labels = ", ".join(model.labels)
            yield Mistake((*place, "numbers", label), f"numbers: {label!r} is none of {model.id}'s labels: {labels}")
    last = output.first + len(model.labels) - 1
    if last > 127 and set(model.labels) - set(output.numbers):
        yield Mistake((*place, "first"), f"first={output.first}: {len(model.labels)} labels reach {last}, over 127")
