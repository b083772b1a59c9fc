"""`spiccato reload`: a running service reads its settings again. Knows one request; what it means is the service's."""

import httpx
import typer

from server.settings import Settings
from spiccato.trouble import fail


def run(settings: Settings, server: str | None) -> None:
    """Ask the service at `server`, or the one that these settings would start. Says what has changed."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    scheme = "https" if settings.tls_cert is not None else "http"
    url = server or f"{scheme}://{name}:{settings.port}{settings.root_path}"
    headers = {} if settings.token is None else {"Authorization": f"Bearer {settings.token.get_secret_value()}"}
    try:
        answer = httpx.post(f"{url.rstrip('/')}/v1/reload", headers=headers, timeout=60)
    except httpx.HTTPError as error:
        fail(f"{url} does not answer: {error}")
    if not answer.is_success:
        fail(f"{url}: {_reason(answer)}")
    told = answer.json()
    typer.echo(f"changed: {', '.join(told['changed']) or 'nothing'}")
    if told["restart"]:
        typer.echo(f"after a restart: {', '.join(told['restart'])}")


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError):
        return f"{answer.status_code} {answer.reason_phrase}"
