"""`spiccato history`: what was heard before, out of the database; exports, corrections, backups. Knows its options.

The service may run meanwhile. What a command needs is imported when it runs.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiccato.config import load
from spiccato.which import FromOption, SourceOption, ToOption, with_which

if TYPE_CHECKING:
    from server.past.asked import Asked
    from server.past.database import Database
    from server.settings import Settings

app = typer.Typer(name="history", help="See what was heard before; export it; back it up.", no_args_is_help=True)

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="A file, or postgresql://USER@HOST/NAME; without it, that of the settings. "
        "A password belongs into SPICCATO_HISTORY or PGPASSWORD: others on this machine can read arguments.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in TOML; without it, as `spiccato serve` finds them."),
]


@app.command(name="list")
@with_which
def listed(
    which: "Asked",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the newest events, times in this machine's zone.

    **Examples**

    - `spiccato history list --label violin --from 2026-01-02T00:00+01:00`
    - `spiccato history list --limit 1000 --json | jq -r .label | sort | uniq -c`
    """
    from server.past import query

    with _told():
        wanted = which.filter()
        opened, _ = _opened(database, config)
        with opened.reading() as connection:
            events, more = query.page(connection, wanted, limit)
        opened.close()
        if as_json:
            for event in events:
                typer.echo(json.dumps(event))
        else:
            _table(events)
            if more is not None:
                typer.echo(f"the newest {limit}; there are more (--limit)", err=True)


@app.command()
@with_which
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; `-` is the standard output.")],
    *,
    form: Annotated[
        str | None,
        typer.Option("--format", help="ndjson, csv, audacity, jams or svl; without it, by the file's name."),
    ] = None,
    which: "Asked",
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Write events to a file that other programs read: CSV, NDJSON, Audacity labels, JAMS, Sonic Visualiser.

    **Examples**

    - `spiccato history export january.csv --from 2026-01-01T00:00+01:00 --to 2026-02-01T00:00+01:00`
    - `spiccato history export labels.txt --session s_1f0c2a9b77d4` - for Audacity, beside that session's recording
    """
    from server.past import query
    from server.past.export import FORMS
    from spiccato.trouble import fail

    with _told():
        named = form or file.suffix[1:]
        chosen = next((one for one in FORMS if named in (one.name, one.suffix)), None)
        if chosen is None:
            fail(f"--format {named or '(none)'}: there are {', '.join(one.name for one in FORMS)}")
        wanted = which.filter()
        opened, _ = _opened(database, config)
        pieces = chosen.write(query.all_of(opened, wanted), wanted)
        if str(file) == "-":
            sys.stdout.writelines(pieces)
        else:
            with file.open("x", encoding="utf-8", newline="") as written:
                written.writelines(pieces)
        opened.close()


@app.command()
def corrections(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the recordings and their list go.")],
    from_: FromOption = None,
    to: ToOption = None,
    source: SourceOption = None,
    database: DatabaseOption = None,
    clips: Annotated[
        Path | None, typer.Option("--clips", metavar="DIR", help="Where clips lie; without it, as the settings say.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write what people corrected, and has a clip, as recordings: `manifest.csv` and a FLAC file for each.

    **Example**

    - `spiccato history corrections mine/`, then `spiccato evaluate mine/` or `spiccato train --data mine/ ...`
    """
    from server.past.asked import Asked
    from server.past.corrected import export as write
    from server.past.history import clip_dir

    with _told():
        wanted = Asked(from_, to, source=source or [], corrected=True).filter()
        opened, settings = _opened(database, config)
        done = write(opened, clips or clip_dir(settings), folder, wanted)
        opened.close()
        typer.echo(f"{folder}: {done.named} recordings in manifest.csv, {done.nameless} in false.csv")
        if done.without_sound:
            typer.echo(f"{done.without_sound} corrected events have no clip and were left out", err=True)


@app.command()
def backup(
    target: Annotated[str, typer.Argument(metavar="FILE", help="A new SQLite file, or the URL of an empty database.")],
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Copy the whole history, as it is at this moment, while the service runs. Clips are files: copy their folder.

    Also moves a history to PostgreSQL, or back.

    **Examples**

    - `spiccato history backup history-2026-01-02.sqlite`
    - `spiccato history backup postgresql://spiccato@db.example/spiccato`
    """
    from server.past.backup import copy
    from server.past.history import database as of

    with _told():
        opened, _ = _opened(database, config)
        given = of(target)
        count = copy(opened, given)
        typer.echo(f"{given.told}: {count} events")
        opened.close()
        given.close()


@contextmanager
def _told() -> Iterator[None]:
    """What the caller can mend is told as a sentence."""
    from sqlalchemy.exc import DBAPIError

    from server.past.database import reason
    from spiccato.trouble import fail, told

    with told():
        try:
            yield
        except (DBAPIError, OSError) as error:
            fail(reason(error))


def _opened(url: str | None, config: Path | None) -> "tuple[Database, Settings]":
    """The database, which must be there already, and the settings."""
    from server.past.history import database
    from spiccato.trouble import fail

    settings = load(config).settings
    asked = settings.history.get_secret_value() if url is None else url
    if asked == "off":
        fail("history=off: nothing is kept; --database names another one")
    opened = database(asked)
    if opened.is_sqlite and not Path(str(opened.url.database)).exists():
        fail(f"{opened.told}: there is no history yet")
    return opened, settings


def _table(events: list[dict[str, Any]]) -> None:
    from datetime import datetime

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("onset", "source", "instrument", "seconds", "best score", "corrected", box=None, header_style="dim")
    for event in events:
        onset = datetime.fromisoformat(event["utc_onset"]).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        correction = event["correction"]
        corrected = "" if correction is None else correction["label"] or "nothing"
        row = (onset, event["source"], event["label"], f"{event['duration_ms'] / 1000:.2f}", f"{event['peak']:.2f}")
        table.add_row(*map(escape, row), escape(corrected))
    Console().print(table)
