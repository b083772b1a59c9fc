"""The server's own microphones: added, listed and removed while it runs. `GET/POST/DELETE /v1/sources`.

Knows which sources there are and where their messages go (the hub); how one listens is `source.py`. A source that
fails stops nothing else.
"""

import asyncio
import logging
from concurrent.futures import Executor
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints

from engine.weights import Model
from server import microphone
from server import protocol as p
from server.capture import CaptureError
from server.errors import Code, Refusal
from server.hub import Hub
from server.source import Source

log = logging.getLogger("spiccato.sources")

router = APIRouter()

MAX_SOURCES = 8
FIRST_NAME = "microphone"


class NewSource(BaseModel):
    """Body of POST /v1/sources."""

    kind: Literal["microphone"] = "microphone"
    device: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None, description="index, name or part of the name of an audio input; null: the default one"
    )
    name: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,64}$")] | None = Field(
        None, description="the source's id; null: `microphone`, `microphone-2`, ..."
    )


class Sources:
    def __init__(self, model: Model, limits: p.Limits, hub: Hub, executor: Executor | None = None) -> None:
        self.hub = hub
        self._model = model
        self._limits = limits
        self._executor = executor
        self._running: dict[str, tuple[Source, asyncio.Task[None]]] = {}

    def add(self, device: str | None = None, name: str | None = None) -> Source:
        """Start to listen to a microphone. Raises Refusal if there is no room or the name is taken."""
        if len(self._running) >= MAX_SOURCES:
            raise Refusal(
                Code.TOO_MANY_SOURCES, f"{len(self._running)} sources run already: the limit is {MAX_SOURCES}"
            )
        if name is None:
            names = [FIRST_NAME, *(f"{FIRST_NAME}-{n}" for n in range(2, MAX_SOURCES + 1))]
            name = next(free for free in names if free not in self._running)
        if name in self._running:
            raise Refusal(Code.SOURCE_EXISTS, f"a source is called {name!r} already: choose another name")
        source = Source(
            name,
            self._model,
            self._limits,
            partial(self.hub.publish, name),
            device=device,
            executor=self._executor,
        )
        task = asyncio.create_task(source.run(), name=f"source {name}")
        task.add_done_callback(partial(_ended, name))
        self._running[name] = (source, task)
        return source

    async def remove(self, name: str, reason: str = "stop") -> None:
        """Stop listening; its session ends with a summary. Raises Refusal if there is no such source."""
        if name not in self._running:
            raise Refusal(Code.UNKNOWN_SOURCE, f"no source is called {name!r}; there are {sorted(self._running)}")
        source, task = self._running.pop(name)
        source.stop(reason)
        await asyncio.wait({task})
        self.hub.forget(name)

    async def close(self) -> None:
        """Stop all, at once, because the server stops."""
        await asyncio.gather(*(self.remove(name, "shutdown") for name in list(self._running)))

    def told(self) -> list[dict[str, Any]]:
        return [described(source) for source, _ in self._running.values()]


def described(source: Source) -> dict[str, Any]:
    opened = source.opened
    return {
        "id": source.id,
        "kind": "microphone",
        "device": source.device,
        "opened": opened and {"device": opened.device, "host_api": opened.host_api, "sample_rate": opened.sample_rate},
        "session": source.session and source.session.id,
        **source.state.model_dump(include={"state", "detail", "retry_in_ms"}),
    }


def _ended(name: str, task: asyncio.Task[None]) -> None:
    """A fault of ours in a source is told in the log and stops nothing else."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("source %s ended by a fault of ours", name, exc_info=error)


@router.get("/v1/sources")
async def listed(request: Request) -> dict[str, Any]:
    """The sources, and the devices that could become one; `problem` says why there is no list of devices."""
    service = request.app.state.service
    problem = None
    devices: list[dict[str, Any]] = []
    try:
        devices = await microphone.devices()
    except CaptureError as error:
        problem = {"code": error.code, "message": str(error)}
    return {"sources": service.sources.told(), "devices": devices, "problem": problem}


@router.post("/v1/sources", status_code=201)
async def added(request: Request, new: NewSource) -> dict[str, Any]:
    service = request.app.state.service
    service.check_ready()
    return described(service.sources.add(new.device, new.name))


@router.delete("/v1/sources/{name}", status_code=204)
async def removed(request: Request, name: str) -> None:
    await request.app.state.service.sources.remove(name)
