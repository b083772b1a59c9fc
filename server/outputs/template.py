"""A webhook's body made of an event: `$label`, `$phase` and the other fields of the event in the wire's own names.

In a table each text is filled in and the whole is then written as JSON, so no value can break out of its place; a text
that is `$score` and nothing else becomes the number. Nothing but fields: no expression, no code.
"""

from string import Template
from typing import Any

from server.protocol import EventBody

FIELDS = frozenset({field.serialization_alias or name for name, field in EventBody.model_fields.items()})


def filled(template: Any, event: dict[str, Any]) -> Any:
    """`template` with the fields of the event in it; what is None is the text `null` inside of a longer text."""
    if isinstance(template, dict):
        return {name: filled(inner, event) for name, inner in template.items()}
    if isinstance(template, list | tuple):
        return [filled(inner, event) for inner in template]
    if not isinstance(template, str):
        return template
    names = Template(template).get_identifiers()
    if len(names) == 1 and template in (f"${names[0]}", f"${{{names[0]}}}"):
        return event[names[0]]
    return Template(template).substitute({n: "null" if event[n] is None else event[n] for n in names})


def checked(template: Any) -> Any:
    """The template. Raises ValueError where it names what no event has."""
    if isinstance(template, dict):
        for inner in template.values():
            checked(inner)
    elif isinstance(template, list):
        for inner in template:
            checked(inner)
    elif isinstance(template, str):
        if not Template(template).is_valid():
            raise ValueError("a $ stands before the name of a field, or twice for itself")
        for name in Template(template).get_identifiers():
            if name not in FIELDS:
                raise ValueError(f"${name} is no field of an event; there are {', '.join(sorted(FIELDS))}")
    return template
