"""The command line: its commands put together. Knows no option; `commands/` and the modules named here have those."""

from typing import Annotated

import typer

from models.calibrate_cli import calibrate
from models.cli import train
from models.data_cli import app as data_app
from models.dream.cli import dream
from models.exporting.cli import export
from models.zoo.embed_cli import embed
from server.version import VERSION
from spiccato.commands.archive import archive
from spiccato.commands.bench import bench
from spiccato.commands.classify import classify
from spiccato.commands.devices import devices
from spiccato.commands.doctor import doctor
from spiccato.commands.evaluate import evaluate
from spiccato.commands.listen import listen
from spiccato.commands.reload import reload
from spiccato.commands.serve import serve
from spiccato.commands.token import token
from spiccato.commands.warm import warm
from spiccato.config import app as config_app
from spiccato.history import app as history_app
from spiccato.sources import app as sources_app

COMMANDS = (
    serve, listen, classify, archive, devices, doctor, reload, bench, token, warm, evaluate,
    train, calibrate, export, dream, embed,
)  # fmt: skip
GROUPS = (data_app, config_app, history_app, sources_app)

app = typer.Typer(
    name="spiccato",
    help="Hears, live, which musical instruments are playing.",
    epilog="`spiccato serve`, then open the page: that is all it takes. `spiccato COMMAND --help` shows examples.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spiccato {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


for _command in COMMANDS:
    app.command()(_command)
for _group in GROUPS:
    app.add_typer(_group)


def run() -> None:
    app(prog_name="spiccato")
