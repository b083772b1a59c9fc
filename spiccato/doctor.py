"""`spiccato doctor`: what is wrong on this machine, and what to do. Each check is a function; none changes anything but
the cache of compiled kernels. Knows what the service needs; nothing of how it works.
"""

import asyncio
import ctypes
import errno
import json
import os
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Literal

from rich.console import Console

from server import tokens
from server.limits import is_loopback
from server.reader import ReadError
from server.settings import Settings
from spiccato.certificate import good_until
from spiccato.doctor_ways import bus, failover, history, ways_out
from spiccato.finding import Finding
from spiccato.openfiles import for_service
from spiccato.openfiles import needed as files_needed

PYTHON = (3, 11)
WARM_S = 5.0  # with kept kernels it takes about one
DECODERS = {"WAV": "pcm_s16le", "FLAC": "flac", "OGG Vorbis": "vorbis", "OGG Opus": "opus", "MP3": "mp3", "M4A": "aac"}
STA_UNSYNC = 0x0040  # of adjtimex(2): the clock is not synchronised
KERNELS_MB = 200  # that compiled kernels may take
DAY_S = 86_400
RENEW_DAYS = 14  # before its end a certificate should be a new one


def run(settings: Settings, as_json: bool) -> bool:
    """Show every finding; True where there is a problem."""
    findings = list(examine(settings))
    if as_json:
        for finding in findings:
            print(json.dumps(asdict(finding)))
    else:
        console = Console(highlight=False, soft_wrap=True)
        marks = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}
        for finding in findings:
            console.print(f"{marks[finding.state]}  {finding.check}: ", end="")
            console.print(finding.found, markup=False)
            if finding.do:
                console.print(f"         {finding.do}", markup=False)
    return any(finding.state == "problem" for finding in findings)


def examine(settings: Settings) -> Iterator[Finding]:
    for check in CHECKS:
        yield check(settings)
    yield from ways_out(settings)


def python(_: Settings) -> Finding:
    running = ".".join(map(str, sys.version_info[:3]))
    found = f"{running}, numba {version('numba')}, numpy {version('numpy')}"
    if sys.version_info[:2] < PYTHON:
        return Finding("python", "problem", found, "install Python 3.11 or newer")
    return Finding("python", "ok", found)


def model(settings: Settings) -> Finding:
    from engine import weights

    try:
        loaded = weights.load(settings.model)  # compares the checksum of the tensors with the file's own
    except weights.ModelError as error:
        return Finding("model", "problem", str(error), "SPICCATO_MODEL or --model names another file; or install anew")
    return Finding("model", "ok", f"{loaded.id}, {len(loaded.labels)} labels, sha256 {loaded.sha256[:12]} is right")


