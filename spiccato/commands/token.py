"""`spiccato token`: its options."""

from pathlib import Path
from typing import Annotated

import typer

from server.roles import Role


def token(
    role: Annotated[
        Role | None,
        typer.Option(help="What it is good for: `listen` to events, `produce` sound, `admin` (everything)."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Add it to this file of tokens, which only its owner may read."),
    ] = None,
) -> None:
    """Make a token for a service that others may reach. It is printed once and kept nowhere but in `--file`.

    **Examples**

    - `SPICCATO_TOKEN=$(spiccato token) spiccato serve --host 0.0.0.0`
    - `spiccato token --role listen --file tokens`, then `spiccato serve --host 0.0.0.0 --token-file tokens`
    """
    from spiccato import newtoken

    newtoken.run(role, file)
