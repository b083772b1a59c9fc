"""The files of an archive on this machine's cores: a process for each, one file at a time. Knows no results.

A process that dies has one file in hand, which is then known. It is tried once more; who kills two is at fault.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from engine.weights import Model
from spiccato.archive import ArchiveError
from spiccato.archive.listing import Entry
from spiccato.archive.work import Hearer, Row, bad

READY = "ready"


class Worker:
    def __init__(self, model: Model) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.entry: Entry | None = None  # in hand; None: it gets ready
        self.process = spawn.Process(target=work, args=(theirs, model), daemon=True)
        self.process.start()
        theirs.close()  # so that its end can be read

    def take(self, entry: Entry) -> None:
        self.entry = entry
        with contextlib.suppress(ConnectionError):  # it has died: that is read next
            self.pipe.send(entry)

    def end(self) -> None:
        """It is idle, or not wanted any more."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


def heard(model: Model, entries: Sequence[Entry], jobs: int) -> Iterator[Row]:
    """A row for each, as they are done. Raises ArchiveError."""
    todo, tried = deque(entries), set[Entry]()
    busy: dict[Any, Worker] = {}  # by its pipe

    def begin() -> None:
        worker = Worker(model)
        busy[worker.pipe] = worker

    try:
        for _ in range(min(jobs, len(todo))):
            begin()
        while busy:
            for pipe in wait(list(busy)):
                worker = busy.pop(pipe)
                try:
                    answer = worker.pipe.recv()
                except (EOFError, ConnectionError):
                    entry, why = worker.entry, _ended(worker)
                    if entry is None:
                        raise ArchiveError(f"a process ended before its first file ({why})") from None
                    if entry in tried:
                        yield bad(entry.name, "died", f"two processes ended while they heard it ({why})")
                    else:
                        tried.add(entry)
                        todo.appendleft(entry)
                    begin()
                    continue
                if todo:
                    worker.take(todo.popleft())
                    busy[worker.pipe] = worker
                else:
                    worker.end()
                if answer != READY:
                    yield answer
    finally:
        for worker in busy.values():
            worker.end()


def work(pipe: Connection, model: Model) -> None:
    """One process: entries in, rows out, until nobody asks any more or the command was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hearer = Hearer(model)
    with contextlib.suppress(EOFError, ConnectionError):
        pipe.send(READY)
        while True:
            pipe.send(hearer(pipe.recv()))


def _end_with_parent() -> None:
    """Also within a file: the next command has the cores for itself."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _ended(worker: Worker) -> str:
    worker.process.join()
    code = worker.process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"status {code}"
