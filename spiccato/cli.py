"""The command line: what can be asked and how it is explained. Each command's work is in a file of its own.

What a command needs is imported when it runs: `--help` must not wait for compiled kernels.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from models.calibrate_cli import calibrate
from models.cli import train
from models.data_cli import app as data_app
from models.dream.cli import dream
from models.exporting.cli import export
from models.zoo.embed_cli import embed
from server.roles import Role
from server.version import VERSION
from spiccato.config import app as config_app
from spiccato.config import load
from spiccato.history import app as history_app
from spiccato.sources import app as sources_app
from spiccato.sources import channel_of

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

ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help="Model file; without it, the one that is shipped.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in TOML; without it, SPICCATO_CONFIG or ./spiccato.toml."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="Name of the audio input, a part of it, or its number."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of text for people.")]


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


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


@app.command()
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


@app.command()
def listen(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A file, the address of a stream, or - for samples on standard input; without it, the microphone.",
        ),
    ] = None,
    device: DeviceOption = None,
    host_api: Annotated[
        str | None, typer.Option("--host-api", metavar="NAME", help="Only the devices of this one.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="N", help="From 0, or `mix`: all; without it, the driver's own mono.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a device that is not there yet.")] = False,
    file: Annotated[str | None, typer.Option("--file", metavar="FILE", help="The same as a file as SOURCE.")] = None,
    stream: Annotated[str | None, typer.Option("--stream", metavar="URL", help="The same as a URL as SOURCE.")] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="A file or standard input: as fast as it can be heard; no time of day.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="A file: over and over.")] = False,
    encoding: Annotated[str, typer.Option("--format", help="Of raw samples: s16le, s24le or f32le.")] = "s16le",
    rate: Annotated[int, typer.Option(metavar="HZ", help="Of raw samples.")] = 16_000,
    channels: Annotated[int, typer.Option(metavar="N", help="Of raw samples.")] = 1,
    labels: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Only these instruments; without it, all of the model's."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE.wav", help="Keep the samples that are heard; `classify` of it says the same."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Append the JSON lines to this file as well.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Let this running service hear it, e.g. ws://127.0.0.1:8000")
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Listen to a microphone, a network stream, a file or standard input. Ctrl-C ends it with a summary.

    In a terminal: a lane for each instrument with its evidence. Piped, or with --json: a line for each event.

    **Examples**

    - `spiccato listen`
    - `spiccato listen --device USB --channel 1 --labels violin,cello`
    - `spiccato listen https://radio.example/live.mp3 --out radio.jsonl`
    - `spiccato listen song.flac --fast`
    - `ffmpeg -i x.mkv -f s16le -ar 16000 -ac 1 - | spiccato listen - --fast`
    - `spiccato listen --save take.wav | jq -r 'select(.phase == "onset") | .label'`
    - `spiccato listen --server ws://studio.local:8000`
    """
    from spiccato import listen as listening
    from spiccato.inputs import Asked, chosen
    from spiccato.trouble import fail, told

    with told():
        if server is not None and model is not None:
            fail("--model is for hearing here; with --server, the server's own model hears")
        named = [one for one in (source, file, stream) if one is not None]
        if len(named) > 1:
            fail(f"{' and '.join(named)}: one thing can be heard at a time")
        wanted = [part.strip() for part in (labels or "").split(",") if part.strip()]
        settings = load(None, model=model).settings
        what = named[0] if named else None
        asked = Asked(device, host_api, channel_of(channel), what, fast, loop, encoding, rate, channels)
        input, name = chosen(asked, settings)
        listening.run(
            settings, input, name, labels=wanted, save=save, out=out, server=server, wait=wait, as_json=as_json
        )


@app.command()
def classify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="WAV, FLAC, OGG, MP3 or M4A.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which instruments play in sound files, and when.

    A file that cannot be read stops no other; the exit status is then 1.

    **Examples**

    - `spiccato classify song.flac`
    - `spiccato classify --json *.wav > events.jsonl`
    """
    from spiccato import classify as classifying
    from spiccato.model import warmed
    from spiccato.trouble import told

    with told():
        if classifying.run(warmed(load(None, model=model).settings), files, as_json):
            raise typer.Exit(1)


@app.command()
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


@app.command()
def devices(as_json: JsonOption = False) -> None:
    """List the microphones of this machine.

    **Examples**

    - `spiccato devices`
    - `spiccato devices --json | jq -r .name`
    """
    from spiccato import devices as listing
    from spiccato.trouble import told

    with told():
        listing.run(as_json)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def token(
    role: Annotated[
        Role | None,
        typer.Option(help="What it is good for: `listen` to events, `produce` sound, `admin` (everything)."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Add it to this file of tokens, which only its owner may read."),
    ] = None,
) -> None:
    """Make a token for a service that others may reach. It is printed once and kept nowhere but in `--file`.

    **Examples**

    - `SPICCATO_TOKEN=$(spiccato token) spiccato serve --host 0.0.0.0`
    - `spiccato token --role listen --file tokens`, then `spiccato serve --host 0.0.0.0 --token-file tokens`
    """
    from spiccato import newtoken

    newtoken.run(role, file)


@app.command()
def warm(model: ModelOption = None) -> None:
    """Compile what the model needs now, so that the next start is quick.

    For the building of images. The result is kept in `NUMBA_CACHE_DIR`, or else beside the code.

    **Example**

    - `spiccato warm`
    """
    from spiccato.model import warmed
    from spiccato.trouble import told

    with told():
        typer.echo(f"{warmed(load(None, model=model).settings).id} is ready")


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder for each instrument, or a CSV.")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure there.")] = None,
    model: ModelOption = None,
    sweeps: Annotated[
        bool, typer.Option("--sweeps", help="Also at other levels and in noise: takes about five times as long.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most N clips of each instrument, drawn with the seed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random: pieces, noise, draws.")] = 1,
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the confusion matrix there.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Write pictures there; needs matplotlib.")] = None,
) -> None:
    """Judge the model on labelled recordings: accuracy over time, events, latency, false onsets, operations.

    --model may be a file of `spiccato train --system`; PATH may then also be one sound file, and the answer is what it
    hears in each second. PATH is a folder of folders, one for each instrument, or a CSV with the columns path (relative
    to it) and instrument; or mixtures with a truth.csv, as `spiccato data render` writes them. What cannot be read and
    instruments that the model does not know are listed and left out.

    **Examples**

    - `spiccato evaluate recordings/`
    - `spiccato evaluate notes.csv --json figures.json --confusion confusion.csv`
    - `spiccato evaluate recordings/ --sweeps --limit 20 --plots pictures/`
    """
    from models.zoo.file import is_zoo
    from spiccato import evaluate as evaluating
    from spiccato import zoo
    from spiccato.model import warmed
    from spiccato.trouble import told

    with told():
        outputs = evaluating.Outputs(json_file, confusion, plots)
        outputs.check()
        if model is not None and is_zoo(model):
            zoo.run(model, path, outputs, sweeps=sweeps, limit=limit, seed=seed)
            return
        evaluating.run(warmed(load(None, model=model).settings), path, outputs, sweeps=sweeps, limit=limit, seed=seed)


app.command()(train)
app.command()(calibrate)
app.command()(export)
app.command()(dream)
app.command()(embed)
app.add_typer(data_app)
app.add_typer(config_app)
app.add_typer(history_app)
app.add_typer(sources_app)


def run() -> None:
    app(prog_name="spiccato")
