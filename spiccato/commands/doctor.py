"""`spiccato doctor`: its options."""

from typing import Annotated

import typer

from spiccato.config import load
from spiccato.options import ConfigOption, JsonOption, ModelOption


def doctor(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="As for `serve`.")] = None,
    port: Annotated[int | None, typer.Option(help="As for `serve`.")] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong on this machine, and what to do. The exit status is 1 where the service could not run.

    Looks at Python, the model, compiled kernels, the port, tokens and TLS, microphones, codecs, disk, clock and limits.

    **Examples**

    - `spiccato doctor`
    - `spiccato doctor --json | jq 'select(.state != "ok")'`
    """
    from spiccato import doctor as examination
    from spiccato.trouble import told

    with told():
        if examination.run(load(config, host=host, port=port, model=model).settings, as_json):
            raise typer.Exit(1)
