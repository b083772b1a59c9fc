"""`spiccato archive`: its options, and which extras it needs."""

from pathlib import Path
from typing import Annotated

import typer

from spiccato.config import load
from spiccato.options import ModelOption


def archive(
    source: Annotated[
        Path, typer.Argument(metavar="DIR_OR_MANIFEST", help="A folder, a CSV with a column `path`, or a path a line.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results are, or will be: Parquet.")],
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster, host:port or `auto`; without it, these cores.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes at most. [default: one for each core]")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try the files again that could not be heard.")] = False,
    model: ModelOption = None,
) -> None:
    """Classify any number of files, into Parquet. The same command again goes on where it was stopped or killed.

    A row for each file: its events, or why it could not be heard. No file is done twice, none is left out; the exit
    status is 1 where one could not be heard.

    **Examples**

    - `spiccato archive recordings/ --out results/`
    - `spiccato archive list.csv --out results/ --jobs 4`
    - `spiccato archive /mnt/archive --out results/ --cluster ray-head:6379`
    """
    import importlib.util
    import signal

    from spiccato.model import warmed
    from spiccato.trouble import fail, told

    for module, extra in (("pyarrow", "archive"), ("ray", "cluster")):
        if importlib.util.find_spec(module) is None and (extra == "archive" or cluster is not None):
            fail(f"this needs the {extra} extra ({module} is not installed): pip install 'spiccato[{extra}]'")
    with told():
        from spiccato.archive import run as archiving

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was heard is written
        heard = warmed(load(None, model=model).settings)
        if not archiving.run(heard, source, out, cluster=cluster, jobs=jobs, retry=retry):
            raise typer.Exit(1)
