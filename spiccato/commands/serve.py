"""`spiccato serve`: its options."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spiccato.config import load
from spiccato.options import ConfigOption, ModelOption


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


def serve(
    config: ConfigOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1, this machine only]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. [default: 8000]")] = None,
    model: ModelOption = None,
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Listen to this machine's microphone from the start.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", metavar="NAME", help="Which microphone: name, part of it, number. Implies --microphone."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Tokens that are let in; `spiccato token --file` adds one."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes that serve, to use more cores. [default: 1]")
    ] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="How much the log tells. [default: info]")] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Lines for people or for machines. [default: text]")
    ] = None,
) -> None:
    """Run the service: the page, the REST API and the streams.

    Every setting can also be given in a TOML file, or in the environment as `SPICCATO_NAME`: `SPICCATO_PORT=9000`.
    Without a token it listens on this machine only. A token is no option here: others on this machine could read it.

    **Examples**

    - `spiccato serve` - then open http://127.0.0.1:8000/
    - `spiccato serve --config spiccato.toml` - settings, thresholds, the ways out
    - `spiccato serve --microphone` - hear this machine's own microphone as well
    - `spiccato serve --device "USB Audio" --port 9000`
    - `spiccato token --file tokens`, then `spiccato serve --host 0.0.0.0 --token-file tokens` - for others too
    """
    from spiccato import serve as service
    from spiccato.trouble import told

    with told():
        wanted = device or ("default" if microphone else None)
        given = {"host": host, "port": port, "model": model, "microphone": wanted, "token_file": token_file}
        given["workers"] = workers
        service.run(load(config, **given, log_level=log_level, log_format=log_format))
