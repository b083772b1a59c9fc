"""Hours in seconds: the whole service, sockets included, on an event loop whose clock jumps to what is due next.

Nothing takes time but what waits for it, and work in the service's threads, which takes as long as it is told to. Only
what runs in this one loop is on that clock: service and clients alike, and no thread.
"""

import asyncio
import itertools
import os
import selectors
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import server.metrics
import server.service
from server.app import server as make_server
from server.outbox import Outbox
from server.service import Service
from server.session import Session
from server.settings import Settings

REAL_S = 10.0  # for data between two sockets of ours, where nobody waits for a time
PORTS = itertools.count(1)  # that stand for services of this process


class _Selector(selectors.DefaultSelector):
    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            ready = super().select(REAL_S)
            assert ready, "everybody waits for ever"
        elif not ready and timeout is not None:
            self.loop.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 1_000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    async def create_connection(self, protocol: Any, host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        """Every connection is one to the service of this number, by a way on which nothing is ever under way."""
        ours = _Socket(socket.AF_UNIX)
        ours.setblocking(False)
        ours.connect(_address(port))
        return await super().create_connection(protocol, sock=ours)

    def run_in_executor(self, executor: Any, work: Callable[..., Any], *arguments: Any) -> Any:
        return super().run_in_executor(Workers(self, 1) if executor is None else executor, work, *arguments)


class _Socket(socket.socket):
    def setsockopt(self, level: int, *option: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *option)


def _address(port: int) -> str:
    return f"\0spiccato-{os.getpid()}-{port}"


class Workers(Executor):
    """So many threads; each piece of work takes `cost_s` of the loop's time, and waits for a thread that is free."""

    def __init__(self, loop: VirtualLoop, threads: int, cost_s: float = 0.0) -> None:
        self.cost_s = cost_s
        self._loop = loop
        self._free = [0.0] * threads  # when each of them is
        self._work_queue: SimpleQueue[None] = SimpleQueue()  # as ThreadPoolExecutor has, for the metrics

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(work(*arguments, **named))
            except Exception as error:
                future.set_exception(error)

        soonest = self._free.index(min(self._free))
        self._free[soonest] = max(self._loop.now, self._free[soonest]) + self.cost_s
        self._loop.call_at(self._free[soonest], run)
        return future


@contextmanager
def virtual_time() -> Iterator[VirtualLoop]:
    """A loop to run things on. Until the end `time.monotonic` is its clock."""
    loop = VirtualLoop()

    async def inline(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", loop.time)
        patch.setitem(Session.__init__.__kwdefaults__, "monotonic", loop.time)
        patch.setattr(Outbox.__init__, "__defaults__", (loop.time,))
        patch.setattr(server.service, "ThreadPoolExecutor", lambda threads, name: Workers(loop, threads))
        patch.setattr(server.metrics, "run_in_threadpool", inline)
        try:
            yield loop
        finally:
            loop.close()


@asynccontextmanager
async def virtual_service(model: Path, **settings: Any) -> AsyncIterator[tuple[int, Service]]:
    """The real service in this loop: its port, and itself."""
    port = next(PORTS)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(_address(port))
        running = make_server(Settings(model=model, port=port, **settings))
        serving = asyncio.create_task(running._serve([listening]))
        service: Service = running.config.app.state.service  # type: ignore[union-attr]
        while not service.ready:
            await asyncio.sleep(0.01)
        try:
            yield port, service
        finally:
            running.should_exit = True
            await serving