def kernels(settings: Settings) -> Finding:
    from engine import jit, weights
    from engine.warmup import warm

    folder = jit.cache_directory()
    mend = "let NUMBA_CACHE_DIR name a folder that this user may write; until then every start compiles"
    if folder is None:
        return Finding("kernels", "warning", "compiled kernels cannot be kept anywhere", mend)
    if (free_mb := shutil.disk_usage(folder).free // 1_000_000) < KERNELS_MB:
        return Finding("kernels", "warning", f"{folder} has {free_mb} MB left", mend)
    try:
        loaded = weights.load(settings.model)
    except weights.ModelError:
        return Finding("kernels", "warning", f"{folder} can be written; without a model nothing was compiled")
    began = time.perf_counter()
    warm(loaded)
    took_s = time.perf_counter() - began
    found = f"ready after {took_s:.1f} s, kept in {folder}"
    return Finding("kernels", "ok", found if took_s < WARM_S else f"{found}; the next start is quicker")


def port(settings: Settings) -> Finding:
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Finding(
                "port", "warning", f"{where} is taken", "a service that runs already is fine; else choose SPICCATO_PORT"
            )
        return Finding(
            "port", "problem", f"{where} cannot be opened: {error}", "choose SPICCATO_HOST and SPICCATO_PORT"
        )
    return Finding("port", "ok", f"{where} is free")


def access(settings: Settings) -> Finding:
    try:
        known = tokens.check(settings)
    except tokens.AuthError as error:
        return Finding("access", "problem", str(error))
    file = settings.token_file
    if file is not None and os.name == "posix" and file.stat().st_mode & 0o077:
        return Finding("access", "warning", f"others on this machine may read {file}", f"chmod 600 {file}")
    if not is_loopback(settings.host) and settings.tls_cert is None:
        found = f"tokens are asked for on {settings.host}, but there is no TLS: on the way they can be read"
        return Finding(
            "access", "warning", found, "set SPICCATO_TLS_CERT and SPICCATO_TLS_KEY, or use a proxy with TLS"
        )
    asked = "tokens are asked for" if known else "no token is asked for, and only this machine may connect"
    return Finding("access", "ok", f"{asked}; {'HTTPS' if settings.tls_cert else 'HTTP'}")


def tls(settings: Settings) -> Finding:
    if settings.tls_cert is None or settings.tls_key is None:
        return Finding("tls", "ok", "no certificate: the service speaks HTTP")
    try:
        left_s = good_until(settings.tls_cert, settings.tls_key) - time.time()
    except ssl.SSLCertVerificationError as error:
        found = f"{settings.tls_cert} is not good now: {error.verify_message}"
        return Finding("tls", "problem", found, "renew it, then start the service again")
    except (ssl.SSLError, OSError) as error:
        found = f"{settings.tls_cert} and {settings.tls_key} cannot be used: {error}"
        return Finding("tls", "problem", found, "both have to be PEM, and the key that of the certificate")
    end = time.strftime("%Y-%m-%d", time.gmtime(time.time() + left_s))
    found = f"{settings.tls_cert} is good until {end}, for {left_s / DAY_S:.0f} days"
    if left_s < RENEW_DAYS * DAY_S:
        return Finding("tls", "warning", found, "renew it, then start the service again")
    return Finding("tls", "ok", found)


def microphones(settings: Settings) -> Finding:
    from server import microphone

    wanted = settings.microphone is not None
    bad: Literal["problem", "warning"] = "problem" if wanted else "warning"
    try:
        found = asyncio.run(microphone.devices())
    except ReadError as error:
        return Finding("microphones", bad, str(error), "only this machine's own microphone needs it")
    if not found:
        return Finding(
            "microphones", bad, "no audio input", "connect one; on Linux the user may need the group `audio`"
        )
    default = next((device["name"] for device in found if device["default"]), found[0]["name"])
    return Finding("microphones", "ok", f"{len(found)}, the default one is {default}")


def codecs(_: Settings) -> Finding:
    import av

    missing = [name for name, codec in DECODERS.items() if codec not in av.codecs_available]
    found = f"PyAV {version('av')}"
    if missing:
        return Finding("codecs", "problem", f"{found} without {', '.join(missing)}", "pip install --force-reinstall av")
    return Finding("codecs", "ok", f"{found}: {', '.join(DECODERS)}")


def disk(settings: Settings) -> Finding:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    needed = settings.max_uploads * settings.max_upload_bytes
    found = f"{folder} has {free / 1e9:.1f} GB left"
    if free < settings.max_upload_bytes:
        return Finding("disk", "problem", found, "uploads wait there: let TMPDIR name another folder, or make room")
    if free < needed:
        at_most = (
            f"{settings.max_uploads} uploads of {settings.max_upload_bytes / 1e9:.1f} GB may need {needed / 1e9:.1f}"
        )
        return Finding("disk", "warning", found, f"{at_most}: lower SPICCATO_MAX_UPLOAD_BYTES or SPICCATO_MAX_UPLOADS")
    return Finding("disk", "ok", found)


def clock(_: Settings) -> Finding:
    """UTC in events is this machine's. The kernel knows whether something keeps it right."""
    if not sys.platform.startswith("linux"):
        return Finding("clock", "ok", "whether it is synchronised cannot be told on this system")
    state = (ctypes.c_char * 256)()  # struct timex; `status` follows modes, offset, freq, maxerror, esterror
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex") or libc.adjtimex(ctypes.byref(state)) < 0:
        return Finding("clock", "ok", "whether it is synchronised cannot be told here")
    long = ctypes.sizeof(ctypes.c_long)
    status = ctypes.c_int.from_buffer(state, 5 * long).value
    if status & STA_UNSYNC:
        advice = "start systemd-timesyncd, chrony or ntpd; in a container, on its host"
        return Finding("clock", "warning", "nothing keeps it right: UTC in events may be wrong", advice)
    return Finding("clock", "ok", "it is synchronised")


def files(settings: Settings) -> Finding:
    limit, needed = for_service(settings), files_needed(settings)
    if limit < needed:
        found = (
            f"the limit is {limit}; {settings.max_sessions} sessions and {settings.max_uploads} uploads need {needed}"
        )
        return Finding("open files", "problem", found, f"ulimit -Hn {2 * needed}, or LimitNOFILE= of the systemd unit")
    return Finding("open files", "ok", f"the limit is {limit}, {needed} may be needed")


CHECKS: tuple[Callable[[Settings], Finding], ...] = (
    python,
    model,
    kernels,
    port,
    access,
    tls,
    microphones,
    codecs,
    disk,
    clock,
    files,
    history,
    bus,
    failover,
)
