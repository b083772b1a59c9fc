"""How a command ends when something is wrong: one sentence on stderr and an exit code, never a traceback.

Knows which exceptions mean "the caller's to mend"; everything else is a fault of ours and keeps its traceback.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from client.stream import StreamError
from engine.weights import ModelError
from server.config import ConfigError
from server.detect import Mistaken
from server.errors import Refusal
from server.past import HistoryError
from server.reader import ReadError
from server.source_file import SourceFileError
from spiccato.archive import ArchiveError


def fail(sentence: str) -> NoReturn:
    """Say it and end with status 1."""
    typer.echo(f"spiccato: {sentence}", err=True)
    raise typer.Exit(1)


@contextmanager
def told() -> Iterator[None]:
    """What the caller can mend is told as a sentence."""
    try:
        yield
    except ConfigError as error:
        fail("\nspiccato: ".join(error.sentences))
    except (
        ArchiveError,
        HistoryError,
        Mistaken,
        ModelError,
        ReadError,
        Refusal,
        SourceFileError,
        StreamError,
    ) as error:
        fail(str(error))
