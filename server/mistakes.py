"""What is wrong with a setting, as a sentence: pydantic's findings in our words. Knows no file and no line."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from server.commands import shown

Place = tuple[str | int, ...]  # names and indices, from the top of the configuration

SECRET = frozenset(
    {"token", "password", "secret", "url", "headers", "history", "redis_url", "failover_url"}
)  # their values stand in no message


@dataclass(frozen=True)
class Mistake:
    """One setting that cannot be used."""

    place: Place  # what is missing is named too
    sentence: str


def mistake(error: Any, data: dict[str, Any], schema: dict[str, Any]) -> Mistake:
    """One of `ValidationError.errors()`, of `data`, whose JSON Schema is `schema`."""
    place, here = _place(error["loc"], data)
    name = dotted(place)
    match error["type"]:
        case "missing":
            lacking = error["loc"][-1]
            return Mistake((*place, lacking), f"{f'{name} has no' if name else 'there is no'} {lacking}")
        case "extra_forbidden":
            close = difflib.get_close_matches(str(place[-1]), sorted(set(_names(schema))), 1)
            meant = f"; did you mean {close[0]}?" if close else ""
            return Mistake(place, f"{name}: there is no such setting{meant}")
        case "union_tag_not_found":
            return Mistake(place, f"{name} has no kind")
        case "union_tag_invalid":
            known = error["ctx"]["expected_tags"]
            return Mistake((*place, "kind"), f"{name}.kind={error['ctx']['tag']!r}: it is one of {known}")
    value = "" if SECRET & set(place) or isinstance(here, dict) or "@" in str(here) else f"={shown(error['input'])}"
    return Mistake(place, f"{name}{value}: {_lower(error['msg'].removeprefix('Value error, '))}")


def dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _place(location: Place, data: Any) -> tuple[Place, Any]:
    """The part of pydantic's location that the data has (it names members of unions too), and what is there."""
    place: Place = ()
    for step in location:
        if step in data if isinstance(data, dict) else isinstance(data, list) and isinstance(step, int):
            place, data = (*place, step), data[step]
    return place, data


def _names(schema: Any) -> Iterator[str]:
    """Of all settings, on every level."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from _names(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _names(inner)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
