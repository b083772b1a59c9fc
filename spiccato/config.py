"""`spiccato config`: the configuration's schema, whether a file is right, and what is in force. Knows its options."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from server.config import Config

app = typer.Typer(name="config", help="Check and show the configuration.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Without it, the one that `spiccato serve` would find.")
    ] = None,
) -> None:
    """Say every mistake in a configuration, with its line. The exit status is 1 if there is one.

    The environment counts too, as it does for `spiccato serve`, and so do the model's labels and secrets.

    **Examples**

    - `spiccato config check spiccato.toml`
    - `spiccato config check && systemctl reload spiccato`
    """
    from engine import weights
    from server import fits
    from spiccato.trouble import told

    with told():
        config = load(file)
        settings = config.settings
        if mistakes := fits.mistakes(settings, weights.load(settings.model)):
            raise config.error(mistakes)
        typer.echo(f"{config.file or 'the settings'}: all right")


@app.command()
def show(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Without it, the one that `spiccato serve` would find.")
    ] = None,
) -> None:
    """Show what is in force, as TOML: the file, the environment and the defaults put together; secrets are hidden.

    **Example**

    - `SPICCATO_PORT=9000 spiccato config show`
    """
    from spiccato.trouble import told

    with told():
        typer.echo(shown(load(file)), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors that complete and check TOML.

    **Example**

    - `spiccato config schema > spiccato.schema.json`
    """
    from server import config

    typer.echo(json.dumps(config.schema(), indent=2))


def load(file: Path | None, **given: Any) -> "Config":
    """The settings: what was given wins over the environment, that over the file, that over the defaults."""
    from server import config

    known = {name: value for name, value in given.items() if value is not None}
    return config.load(file if file is not None else config.find(), **known)


def shown(config: "Config") -> str:
    """As TOML, with who said it. Single settings come first, then the tables."""
    import tomli_w
    from pydantic import SecretStr

    told: dict[str, Any] = config.settings.model_dump(mode="json")
    rows, tables = [f"# {config.file or 'no file: defaults and the environment'}"], {}
    for name, value in told.items():
        if isinstance(value, dict | list):
            tables[name] = without_null(value)
            continue
        if isinstance(getattr(config.settings, name), SecretStr):
            rows.append(f"# {name} is hidden  # {config.origin((name,))}")
        elif value is None:
            rows.append(f"# {name} is not set")
        else:
            rows.append(f"{tomli_w.dumps({name: value}).strip():<40}  # {config.origin((name,))}")
    return "\n".join(rows) + "\n\n" + tomli_w.dumps(tables)


def without_null(value: Any) -> Any:
    """TOML has no null: what is not set is left out."""
    if isinstance(value, dict):
        return {name: without_null(inner) for name, inner in value.items() if inner is not None}
    return [without_null(inner) for inner in value] if isinstance(value, list) else value
