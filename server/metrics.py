"""GET /metrics: the service in numbers, for Prometheus. Knows what to count and how it is called; counts little itself.

Everything is read when it is asked for: a chunk of sound pays for its own meter only. Labels have few values (phases,
causes, error codes, the settings' outputs), never names that somebody outside can choose: their number is bounded.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool

from server.gathered import gathered
from server.meter import PHASES, WHERE, Histogram
from server.place import TRUSTED, Place
from server.protocol import State
from server.version import VERSION

if TYPE_CHECKING:
    from server.service import Service

router = APIRouter()

LAG_EVERY_S = 0.1
LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """What is counted where it happens, on the event loop."""

    def __init__(self, service: "Service") -> None:
        self.refused: Counter[str] = Counter()  # by error code: sessions, requests, connections
        self.uploads: Counter[str] = Counter()  # by outcome: `ok` or an error code
        self.states: Counter[str] = Counter()  # of the server's own microphones, when it was last asked
        self.outputs: list[dict[str, Any]] = []  # what was told of them then
        self.lag = Histogram(LAG_S)  # s by which the event loop came late
        self.worst_lag_s = 0.0  # of the last few seconds
        self.registry = CollectorRegistry()
        self.registry.register(Told(service, self))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    async def watch_the_loop(self) -> None:
        """For ever: how late does the event loop come?"""
        while True:
            before = time.monotonic()
            await asyncio.sleep(LAG_EVERY_S)
            lag_s = max(0.0, time.monotonic() - before - LAG_EVERY_S)
            self.lag.observe(lag_s)
            self.worst_lag_s = max(lag_s, self.worst_lag_s * 0.98)  # half of it is forgotten after 3.5 s


class Told(Collector):
    def __init__(self, service: "Service", metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        service, metrics = self._service, self._metrics
        meters = service.sessions.meters
        total = meters.total()
        model = service.model
        yield InfoMetricFamily("spiccato_build", "What runs", value={"version": VERSION, "model": model.id})
        yield _gauge("spiccato_ready", "1: the kernels are compiled", float(service.ready))
        yield _gauge("spiccato_sessions", "Connections of live sessions", len(service.sessions))
        yield _gauge("spiccato_sessions_waiting", "Sessions that wait for their client", service.sessions.waiting)
        yield CounterMetricFamily("spiccato_sessions_opened", "Sessions that began", meters.opened)
        yield _counters("spiccato_refused", "Sessions, requests and connections refused", "code", metrics.refused)
        yield CounterMetricFamily("spiccato_audio_seconds", "Sound heard in live sessions", total.audio_s)
        frames = int(total.audio_s / model.front_end.hop_s)
        yield CounterMetricFamily("spiccato_frames", "Frames of live sessions", frames)
        yield CounterMetricFamily("spiccato_engine_seconds", "Time of the engine's threads", total.engine_s)
        yield _counters("spiccato_events", "Events of live sessions", "phase", total.events, PHASES)
        yield _counters("spiccato_source_events", "Events of own microphones", "phase", service.hub.events, PHASES)
        dropped_ms = Counter({where: seconds * 1000 for where, seconds in total.dropped_s.items()})
        yield _counters("spiccato_dropped_milliseconds", "Sound that was lost", "where", dropped_ms, WHERE)
        yield _histogram("spiccato_chunk_latency_seconds", "From a chunk's arrival to its answer", total.latency)
        yield _gauge("spiccato_inbox_bytes", "Sound that waits to be heard", service.sessions.waiting_bytes)
        yield _gauge("spiccato_engine_queue", "Hand-offs that wait for a thread", service.pool._work_queue.qsize())
        yield _histogram("spiccato_event_loop_lag_seconds", "By how much the event loop comes late", metrics.lag)
        yield _gauge("spiccato_uploads", "Uploads in work", service.uploads)
        yield _counters("spiccato_uploads_done", "Uploads by outcome", "outcome", metrics.uploads, ("ok",))
        if (history := service.history) is not None:
            writer, clips = history.writer, history.clips
            yield _gauge("spiccato_history_up", "1: what is heard can be written", float(writer.problem is None))
            yield _gauge("spiccato_history_waiting", "Rows that wait to be written", writer.waiting)
            yield CounterMetricFamily("spiccato_history_written", "Rows that were written", writer.written)
            yield CounterMetricFamily("spiccato_history_dropped", "Rows that were lost", writer.dropped)
            yield CounterMetricFamily("spiccato_clips_written", "Clips that were written", clips.written)
            yield _counters("spiccato_clips_dropped", "Clips that were lost", "why", clips.dropped)
        if (bus := service.hub.bus) is not None:
            yield _gauge("spiccato_bus_up", "1: Redis takes and gives messages", float(bus.problem is None))
            yield _gauge("spiccato_bus_waiting", "Messages that wait for Redis", bus.waiting)
            yield CounterMetricFamily("spiccato_bus_sent", "Messages that Redis took", bus.sent)
            yield CounterMetricFamily("spiccato_bus_dropped", "Messages that were lost", bus.dropped)
        if (failover := service.failover) is not None:
            yield _gauge("spiccato_failover_up", "1: Redis takes sessions", float(failover.problem is None))
            yield CounterMetricFamily("spiccato_failover_saves", "Times that a session was saved", failover.saved)
            yield CounterMetricFamily("spiccato_failover_bytes", "Bytes of saved sessions", failover.store.bytes)
            yield CounterMetricFamily("spiccato_failover_failures", "Requests that failed", failover.failed)
            yield CounterMetricFamily("spiccato_failover_taken", "Sessions taken over from others", failover.claimed)
            yield CounterMetricFamily("spiccato_failover_lost", "Sessions that others took over", failover.lost)
        yield _gauge("spiccato_subscribers", "Watchers of the server's own microphones", service.hub.subscribers)
        sources = GaugeMetricFamily("spiccato_sources", "The server's own microphones by state", labels=["state"])
        for state in get_args(State):
            sources.add_metric([state], metrics.states[state])
        yield sources
        up = GaugeMetricFamily("spiccato_output_up", "1: the output works", labels=["output"])
        waiting = GaugeMetricFamily("spiccato_output_waiting", "Messages that wait", labels=["output"])
        done = CounterMetricFamily("spiccato_output_messages", "Messages by outcome", labels=["output", "outcome"])
        for output in metrics.outputs:
            up.add_metric([output["name"]], float(output["state"] == "ok"))
            waiting.add_metric([output["name"]], output["waiting"])
            for outcome in ("sent", "dropped", "failed"):
                done.add_metric([output["name"], outcome], output[outcome])
        yield from (up, waiting, done)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value)


def _counters(name: str, told: str, label: str, counts: Counter[str], always: tuple[str, ...] = ()) -> Metric:
    family = CounterMetricFamily(name, told, labels=[label])
    for value in sorted({*always, *counts}):
        family.add_metric([value], counts[value])
    return family


def _histogram(name: str, told: str, histogram: Histogram) -> Metric:
    counted, buckets = 0, []
    for edge, count in zip((*map(str, histogram.edges), "+Inf"), histogram.counts, strict=True):
        counted += count
        buckets.append((edge, counted))
    return HistogramMetricFamily(name, told, buckets=buckets, sum_value=histogram.sum)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    service.metrics.states = Counter(source["state"] for source in service.sources.told())
    service.metrics.outputs = service.outputs.told()
    text = await run_in_threadpool(generate_latest, service.metrics.registry)  # the loop has better to do
    place: Place | None = request.app.state.place
    if place is not None and TRUSTED not in request.scope:
        text = await gathered(place, text)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
