"""`spiccato bench`: its options."""

from typing import Annotated

import typer


def bench(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the service is.")] = "http://127.0.0.1:8000",
    sessions: Annotated[int, typer.Option("--sessions", "-n", min=1, max=10_000, help="Live sessions at once.")] = 10,
    chunk_ms: Annotated[int, typer.Option(min=10, max=1_000, help="Sound in each message.")] = 20,
    seconds: Annotated[float, typer.Option(min=1, max=3_600, help="How long to measure, after 2 s to warm up.")] = 10,
    framed: Annotated[bool, typer.Option("--framed", help="With the header that names the samples.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Load a running service with live sessions, in real time: latencies, lag, what was lost, CPU and memory.

    Where the service asks for a token, it is `SPICCATO_TOKEN`. The status is 1 where sound was lost or a session ended
    early. A service lets in `SPICCATO_MAX_SESSIONS` sessions, and from one other machine
    `SPICCATO_CONNECTS_PER_MINUTE` a minute.

    **Examples**

    - `spiccato bench -n 100`
    - `spiccato bench https://studio.local -n 500 --seconds 60 --json`
    """
    from client.load import Plan
    from server.settings import Settings
    from spiccato import bench as measuring
    from spiccato.trouble import told

    with told():
        secret = Settings().token
        plan = Plan(
            url,
            sessions,
            seconds,
            chunk_ms=chunk_ms,
            framed=framed,
            token=None if secret is None else secret.get_secret_value(),
        )
        if not measuring.run(plan, as_json):
            raise typer.Exit(1)
