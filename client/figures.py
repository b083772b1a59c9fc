"""What one load showed, as numbers: run a plan against a service and sum up. Knows loads, not how figures look."""

from typing import Any

from client.load import Load, Plan, Seen, percentile
from client.notes import notes
from client.scrape import Scrape, Scraper

SOUND_S = 12.0  # heard over and over
ENGINE_RATE_FRAMES = 100  # frames of the engine in a second, for `lost_frames`

Figures = dict[str, Any]


async def measure(plan: Plan) -> Figures:
    """Run the whole plan. Raises StreamError where the service cannot be reached or refuses a session."""
    watched = Watched(plan)
    try:
        async with Load(plan, notes(SOUND_S, plan.rate_hz)) as load:
            load.on_warming = watched.begin
            await load.play()
            await watched.end()
            await load.end()
    finally:
        await watched.close()
    return figures(plan, load.seen) | watched.told()


class Watched:
    """What the service says of itself over the measured time, and a little before: asking is not to be in it."""

    def __init__(self, plan: Plan) -> None:
        self._scraper = Scraper(plan.url, plan.token)
        self._before: str | None = None
        self._after: str | None = None

    async def begin(self) -> None:
        self._before = await self._scraper.text()

    async def end(self) -> None:
        self._after = await self._scraper.text()

    async def close(self) -> None:
        await self._scraper.close()

    def told(self) -> Figures:
        """All None where the service does not tell."""
        if self._before is None or self._after is None:
            return dict.fromkeys(("cpu_ms_per_stream_second", "rss_mb", "loop_lag_p99_ms"))
        before, after = Scrape(self._before), Scrape(self._after)
        audio_s, cpu_s = (
            after.values[name] - before.values[name]
            for name in ("spiccato_audio_seconds_total", "process_cpu_seconds_total")
        )
        lag_s = after.lag_since(before, 99)
        return {
            "cpu_ms_per_stream_second": round(cpu_s * 1000 / audio_s, 3) if audio_s else None,
            "rss_mb": round(after.values["process_resident_memory_bytes"] / 2**20, 1),
            "loop_lag_p99_ms": None if lag_s is None else lag_s * 1000,
        }


def figures(plan: Plan, seen: Seen) -> Figures:
    """What the clients saw. Milliseconds, but for counts and shares."""
    frame = plan.rate_hz // ENGINE_RATE_FRAMES
    return {
        "sessions": plan.sessions,
        "chunk_ms": plan.chunk_ms,
        "framing": "framed" if plan.framed else "raw",
        "seconds": round(seen.measured_s, 2),
        "answers": len(seen.latencies),
        "p50_ms": _ms(seen.latencies, 50),
        "p95_ms": _ms(seen.latencies, 95),
        "p99_ms": _ms(seen.latencies, 99),
        "max_ms": _ms(seen.latencies, 100),
        "events": len(seen.events),
        "event_p99_ms": _ms(seen.events, 99),
        "ping_p99_ms": _ms(seen.pings, 99),
        "lag_ms": round(seen.worst_lag_ms, 1),
        "realtime_factor": percentile(seen.factors, 50),
        "lost_frames": -(-seen.lost_samples // frame),
        "gaps": seen.gaps,
        "left_out": seen.left_out,
        "failed": len(seen.failed),
        "why_failed": sorted(set(seen.failed))[:5],
        "late_p99_ms": _ms(seen.late, 99),
        "generator_cpu": round(seen.generator_cpu_s / seen.measured_s, 3) if seen.measured_s else None,
    }


def _ms(seconds: Any, percent: float) -> float | None:
    value = percentile(seconds, percent)
    return None if value is None else round(value * 1000, 3)
