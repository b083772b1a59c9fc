"""What the endpoints share: settings, the model, the engine's threads, who is connected. Knows no protocol.

The model is loaded and the kernels are warmed in the background; `ready` says when that is done.
"""

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from engine import weights
from engine.warmup import warm
from engine.weights import Model
from server import unison
from server.commands import WhichModel
from server.detect import named, tuned
from server.errors import Code, Refusal
from server.failover import Failover
from server.fits import check
from server.hub import Hub
from server.metrics import Metrics
from server.outputs.outputs import Outputs
from server.past.history import History
from server.place import Place
from server.protocol import Limits
from server.sessions import Sessions
from server.settings import Settings
from server.source_file import SourceFile
from server.source_spec import together
from server.sources import Sources

log = logging.getLogger("spiccato.service")

DRAIN_S = 10.0  # how long sessions get to send their last events when the server stops
UPLOADS_S = 10.0  # and after them uploads to be done


def hub_of(settings: Settings) -> Hub:
    """Of this process alone, or one that it shares with others: Redis is an extra, imported where it is asked for."""
    if settings.redis_url is None:
        return Hub()
    from server.shared_hub import SharedHub

    return SharedHub(settings.redis_url.get_secret_value())


def failover_of(settings: Settings) -> Failover | None:
    if settings.failover_url is None or not settings.resume_s:
        return None
    return Failover(settings.failover_url.get_secret_value(), settings.resume_s)


def _warm(model: Model) -> None:
    warm(model)
    unison.warm(model)


class Service:
    def __init__(self, settings: Settings, place: Place | None = None) -> None:
        self.settings = settings
        self.loaded: Model = weights.load(settings.model)  # as its file has it
        check(settings, self.loaded)
        self.model: Model = tuned(self.loaded, settings.thresholds)
        self.compared: Model | None = None if settings.compare_model is None else weights.load(settings.compare_model)
        self.ready = False
        self.failed: Exception | None = None  # why it never becomes ready
        self.draining = False
        source_file = None if settings.sources_file is None else SourceFile(settings.sources_file)
        self._kept_sources = [] if source_file is None else source_file.read(beside=settings.first_sources)
        self.sources_known = not settings.first_sources and not self._kept_sources
        self.pool = ThreadPoolExecutor(settings.threads, "engine")
        self.upload_pool = ThreadPoolExecutor(settings.upload_threads, "upload")
        self.uploads = 0  # being received, decoded or heard
        self.stopping = threading.Event()  # those are given up
        self.hub = hub_of(settings)
        self.history = None if settings.history.get_secret_value() == "off" else History(settings)
        clips = None if self.history is None else self.history.clips
        of_session, of_source = (None, None) if clips is None else (clips.of_session, clips.of_source)
        self.failover = failover_of(settings)
        self.sessions = Sessions(
            self.model, settings, self.pool, self.hub.tell, of_session, place, self.compared, self.failover
        )
        self.sources = Sources(self.model, self.limits, self.hub, self.pool, source_file, of_source, settings.allowed)
        self.outputs = Outputs(self.model, self.hub)
        self.metrics = Metrics(self)

    @property
    def limits(self) -> Limits:
        return self.settings.limits

    def tune(self, model: Model) -> None:
        """From now on the thresholds are this model's; it differs in nothing else."""
        self.model = model
        self.sessions.tune(model)
        self.sources.tune(model)

    async def warm(self) -> None:
        """Compile every kernel; then the service is ready."""
        began = time.monotonic()
        try:
            for model in filter(None, (self.model, self.compared)):
                await asyncio.get_running_loop().run_in_executor(self.pool, _warm, model)
        except Exception as error:
            self.failed = error
            raise
        self.ready = True
        for spec in together([*self.settings.first_sources, *self._kept_sources]):
            self.sources.add(spec, keep=any(spec is kept for kept in self._kept_sources), starting=True)
        self.sources_known = True
        self.outputs.known([source["id"] for source in self.sources.told()])
        log.info("ready model=%s warmed_s=%.2f", self.model.id, time.monotonic() - began)

    def model_of(self, which: WhichModel) -> Model:
        """Raises Refusal where there is no second model."""
        return named(which, self.model, self.compared)

    def check_ready(self) -> None:
        if self.draining:
            raise Refusal(Code.DRAINING, "the server is about to stop: try again in a few seconds")
        if not self.ready:
            raise Refusal(Code.STARTING, "the kernels are still being compiled: try again in a few seconds")

    async def drain(self) -> None:
        """End every session, so that each sends its last events and its summary before the server stops."""
        self.draining = True
        try:
            async with asyncio.timeout(DRAIN_S + self.settings.drain_ms / 1000):
                await self.sources.close()
                await self.hub.close()
                await self.sessions.drain()
                await self.outputs.close()
        except TimeoutError:
            log.warning("drain unfinished=%d after_s=%g", len(self.sessions), DRAIN_S)

    def open(self) -> None:
        """Tell and keep what is heard from now on."""
        self.hub.start()
        if self.history is not None:
            self.hub.tap(self.history.hear)
            self.history.start()

    def close(self) -> None:
        """Takes seconds where a disk is slow: not for the event loop."""
        self.stopping.set()
        if self.history is not None:
            self.history.close()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.upload_pool.shutdown(wait=False, cancel_futures=True)
