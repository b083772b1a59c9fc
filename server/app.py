"""The one place where the service is wired: routes, errors, start and stop."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from server import (
    elsewhere,
    failed,
    health,
    info,
    live,
    metrics,
    neurons,
    origin,
    reload,
    sources,
    tickets,
    transport,
    upload,
    watch,
)
from server.auth import Access, Authenticated
from server.below import Below
from server.commands import shown
from server.config import Config
from server.errors import Code, Refusal
from server.headers import AnswerHeaders
from server.mistakes import SECRET
from server.origin import SameOrigin
from server.outputs import outputs
from server.past import rest as past
from server.place import Place
from server.reload import Reloader
from server.service import UPLOADS_S, Service
from server.settings import ROOT, Settings
from server.source_spec import located
from server.version import VERSION

log = logging.getLogger("spiccato.app")

WS_MAX_BYTES = 32 * 1024 * 1024  # above every `max_chunk_bytes`, so that our own answer names the limit

COMMON: dict[str, Any] = {  # of every uvicorn
    "log_config": None,
    "access_log": False,
    "http": transport.Http,
    "ws": transport.WebSocket,
    "ws_max_size": WS_MAX_BYTES,
    "ws_per_message_deflate": False,  # PCM does not compress, and it costs more CPU than the engine
    "server_header": False,
    "timeout_graceful_shutdown": int(UPLOADS_S) + 2,  # whose body does not come, or who takes no answer, is cut off
}


def create_app(settings: Settings, config: Config | None = None, place: Place | None = None) -> FastAPI:
    """Raises engine.weights.ModelError where the model file cannot be used, server.tokens.AuthError where the settings
    would leave the service open to a network without a token, server.fits.Unfit where settings do not fit together."""
    access = Access(settings, place)
    service = Service(settings, place)
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    reloader = Reloader(service, access, config or Config(settings, None, given))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.open()
        await service.outputs.apply(settings.outputs)
        warming = asyncio.create_task(service.warm())
        warming.add_done_callback(_warmed)
        if place is not None:
            await warming  # the kernel gives a worker connections as soon as it listens: the ready ones take them
        background = [asyncio.create_task(service.metrics.watch_the_loop())]
        if place is None:
            background.append(asyncio.create_task(reloader.watch()))
        elif not place.is_first:
            background.append(asyncio.create_task(elsewhere.tell_first(place, service.hub)))
        with contextlib.nullcontext() if place is not None else reloader.on_hangup():
            yield
        for task in background:
            task.cancel()
        await asyncio.wait({warming})
        await service.outputs.close()
        await service.hub.stop()
        if service.failover is not None:
            await service.failover.close()
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="Spiccato",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=failed.RESPONSES,
    )
    app.state.service = service
    app.state.access = access
    app.state.reloader = reloader
    app.state.place = place
    if place is not None and not place.is_first:
        app.add_middleware(elsewhere.Forward, place=place)
    app.add_middleware(Authenticated, access=access)
    app.add_middleware(SameOrigin, names=origin.names(settings.host, settings.allowed_hosts))
    app.add_middleware(Below, root=settings.root_path)
    app.add_middleware(AnswerHeaders)  # the outermost: refusals carry them too
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _failed)
    app.include_router(live.router)
    app.include_router(sources.router)
    app.include_router(tickets.router)
    app.include_router(watch.router)
    app.include_router(upload.router)
    app.include_router(past.router)
    app.include_router(info.router)
    app.include_router(outputs.router)
    app.include_router(reload.router)
    app.include_router(neurons.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.mount("/", GZipMiddleware(Page(directory=ROOT / "client" / "web", html=True)))
    return app


def _warmed(warming: asyncio.Task[None]) -> None:
    if not warming.cancelled() and (error := warming.exception()) is not None:
        log.critical("warm-up failed: this server never becomes ready", exc_info=error)


class Page(StaticFiles):
    """The page's files, asked for again at each visit: after an upgrade no browser mixes old modules with new ones."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    request.app.state.service.metrics.refused[error.code] += 1
    return live.refused(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """A body or parameter that does not fit its model."""
    assert isinstance(error, RequestValidationError)
    return live.refused(Refusal(Code.BAD_MESSAGE, "; ".join(map(_mistake, error.errors()[:5]))))


def _mistake(error: Any) -> str:
    """An address may hold a password, and so may the table in which it stands: neither is repeated."""
    given = error["input"]
    names = {*error["loc"], *(given if isinstance(given, dict) else ())}
    told = "" if SECRET & names or "@" in str(given) else f" is {shown(given)}"
    return f"{located(error['loc'])}{told}: {error['msg']}"


async def _plain(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses by itself, in our own form."""
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path[:100]!r}"
    refusal = {
        404: Refusal(Code.NOT_FOUND, f"{asked}: nothing is there"),
        405: Refusal(Code.BAD_METHOD, f"{asked}: this address answers other methods only"),
    }.get(error.status_code, Refusal(Code.BAD_MESSAGE, f"{asked}: {error.detail}"))
    return JSONResponse(refusal.body(), error.status_code, error.headers)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    return live.refused(Refusal(Code.INTERNAL, "the server failed on this request; the log says why"))


class Server(uvicorn.Server):
    """uvicorn, except that when it stops every session first sends its last events and its summary."""

    def __init__(self, config: uvicorn.Config, inner: "Inner | None" = None) -> None:
        super().__init__(config)
        self._inner = inner  # among several workers: what the others ask
        self._inside: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._inner is not None and not self.should_exit:
            self._inside = asyncio.create_task(self._inner.serve())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        service: Service = self.config.app.state.service  # type: ignore[union-attr]
        await service.drain()
        asyncio.get_running_loop().call_later(UPLOADS_S, service.stopping.set)
        if self._inner is not None and self._inside is not None:
            self._inner.should_exit = True
            await self._inside
        await super().shutdown(sockets)


class Inner(uvicorn.Server):
    """One more, for the other workers, on a socket of this machine. Signals are the outer one's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(settings: Settings, config: Config | None = None, place: Place | None = None) -> Server:
    """The app on uvicorn, ready to `run()`. Logging is the caller's."""
    app = create_app(settings, config, place)
    wanted = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        **COMMON,
    )
    if place is None:
        return Server(wanted)
    trusted = elsewhere.Trusted(app, app.state.service.hub)
    return Server(wanted, Inner(uvicorn.Config(trusted, uds=str(place.socket), lifespan="off", **COMMON)))
