"""`spiccato serve`: the service on a port of this machine. Knows ports, logs and signals; nothing of requests."""

import contextlib
import errno
import ipaddress
import logging
import socket
import sys

from server.app import server
from server.settings import Settings
from spiccato.trouble import fail


def run(settings: Settings, log_level: str) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises ModelError; a port that cannot be taken is told as a sentence."""
    logging.basicConfig(
        stream=sys.stderr,
        level=log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    if log_level != "debug":
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
    listening = _listen(settings.host, settings.port)
    port = listening.getsockname()[1]
    with listening:
        running = server(settings)
        print(f"Spiccato is at {_address(settings.host, port)} - open it in a browser; Ctrl-C stops it", flush=True)
        if not _is_loopback(settings.host):
            logging.getLogger("spiccato.serve").warning(
                "host=%s is open to the network: whoever reaches this port may use the service", settings.host
            )
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


def _address(host: str, port: int) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
