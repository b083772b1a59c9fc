"""How a command ends when something is wrong: one sentence on stderr and an exit code, never a traceback.

Knows which exceptions mean "the caller's to mend"; everything else is a fault of ours and keeps its traceback.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from pydantic import ValidationError

from client.stream import StreamError
from engine.weights import ModelError
from server.errors import Refusal
from server.reader import ReadError


def fail(sentence: str) -> NoReturn:
    """Say it and end with status 1."""
    typer.echo(f"spiccato: {sentence}", err=True)
    raise typer.Exit(1)


@contextmanager
def told() -> Iterator[None]:
    """What the caller can mend is told as a sentence."""
    try:
        yield
    except ValidationError as error:
        fail(_settings(error))
    except (ReadError, ModelError, Refusal, StreamError) as error:
        fail(str(error))


def _settings(error: ValidationError) -> str:
    """Of server.settings: which one, its value and what is wrong with it."""
    mistakes = []
    for mistake in error.errors():
        name = str(mistake["loc"][0]) if mistake["loc"] else "settings"
        reason = mistake["msg"][:1].lower() + mistake["msg"][1:]
        mistakes.append(f"{name}={mistake['input']!r} (--{name} or SPICCATO_{name.upper()}): {reason}")
    return "; ".join(mistakes)
