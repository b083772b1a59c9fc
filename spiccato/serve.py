"""`spiccato serve`: the service on a port of this machine. Knows ports, logs and signals; nothing of requests."""

import contextlib
import errno
import logging
import socket

from engine import weights
from server import logs, tokens
from server.app import server
from server.config import Config
from server.fits import Unfit, check
from server.limits import is_loopback
from spiccato import garbage, workers
from spiccato.openfiles import for_service, needed
from spiccato.trouble import fail

log = logging.getLogger("spiccato.serve")


def run(config: Config) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises ModelError and ConfigError; what cannot be, a port that is taken or one
    open to a network without a token, is told as a sentence."""
    settings = config.settings
    logs.begin(settings.log_level, settings.log_format)
    if config.file is not None:
        log.info("config file=%s", config.file.absolute())
    try:
        known = tokens.check(settings)
    except tokens.AuthError as error:
        fail(str(error))
    if settings.workers > 1:
        workers.can_share()
        if settings.clips == "all":
            fail("clips=all keeps the sound of live sessions beside the history: it needs workers=1")
    if for_service(settings) < needed(settings):
        log.warning("open files: this process may have fewer than its limits need; see spiccato doctor")
    listening = _listen(settings.host, settings.port)
    port = listening.getsockname()[1]
    if settings.workers > 1:
        listening.close()  # it was free
        listening = workers.shared(settings.host, port)
    with listening:
        running = None
        try:
            if settings.workers == 1:
                running = server(settings, config)
            else:
                check(settings, weights.load(settings.model))  # once for all
        except Unfit as error:
            raise config.error(error.mistakes) from error
        address = _address(settings.host, port, settings.tls_cert is not None)
        print(f"Spiccato is at {address} - open it in a browser; Ctrl-C stops it", flush=True)
        if not is_loopback(settings.host) and settings.tls_cert is None:
            log.warning(
                "host=%s without TLS: on the way, tokens and sound can be read; see SPICCATO_TLS_CERT", settings.host
            )
        if not known and settings.allowed_hosts:
            log.warning("allowed_hosts=%s without a token: the proxy must ask who comes", settings.allowed_hosts)
        if running is None:
            workers.run(settings, listening)
            return
        garbage.settled()
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once it has shut down
            running.run(sockets=[listening])
    if not running.started:
        fail("the service did not start; the log above says why")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: "another program uses it already; choose another with --port",
            errno.EACCES: "this user may not take it; ports from 1024 up are free to all",
            errno.EADDRNOTAVAIL: "this machine has no such address; see --host",
        }
        code = error.errno if not isinstance(error, socket.gaierror) else errno.EADDRNOTAVAIL
        fail(f"port {port} on {host} cannot be opened: {reasons.get(code or 0, error)}")


def _address(host: str, port: int, tls: bool = False) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if tls else 'http'}://{name}:{port}/"
