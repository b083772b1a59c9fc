"""What tests of outputs share: events as they are on the wire, and outputs that run on a hub of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import TypeAdapter

from server.hub import Hub
from server.outputs.config import Output
from server.outputs.outputs import Outputs
from tests.toy import toy_model

Message = dict[str, Any]


def onset(label: str = "low", id: str = "e1", at_ms: float = 1_000.0, score: float = 0.75) -> Message:
    """Decided 20 ms after it began, at 16 kHz."""
    return {
        "type": "event",
        "session": "s_1",
        "seq": 1,
        "schema": 1,
        "event_id": id,
        "source": "stage",
        "label": label,
        "phase": "onset",
        "is_final": False,
        "score": score,
        "peak": score,
        "threshold": 0.7,
        "onset_sample": round(at_ms * 16),
        "onset_ms": at_ms,
        "offset_sample": None,
        "offset_ms": None,
        "decided_sample": round((at_ms + 20) * 16),
        "latency_ms": 3.0,
        "utc_onset": "2026-01-02T03:04:05.678Z",
        "model": "toy@0.0.1",
        "reason": None,
    }


def end(onset: Message, after_ms: float = 500.0, phase: str = "offset", peak: float = 0.9) -> Message:
    at_ms = onset["onset_ms"] + after_ms
    return {
        **onset,
        "phase": phase,
        "is_final": True,
        "peak": peak,
        "offset_ms": at_ms,
        "offset_sample": round(at_ms * 16),
        "reason": "decay",
    }


def state(state: str = "healthy", name: str | None = "Stage left") -> Message:
    return {"type": "source", "state": state, "detail": "", "retry_in_ms": None, "name": name, "muted": False}


def output(**settings: Any) -> Output:
    made: Output = TypeAdapter(Output).validate_python(settings)
    return made


@asynccontextmanager
async def running(*outputs: Output) -> AsyncIterator[tuple[Hub, Outputs]]:
    """The outputs on a hub of the toy model."""
    hub = Hub()
    ways = Outputs(toy_model(), hub)
    await ways.apply(outputs)
    try:
        yield hub, ways
    finally:
        await ways.close()


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Let the loop run until it is true; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
