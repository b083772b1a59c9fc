"""Paths in a configuration file are seen from the file's own folder, and `~` is the user's. Knows JSON Schemas, which
say what is a path; nothing of settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

Schema = dict[str, Any]


def anchored(data: dict[str, Any], schema: Schema, folder: Path) -> dict[str, Any]:
    """`data` with each path made absolute: what `schema` calls a string of the format `path`."""
    result: dict[str, Any] = _anchored(data, [schema], schema, folder)
    return result


def _anchored(value: Any, schemas: list[Schema], root: Schema, folder: Path) -> Any:
    schemas = list(_resolved(schemas, root))
    if isinstance(value, str) and any(schema.get("format") == "path" for schema in schemas):
        return str(folder / Path(value).expanduser())
    if isinstance(value, dict):
        return {name: _anchored(inner, _below(schemas, name), root, folder) for name, inner in value.items()}
    if isinstance(value, list):
        items = [schema["items"] for schema in schemas if "items" in schema]
        return [_anchored(inner, items, root, folder) for inner in value]
    return value


def _below(schemas: list[Schema], name: str) -> list[Schema]:
    """What is said of the member `name`."""
    named = [schema["properties"][name] for schema in schemas if name in schema.get("properties", {})]
    return named or [
        schema["additionalProperties"] for schema in schemas if isinstance(schema.get("additionalProperties"), dict)
    ]


def _resolved(schemas: list[Schema], root: Schema) -> Iterator[Schema]:
    for schema in schemas:
        if "$ref" in schema:
            yield from _resolved([root["$defs"][schema["$ref"].rpartition("/")[2]]], root)
        yield schema
        yield from _resolved([*schema.get("anyOf", []), *schema.get("oneOf", [])], root)
