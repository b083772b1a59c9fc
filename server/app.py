"""The one place where the service is wired: routes, errors, start and stop."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from server import health, info, live, metrics, neurons, origin, reload, sources, tickets, transport, upload, watch
from server.auth import Access, Authenticated
from server.below import Below
from server.commands import shown
from server.config import Config
from server.errors import Code, Refusal
from server.headers import AnswerHeaders
from server.origin import SameOrigin
from server.outputs import outputs
from server.past import rest as past
from server.reload import Reloader
from server.service import Service
from server.settings import ROOT, Settings
from server.source_spec import located
from server.version import VERSION

log = logging.getLogger("spiccato.app")

WS_MAX_BYTES = 32 * 1024 * 1024  # above every `max_chunk_bytes`, so that our own answer names the limit


def create_app(settings: Settings, config: Config | None = None) -> FastAPI:
    """Raises engine.weights.ModelError where the model file cannot be used, server.tokens.AuthError where the settings
    would leave the service open to a network without a token, server.fits.Unfit where settings do not fit together."""
    access = Access(settings)
    service = Service(settings)
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    reloader = Reloader(service, access, config or Config(settings, None, given))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.open()
        await service.outputs.apply(settings.outputs)
        warming = asyncio.create_task(service.warm())
        warming.add_done_callback(_warmed)
        watching = asyncio.create_task(service.metrics.watch_the_loop())
        looking = asyncio.create_task(reloader.watch())
        with reloader.on_hangup():
            yield
        looking.cancel()
        watching.cancel()
        await asyncio.wait({warming})
        await service.outputs.close()
        await asyncio.to_thread(service.close)

    app = FastAPI(title="Spiccato", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.state.access = access
    app.state.reloader = reloader
    app.add_middleware(Authenticated, access=access)
    app.add_middleware(SameOrigin, names=origin.names(settings.host, settings.allowed_hosts))
    app.add_middleware(Below, root=settings.root_path)
    app.add_middleware(AnswerHeaders)  # the outermost: refusals carry them too
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
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
    mistakes = (f"{located(e['loc'])} is {shown(e['input'])}: {e['msg']}" for e in error.errors()[:5])
    return live.refused(Refusal(Code.BAD_MESSAGE, "; ".join(mistakes)))


async def _failed(_: Request, error: Exception) -> JSONResponse:
    return live.refused(Refusal(Code.INTERNAL, "the server failed on this request; the log says why"))


class Server(uvicorn.Server):
    """uvicorn, except that when it stops every session first sends its last events and its summary."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        service: Service = self.config.app.state.service  # type: ignore[union-attr]
        await service.drain()
        await super().shutdown(sockets)


def server(settings: Settings, config: Config | None = None) -> Server:
    """The app on uvicorn, ready to `run()`. Logging is the caller's."""
    wanted = uvicorn.Config(
        create_app(settings, config),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=transport.Http,
        ws=transport.WebSocket,
        ws_max_size=WS_MAX_BYTES,
        ws_per_message_deflate=False,  # PCM does not compress, and it costs more CPU than the engine
        server_header=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        forwarded_allow_ips=settings.forwarded_allow_ips,
    )
    return Server(wanted)
