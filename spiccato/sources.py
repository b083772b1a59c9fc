"""`spiccato sources`: what a running service listens to, listed and changed. Knows its REST interface alone."""

import json
from typing import Annotated, Any

import typer

from spiccato.options import ChannelOption, HostApiOption, JsonOption, channel_of

ServerOption = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="The running service. [default: the one of the settings]")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `spiccato sources` lists it.")]

app = typer.Typer(name="sources", invoke_without_command=True)

HTTP_S = 30.0  # the list of devices waits for drivers


@app.callback()
def listed(context: typer.Context, server: ServerOption = None, as_json: JsonOption = False) -> None:
    """List the sources of a running service with their states, or change them. A token is taken from SPICCATO_TOKEN.

    **Examples**

    - `spiccato sources`
    - `spiccato sources add --device USB --channel 1 --name "Stage left"`
    - `spiccato sources mute stage-left`
    - `spiccato sources --json | jq 'select(.state != "healthy")'`
    """
    if context.invoked_subcommand is not None:
        return
    sources = _asked("GET", server)["sources"]
    if as_json:
        for source in sources:
            print(json.dumps(source))
        return
    if not sources:
        typer.echo("none: `spiccato sources add` begins to listen to the default microphone")
        return
    _table(sources)


@app.command()
def add(
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Audio input of the service's machine; without it, its default one."),
    ] = None,
    host_api: HostApiOption = None,
    channel: ChannelOption = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="For people; the id is made of it.")] = None,
    muted: Annotated[bool, typer.Option("--muted", help="Do not hear it yet.")] = False,
    server: ServerOption = None,
) -> None:
    """Begin to listen to a microphone of the service's machine; one that is not there yet is waited for.

    **Examples**

    - `spiccato sources add`
    - `spiccato sources add --device USB --channel 1 --name "Stage left"`
    """
    wanted = {"device": device, "host_api": host_api, "channel": channel_of(channel), "name": name, "muted": muted}
    source = _asked("POST", server, body={"kind": "microphone", **wanted})
    typer.echo(f"{source['id']} is listened to; `spiccato sources` shows its state")


@app.command()
def mute(id: IdArgument, server: ServerOption = None) -> None:
    """Hear silence in place of a source's sound."""
    _asked("PATCH", server, id, {"muted": True})


@app.command()
def unmute(id: IdArgument, server: ServerOption = None) -> None:
    """Hear a source's sound again."""
    _asked("PATCH", server, id, {"muted": False})


@app.command()
def rename(id: IdArgument, name: Annotated[str, typer.Argument(metavar="NAME")], server: ServerOption = None) -> None:
    """Give a source another name for people; its id stays."""
    _asked("PATCH", server, id, {"name": name})


@app.command()
def remove(id: IdArgument, server: ServerOption = None) -> None:
    """Listen to a source no more."""
    _asked("DELETE", server, id)


def _asked(method: str, server: str | None, id: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the service answers; its refusal ends the command."""
    from urllib.parse import quote

    import httpx

    from spiccato.config import load
    from spiccato.trouble import fail, told

    with told():
        settings = load(None).settings
    url = f"{_base(server, settings)}/v1/sources{'/' + quote(id, safe='') if id else ''}"
    token = settings.token
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    try:
        answer = httpx.request(method, url, headers=headers, json=body, timeout=HTTP_S)
        found: dict[str, Any] = answer.json() if answer.content else {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        fail(f"no Spiccato service answers at {url}: {error}")
    if answer.is_error:
        fail(found["error"]["message"] if "error" in found else f"{url}: HTTP {answer.status_code}")
    return found


def _base(server: str | None, settings: Any) -> str:
    """http(s)://host:port of the service; `ws://...` is understood too."""
    if server is None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
        scheme = "http" if settings.tls_cert is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}{settings.root_path}"
    scheme, found, rest = server.partition("://")
    return f"{scheme.replace('ws', 'http', 1)}://{rest.rstrip('/')}" if found else f"http://{server.rstrip('/')}"


def _table(sources: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    styles = {"healthy": "green", "silent": "yellow", "stalled": "yellow", "recovering": "yellow"}
    table = Table("id", "name", "kind", "state", "", box=None, header_style="dim")
    for source in sources:
        state = source["state"] + (", muted" if source["muted"] else "")
        style = styles.get(source["state"], "red")
        table.add_row(source["id"], source["name"], source["kind"], f"[{style}]{state}[/]", source["detail"])
    Console(highlight=False).print(table)
