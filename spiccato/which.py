"""The options that say which events are meant, for every command that reads the history. Knows no database."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from server.past.asked import Asked

FromOption = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Onset at or after: 2026-01-02T15:00+01:00, or ...Z.")
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Onset before.")]
SourceOption = Annotated[list[str] | None, typer.Option("--source", help="This source; may be repeated.")]


def asked(
    from_: FromOption = None,
    to: ToOption = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="This instrument; may be repeated.")] = None,
    family: Annotated[list[str] | None, typer.Option("--family", help="This family; may be repeated.")] = None,
    source: SourceOption = None,
    session: Annotated[str | None, typer.Option("--session", help="This session.")] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", min=0, max=1, help="A peak of at least this.")
    ] = None,
    min_duration_ms: Annotated[float | None, typer.Option("--min-duration-ms", min=0, help="At least so long.")] = None,
    retracted: Annotated[bool, typer.Option("--retracted", help="Also what was taken back.")] = False,
) -> "Asked":
    """What these options ask for; it is checked by its `filter()`."""
    from server.past.asked import Asked

    lists = (label or [], family or [], source or [])
    return Asked(from_, to, *lists, session, min_score, min_duration_ms, retracted)


def with_which(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `asked` in the place of its parameter `which`, which gets what they ask for."""
    shared = inspect.signature(asked).parameters
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        parameters += shared.values() if name == "which" else [parameter]

    # not the annotations: typer reads those of the signature
    @functools.wraps(command, assigned=("__module__", "__name__", "__doc__"))
    def run(**given: Any) -> None:
        command(which=asked(**{name: given.pop(name) for name in shared}), **given)

    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    return run
