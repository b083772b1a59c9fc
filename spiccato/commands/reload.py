"""`spiccato reload`: its options."""

from typing import Annotated

import typer

from spiccato.config import load
from spiccato.options import ConfigOption


def reload(
    config: ConfigOption = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="The service, where it is not the one of these settings.")
    ] = None,
) -> None:
    """Let the running service read its settings again, and say what has changed and what waits for a restart.

    Thresholds, sources, outputs, tokens and the log level change at once. With a mistake in them nothing does.
    Where the service asks for a token, it is `SPICCATO_TOKEN` or the file's `token`.

    **Examples**

    - `spiccato reload`
    - `spiccato reload --server https://spiccato.example`
    """
    from spiccato import reload as reloading
    from spiccato.trouble import told

    with told():
        reloading.run(load(config).settings, server)
