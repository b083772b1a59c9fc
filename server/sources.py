"""The server's own sources: added, changed, listed and removed while it runs. `/v1/sources`.

Knows which sources there are and where their messages go (the hub); how one listens is `source.py`, what may be asked
for `source_spec.py`. A source that fails stops nothing else.
"""

import asyncio
import contextvars
import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from engine.weights import Model
from server import microphone
from server import protocol as p
from server.detect import unfit
from server.errors import Code, Refusal
from server.hub import Hub
from server.reader import Input, ReadError
from server.session import Witnessing
from server.source import Source
from server.source_file import SourceFile
from server.source_spec import MAX_SOURCES, Allowed, AnySpec, Barred, Spec, named

log = logging.getLogger("spiccato.sources")

router = APIRouter()


@dataclass
class Running:
    spec: Spec  # as it was asked for
    kept: bool  # in the file, for the next start
    source: Source
    task: "asyncio.Task[None]"


class Sources:
    def __init__(
        self,
        model: Model,
        limits: p.Limits,
        hub: Hub,
        executor: Executor | None = None,
        file: SourceFile | None = None,  # keeps those that are added while the server runs
        witnessing: Witnessing | None = None,
        allowed: Allowed | None = None,
    ) -> None:
        self.hub = hub
        self._file = file
        self._model = model
        self._limits = limits
        self._executor = executor
        self._witnessing = witnessing
        self._allowed = allowed or Allowed()
        self._running: dict[str, Running] = {}

    def add(self, spec: Spec, *, keep: bool = True, starting: bool = False) -> Source:
        """Start to listen. Raises Refusal if there is no room, the id is taken or the settings do not allow it.

        keep: for the next start too. starting: what is not allowed any more becomes a source that has failed.
        """
        if len(self._running) >= MAX_SOURCES:
            raise Refusal(
                Code.TOO_MANY_SOURCES, f"{len(self._running)} sources run already: the limit is {MAX_SOURCES}"
            )
        try:
            id = named(spec, self._running)
        except ValueError as error:
            raise Refusal(Code.SOURCE_EXISTS, str(error)) from error
        try:
            input = self._checked(spec)
        except Refusal as refusal:
            if not starting:
                raise
            input = Barred(spec.kind, id, refusal.message)
        source = Source(
            id,
            self._model,
            self._limits,
            partial(self.hub.publish, id),
            input,
            name=spec.name,
            muted=spec.muted,
            detect=spec.detect.model_dump(),
            executor=self._executor,
            witnessing=self._witnessing,
        )
        # a context of its own: what it logs for days does not belong to the request that added it
        task = asyncio.create_task(source.run(), name=f"source {id}", context=contextvars.Context())
        task.add_done_callback(partial(_ended, id))
        self._running[id] = Running(spec.model_copy(update={"id": id}), keep, source, task)
        self._keep()
        return source

    def change(self, id: str, patch: dict[str, Any]) -> Source:
        """Rename, mute, decide otherwise, or read from something else. Raises Refusal, pydantic.ValidationError,
        ValueError."""
        running = self._found(id)
        spec = running.spec.changed(patch)
        input: Input | None = self._checked(spec)
        if spec.reads_as(running.spec) and not isinstance(running.source.input, Barred):
            input = None
        before, running.spec = running.spec, spec
        if spec.name != before.name:
            running.source.rename(spec.name or id)
        running.source.mute(spec.muted)
        if spec.detect != before.detect:
            running.source.decide(spec.detect.model_dump())
        if input is not None:
            running.source.change(input)
        self._keep()
        return running.source

    def tune(self, model: Model) -> None:
        """All decide by this model's thresholds from now on; it differs in nothing else."""
        self._model = model
        for running in self._running.values():
            running.source.tune(model)

    async def remove(self, id: str, reason: str = "stop") -> None:
        """Stop listening; its session ends with a summary. Raises Refusal if there is no such source."""
        running = self._found(id)
        del self._running[id]
        if reason == "stop":
            self._keep()
        running.source.stop(reason)
        await asyncio.wait({running.task})
        running.source.ended("the source was removed" if reason == "stop" else "the server stops")
        self.hub.forget(id)
        if reason == "stop":
            self.hub.tell(id, {"type": "removed"})

    async def close(self) -> None:
        """Stop all, at once, because the server stops."""
        await asyncio.gather(*(self.remove(id, "shutdown") for id in list(self._running)))

    def told(self) -> list[dict[str, Any]]:
        return [self.described(id) for id in self._running]

    def described(self, id: str) -> dict[str, Any]:
        running = self._found(id)
        source = running.source
        return {
            **running.spec.model_dump(mode="json"),
            "name": source.name,
            "opened": source.opened and {**source.opened.details, "sample_rate": source.opened.sample_rate},
            "session": source.session and source.session.id,
            **source.state.model_dump(include={"state", "detail", "retry_in_ms"}),
        }

    def _checked(self, spec: Spec) -> Input:
        """Raises Refusal where the settings do not allow it, or the model does not know what it is to detect."""
        if found := unfit(self._model, spec.detect):
            raise Refusal(found[0].code, "; ".join(mistake.message for mistake in found[:5]))
        return spec.input(self._allowed)

    def _keep(self) -> None:
        if self._file is None:
            return
        try:
            self._file.write([running.spec for running in self._running.values() if running.kept])
        except OSError as error:
            log.error("%s cannot be written, so the next start does not know this: %s", self._file.path, error)

    def _found(self, id: str) -> Running:
        if id not in self._running:
            raise Refusal(Code.UNKNOWN_SOURCE, f"no source is called {id!r}; there are {sorted(self._running)}")
        return self._running[id]


def _ended(id: str, task: "asyncio.Task[None]") -> None:
    """A fault of ours in a source is told in the log and stops nothing else."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("source %s ended by a fault of ours", id, exc_info=error)


@router.get("/v1/sources")
async def listed(request: Request) -> dict[str, Any]:
    """The sources, and the devices that could become one; `problem` says why there is no list of devices."""
    service = request.app.state.service
    problem = None
    devices: list[dict[str, Any]] = []
    try:
        devices = await microphone.devices()
    except ReadError as error:
        problem = {"code": error.code, "message": str(error)}
    return {"sources": service.sources.told(), "devices": devices, "problem": problem}


@router.post("/v1/sources", status_code=201)
async def added(request: Request, spec: AnySpec) -> dict[str, Any]:
    service = request.app.state.service
    service.check_ready()
    return service.sources.described(service.sources.add(spec).id)


@router.patch("/v1/sources/{id}")
async def changed(request: Request, id: str, patch: dict[str, Any]) -> dict[str, Any]:
    sources: Sources = request.app.state.service.sources
    try:
        sources.change(id, patch)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    except ValueError as error:
        raise Refusal(Code.BAD_MESSAGE, str(error)) from error
    return sources.described(id)


@router.delete("/v1/sources/{id}", status_code=204)
async def removed(request: Request, id: str) -> None:
    await request.app.state.service.sources.remove(id)
