"""`spiccato listen`: a microphone, a stream, a file or standard input, live in the terminal or as JSON lines.

Heard here, it is a `server.source.Source`, as the server's own sources are; heard by a server, `remote.py` sends it.
Knows who puts these together; nothing of how messages come about.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from engine.pipeline import default_settings
from engine.weights import Model
from server import commands as c
from server import protocol as p
from server.detect import Mistaken, applied
from server.reader import Input, ReadError
from server.session import Out
from server.settings import Settings
from server.source import Source, Tap
from spiccato.model import warmed
from spiccato.recording import Recording
from spiccato.remote import EMITTED, there
from spiccato.stopping import stopping
from spiccato.trouble import fail
from spiccato.views import Show, view

Message = dict[str, Any]


def run(
    settings: Settings,
    input: Input,
    name: str,
    *,
    labels: list[str],
    save: Path | None,
    out: Path | None,
    server: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Listen until Ctrl-C or the end, here or at `server`. wait: for what is not there yet.

    Raises ReadError, StreamError, ModelError, Refusal.
    """
    logging.getLogger("spiccato").addHandler(logging.NullHandler())  # what the log would say, the view says
    detect = {"labels": labels} if labels else {}
    model = warmed(settings) if server is None else None
    if model is not None:
        _check(model, detect)
    try:
        recording = None if save is None else Recording(save)
    except OSError as error:
        fail(f"{save} cannot be written: {(error.strerror or str(error)).lower()}")
    tap = None if recording is None else recording.take
    try:
        with view(as_json, out) as show:
            if model is not None:
                work = here(model, settings.limits, input, show, name=name, detect=detect, tap=tap, wait=wait)
            else:
                assert server is not None
                token = None if settings.token is None else settings.token.get_secret_value()
                work = there(server, input, show, name=name, token=token, detect=detect, tap=tap, wait=wait)
            asyncio.run(work)
    except OSError as error:
        if out is None or error.filename != str(out):
            raise
        fail(f"{out} cannot be written: {(error.strerror or str(error)).lower()}")
    finally:
        if recording is not None:
            recording.close()
            for path in recording.paths:
                print(f"kept in {path}", file=sys.stderr)


async def here(
    model: Model,
    limits: p.Limits,
    input: Input,
    show: Show,
    *,
    name: str,
    detect: Message,
    tap: Tap | None,
    wait: bool,
) -> None:
    """Listen with this process's engine until Ctrl-C or the end. What goes away is waited for.

    Raises ReadError if it cannot be opened at all, and is not to be waited for.
    """
    never_heard = not wait

    def publish(out: Out) -> None:
        nonlocal never_heard
        if isinstance(out, bytes):
            return
        if out["type"] == "source":
            never_heard = never_heard and out["state"] not in ("healthy", "ended")
            if out["state"] == "failed" or (never_heard and out["state"] == "lost"):
                source.stop()
                return
        show(out)

    source = Source(name, model, limits, publish, input, detect=detect, emit=EMITTED, tap=tap)
    with stopping(source.stop):
        await source.run()
    if source.state.state == "failed" or (never_heard and source.state.state == "lost"):
        raise ReadError("device_failed", source.state.detail)


def _check(model: Model, detect: Message) -> None:
    try:
        applied(model, default_settings(model), c.Detect.model_validate(detect))
    except Mistaken as error:
        fail("; ".join(mistake.message for mistake in error.mistakes))
