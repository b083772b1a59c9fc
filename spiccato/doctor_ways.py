"""`spiccato doctor`'s checks of what lies beyond the process: the history's database, the ways out. They read and
connect; nothing is written, sent or made.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from server.outputs.config import Command, Midi, Mqtt, Osc, Output, Webhook
from server.secret import SecretError
from server.settings import Settings
from spiccato.finding import Finding

REACH_S = 3.0  # for a broker to take a connection
MEND_HISTORY = "see `history` in the settings; SPICCATO_HISTORY=off keeps nothing"


def history(settings: Settings) -> Finding:
    """Can events be kept: the database is there, of our form or to be brought into it, and may be written."""
    from sqlalchemy.exc import DBAPIError

    from server.past import HistoryError
    from server.past.database import reason
    from server.past.history import database

    asked = settings.history.get_secret_value()
    if asked == "off":
        return Finding("history", "ok", "off: nothing is kept")
    try:
        opened = database(asked)
    except HistoryError as error:
        return Finding("history", "problem", str(error), MEND_HISTORY)
    try:
        if opened.is_sqlite:
            file = Path(str(opened.url.database))
            if (finding := _folder(file.parent, settings.history_bytes)) is not None:
                return finding
            if not file.exists() or not file.stat().st_size:
                return Finding("history", "ok", f"{file} is made at the start")
            if not os.access(file, os.W_OK):
                return Finding("history", "problem", f"{file} may not be written", f"chown or chmod it: {MEND_HISTORY}")
            opened.close()
            opened = database(f"sqlite:///file:{quote(str(file))}?mode=ro&uri=true")  # else it would be made a WAL
        found, known = opened.form()
        if not opened.may_write():
            return Finding("history", "problem", f"{opened.told} may be read only", "GRANT its user what it needs")
    except HistoryError as error:
        return Finding("history", "problem", str(error), "install the newer Spiccato again, or choose another database")
    except (DBAPIError, OSError) as error:
        return Finding("history", "problem", f"{opened.told}: {reason(error)}", MEND_HISTORY)
    finally:
        opened.close()
    if found is None:
        return Finding("history", "ok", f"{opened.told}: its tables are made at the start")
    older = (
        "" if found == known else f"; its form {found} becomes {known} at the start: `spiccato history backup` first"
    )
    return Finding("history", "ok", f"{opened.told} can be read and written{older}")


def _folder(folder: Path, needed: int) -> Finding | None:
    """What is wrong with where a file lies, or will."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        return Finding("history", "problem", f"{there} may not be written", MEND_HISTORY)
    free = shutil.disk_usage(there).free
    if free < needed:
        found = f"{there} has {free / 1e9:.1f} GB left; the history may take {needed / 1e9:.1f}"
        return Finding("history", "warning", found, "make room, or lower SPICCATO_HISTORY_BYTES")
    return None


def bus(settings: Settings) -> Finding:
    """Whether the bus' Redis answers, where the settings name one."""
    return _redis("bus", settings.redis_url, "none: this service tells its own events", "see SPICCATO_REDIS_URL")


def failover(settings: Settings) -> Finding:
    """Whether the Redis for live sessions answers, where the settings name one."""
    none = "off: a live session ends with this service"
    return _redis("failover", settings.failover_url, none, "see SPICCATO_FAILOVER_URL")


def _redis(check: str, url: SecretStr | None, none: str, mend: str) -> Finding:
    if url is None:
        return Finding(check, "ok", none)
    if find_spec("redis") is None:
        return Finding(check, "problem", "Redis needs a package more", "pip install 'spiccato[redis]'")
    from redis import Redis
    from redis.exceptions import RedisError

    times = {"socket_timeout": REACH_S, "socket_connect_timeout": REACH_S}
    try:
        with Redis.from_url(url.get_secret_value(), **times) as asked:
            version = asked.info("server")["redis_version"]
    except (RedisError, OSError, ValueError) as error:
        return Finding(check, "problem", f"Redis cannot be used: {error}", mend)
    return Finding(check, "ok", f"Redis {version} answers")


def ways_out(settings: Settings) -> Iterator[Finding]:
    """One finding for each output, or one that there is none."""
    if not settings.outputs:
        yield Finding("outputs", "ok", "none: events go to the page, the API and the history")
        return
    with ThreadPoolExecutor(len(settings.outputs)) as pool:  # each may wait for somebody who does not answer
        yield from pool.map(_output, settings.outputs)


def _output(output: Output) -> Finding:
    check = f"output {output.name or output.kind}"
    if isinstance(output, Midi):
        return Finding(check, "ok", "MIDI: its port is opened at the start")
    if isinstance(output, Command):
        if shutil.which(output.run[0]) is None:
            return Finding(check, "problem", f"{output.run[0]} is no program that can be run", "see its `run`")
        return Finding(check, "ok", f"{output.run[0]} can be run")
    try:
        host, port = _address(output)
    except SecretError as error:
        return Finding(check, "problem", str(error), "see its `url`: a text, {env = ...} or {file = ...}")
    try:
        if isinstance(output, Mqtt):
            socket.create_connection((host, port), REACH_S).close()
            return Finding(check, "ok", f"{host}:{port} takes connections; whether it lets us in was not tried")
        socket.getaddrinfo(host, port)
    except (OSError, UnicodeError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        return Finding(
            check, "warning", f"{host}:{port}: {why.lower()}", "mend that; until then events wait or are lost"
        )
    return Finding(check, "ok", f"the name {host} is known; nothing was sent")


def _address(output: Mqtt | Webhook | Osc) -> tuple[str, int]:
    """Host and port; of a webhook's address, which may be a secret, no more is told. Raises SecretError."""
    if isinstance(output, Mqtt):
        return output.host, output.port or (8_883 if output.tls else 1_883)
    if isinstance(output, Osc):
        return output.host, output.port
    address = output.url.read()
    try:
        split = urlsplit(address)
        port = split.port or (443 if split.scheme == "https" else 80)
    except ValueError as error:
        raise SecretError("its address cannot be read") from error
    if split.scheme not in ("http", "https") or not split.hostname:
        raise SecretError("its address does not begin with http:// or https:// and a host")
    return split.hostname, port
