"""Alive and ready: `GET /healthz`, `GET /readyz`. Ready means that the next session would be heard at once.

Each check says in a sentence what it found. Knows the service; nothing of sessions.
"""

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from server.service import Service

router = APIRouter()

STUCK_S = 1.0  # an event loop that came later than this, in the last seconds, is no place for another session


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


class Check(BaseModel):
    name: str
    ok: bool
    required: bool
    reason: str


class Readiness(BaseModel):
    status: Literal["ready", "draining", "not ready", "starting"]
    checks: list[Check]


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
async def readyz(request: Request) -> JSONResponse:
    """200 where every check that is required is good, 503 where one is not; `checks` says why."""
    service: Service = request.app.state.service
    checks = list(_checks(service))
    ready = all(check["ok"] for check in checks if check["required"])
    status = "ready" if ready else "draining" if service.draining else "not ready" if service.ready else "starting"
    headers = None if ready else {"Retry-After": "5"}
    return JSONResponse({"status": status, "checks": checks}, 200 if ready else 503, headers)


def _checks(service: Service) -> list[dict[str, Any]]:
    lag_s = service.metrics.worst_lag_s
    history = service.history
    return [
        _check("model", True, f"{service.model.id} is loaded"),
        _check("kernels", service.failed is None and service.ready, _kernels(service)),
        _check("sources", service.sources_known, _sources(service)),
        _check("event_loop", lag_s < STUCK_S, f"it came at most {lag_s * 1000:.0f} ms late lately"),
        _check("draining", not service.draining, "the server stops" if service.draining else "it is not about to stop"),
        _check("history", history is None or history.is_well, _history(service), required=False),
        _check("bus", _bus(service) is None, _bus(service) or "it is well", required=False),
        _check("failover", _failover(service) is None, _failover(service) or "it is well", required=False),
        _check("outputs", not _troubled(service), _outputs(service), required=False),
    ]


def _kernels(service: Service) -> str:
    if service.failed is not None:
        return "they cannot be compiled; the log says why"
    return "every one is compiled" if service.ready else "they are being compiled"


def _sources(service: Service) -> str:
    return "those asked for are known" if service.sources_known else "the microphone asked for is not yet opened"


def _history(service: Service) -> str:
    history = service.history
    if history is None:
        return "none is kept"
    if (problem := history.writer.problem) is not None:
        return f"{history.writer.waiting} rows wait: {problem}"
    if history.clips.problem is not None:
        return f"clips cannot be written: {history.clips.problem}"
    return "it is written" if history.writer.open else "it is being opened"


def _bus(service: Service) -> str | None:
    """What is wrong with the bus, where there is one."""
    bus = service.hub.bus
    return None if bus is None or bus.problem is None else f"{bus.waiting} messages wait: {bus.problem}"


def _failover(service: Service) -> str | None:
    """Why sessions cannot be saved, where they are to be."""
    problem = None if service.failover is None else service.failover.problem
    return None if problem is None else f"sessions go on, but would end with this service: {problem}"


def _outputs(service: Service) -> str:
    return "; ".join(_troubled(service)) or f"{len(service.outputs.told())} are well"


def _troubled(service: Service) -> list[str]:
    told = service.outputs.told()
    return [f"{one['name']}: {one['state']}: {one['detail']}" for one in told if one["state"] != "ok"]


def _check(name: str, ok: bool, reason: str, required: bool = True) -> dict[str, Any]:
    return {"name": name, "ok": ok, "required": required, "reason": reason}
