"""`spiccato serve --workers N`: a parent that keeps N processes of the service on one port. Knows no request.

Each worker listens on the port itself (SO_REUSEPORT): the kernel spreads the connections. A worker that dies is started
again, and the log tells; its sessions are lost with it, unless failover keeps them, and the others' go on.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from server import logs
from server.app import server
from server.place import Place
from server.settings import Settings
from spiccato import garbage
from spiccato.openfiles import for_service
from spiccato.trouble import fail

log = logging.getLogger("spiccato.workers")

YOUNG_S = 5.0  # a worker that died younger is not started again at once
REST_S = 1.0
STOP_S = 30.0  # for all to end their sessions


def run(settings: Settings, listening: socket.socket) -> None:
    """Until SIGINT or SIGTERM. listening: holds the port, and takes no connection itself."""
    settings = Settings.model_construct(**{name: getattr(settings, name) for name in Settings.model_fields})
    port = listening.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="spiccato-") as folder, _stopping() as stop:
        (Path(folder) / "tickets").mkdir()
        parent = Parent(settings, port, Path(folder))
        try:
            parent.keep(stop)
        finally:
            parent.end()


class Parent:
    def __init__(self, settings: Settings, port: int, folder: Path) -> None:
        self._settings = settings
        self._port = port
        self._folder = folder
        self._spawn = multiprocessing.get_context("spawn")
        self._running: dict[int, tuple[SpawnProcess, float]] = {}  # number to process and its start

    def keep(self, stop: int) -> None:
        """Keep all of them running until the file `stop` can be read."""
        for number in range(self._settings.workers):
            self._start(number)
        while True:
            ready = wait([process.sentinel for process, _ in self._running.values()] + [stop])
            if stop in ready:
                return
            for number, (process, began) in list(self._running.items()):
                if process.sentinel in ready:
                    process.join()
                    sessions = "go on in the others" if self._settings.failover_url else "are lost"
                    log.error(
                        "worker died number=%d pid=%d exitcode=%s: its sessions %s; it is started again",
                        number, process.pid, process.exitcode, sessions,
                    )  # fmt: skip
                    if time.monotonic() - began < YOUNG_S:
                        time.sleep(REST_S)
                    self._start(number)

    def end(self) -> None:
        """Each worker lets its sessions end."""
        for process, _ in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process, _ in self._running.values():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.error("worker pid=%d did not stop within %g s: killed", process.pid, STOP_S)
                process.kill()
                process.join()

    def _start(self, number: int) -> None:
        place = Place(number, self._settings.workers, self._folder)
        with contextlib.suppress(FileNotFoundError):
            place.socket.unlink()
        process = self._spawn.Process(target=work, args=(self._settings, place, self._port), name=f"worker-{number}")
        process.start()
        self._running[number] = (process, time.monotonic())
        log.info("worker started number=%d pid=%d", number, process.pid)


def work(settings: Settings, place: Place, port: int) -> None:
    """One worker, in its own process, until SIGTERM; or until the parent is gone."""
    os.setsid()  # Ctrl-C is for the parent, which tells us
    logs.begin(settings.log_level, settings.log_format)
    for_service(settings)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with shared(settings.host, port) as listening:
        running = server(place.settings(settings), place=place)
        garbage.settled()
        running.run(sockets=[listening])
    if not running.started:
        sys.exit(1)


def shared(host: str, port: int) -> socket.socket:
    """A socket on a port that other processes of ours have too; not yet listening. Raises OSError."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def can_share() -> None:
    if sys.platform != "linux":
        fail("--workers needs Linux, whose kernel spreads connections over processes")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _stopping() -> Iterator[int]:
    """A file that can be read once SIGINT or SIGTERM came."""
    reader, writer = os.pipe()
    ours = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: os.write(writer, b"!")) for number in ours}
    try:
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
