"""The past over HTTP: `/v1/history` with its pages, summary, exports and corrections; `/v1/clips/{event}.flac`.

Everything that reads or writes runs in threads. Knows requests; what is asked of the tables is `query.py`'s.
"""

import re
from collections.abc import Callable
from pathlib import Path
from shutil import make_archive
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from server.errors import Code, Refusal
from server.past import corrected, query
from server.past.asked import Asked
from server.past.database import reason
from server.past.export import FORMS
from server.past.glance import By, glance, zone_of
from server.past.history import History, now_ms
from server.past.query import MAX_PAGE, Cursor, Filter
from server.past.records import clean

router = APIRouter()

EVENT_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
DAY_MS = 86_400_000
MAX_NOTE = 2_000  # characters
T = TypeVar("T")


class Flac(FileResponse):
    media_type = "audio/flac"


class Correction(BaseModel):
    """Body of POST /v1/history/{event}/correction."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)] | None = Field(
        description="what it was; null: nothing that has a name here"
    )
    note: Annotated[str, StringConstraints(max_length=MAX_NOTE)] = ""


def asked(
    from_: Annotated[str | None, Query(alias="from", max_length=64)] = None,
    to: Annotated[str | None, Query(max_length=64)] = None,
    label: Annotated[list[str] | None, Query(max_length=100)] = None,
    family: Annotated[list[str] | None, Query(max_length=100)] = None,
    source: Annotated[list[str] | None, Query(max_length=100)] = None,
    session: Annotated[str | None, Query(max_length=64)] = None,
    min_score: Annotated[float | None, Query(ge=0, le=1)] = None,
    min_duration_ms: Annotated[float | None, Query(ge=0)] = None,
    retracted: bool = False,
    corrected: bool | None = None,
    clip: bool | None = None,
) -> Filter:
    lists = (label or [], family or [], source or [])
    flags = (retracted, corrected, clip)
    return Asked(from_, to, *lists, session, min_score, min_duration_ms, *flags).filter()


Wanted = Annotated[Filter, Depends(asked)]


@router.get("/v1/history", responses={200: {"content": {form.media_type: {} for form in FORMS}}})
async def history(
    request: Request,
    wanted: Wanted,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    order: Literal["newest", "oldest"] = "newest",
    format: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """A page as JSON, or with `format` everything that was asked for, as a file."""
    past = _past(request)
    if format is not None:
        return await _exported(past, wanted, format)
    after = None if cursor is None else Cursor.read(cursor)
    events, following = await _read(
        past, lambda connection: query.page(connection, wanted, limit, after, order == "newest")
    )
    return JSONResponse({"events": events, "next": following and str(following)})


@router.get("/v1/history/summary")
async def summary(
    request: Request, wanted: Wanted, by: By = "hour", zone: Annotated[str, Query(max_length=64)] = "UTC"
) -> dict[str, Any]:
    """Events and seconds of each label, in each hour or day of the zone. Without `from`: of the last 24 hours."""
    end = now_ms() + 1 if wanted.to_utc is None else wanted.to_utc
    first = end - DAY_MS if wanted.from_utc is None else wanted.from_utc
    both = Filter(**{**vars(wanted), "from_utc": first, "to_utc": end})
    clock = zone_of(zone)
    found = await _read(_past(request), lambda connection: glance(connection, both, by, clock))
    return {"from": query.iso(first), "to": query.iso(end), "by": by, "zone": zone, **found}


@router.get("/v1/history/sessions")
async def sessions(
    request: Request,
    session: Annotated[list[str] | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> dict[str, Any]:
    found = await _read(_past(request), lambda connection: query.sessions_of(connection, session, limit))
    return {"sessions": found}


@router.get("/v1/history/corrections.zip", responses={200: {"content": {"application/zip": {}}}})
async def corrections(request: Request, wanted: Wanted) -> FileResponse:
    """What people corrected, and has a clip, as recordings to train and to judge by: `manifest.csv` and FLAC files."""
    past = _past(request)
    room = TemporaryDirectory(prefix="spiccato-corrections-", ignore_cleanup_errors=True)
    only = Filter(**{**vars(wanted), "corrected": True})

    def write() -> str:
        folder = Path(room.name)
        corrected.export(past.database, past.clips.root, folder / "corrections", only)
        return make_archive(str(folder / "all"), "zip", folder, "corrections")

    try:
        archive = await _done(past, write)
    except BaseException:
        room.cleanup()
        raise
    return FileResponse(
        archive, media_type="application/zip", filename="corrections.zip", background=BackgroundTask(room.cleanup)
    )


@router.delete("/v1/history")
async def deleted(request: Request, wanted: Wanted, all: bool = False) -> dict[str, int]:
    """What was asked for, with its clips and corrections, retracted events too. `all=true` where nothing is asked."""
    if wanted.asks_nothing and not all:
        raise Refusal(Code.BAD_MESSAGE, "say what to delete (from, to, source, ...), or all=true for everything")
    past = _past(request)
    everything = Filter(**{**vars(wanted), "retracted": True})
    return {"deleted": await _done(past, lambda: past.retention.delete(past.database, everything))}


@router.get("/v1/history/{event_id}")
async def event(request: Request, event_id: str) -> dict[str, Any]:
    """One event with all its corrections, the newest first."""

    def found(connection: Connection) -> dict[str, Any]:
        told = _known(connection, event_id)
        return {**told, "corrections": query.corrections_of(connection, event_id)}

    return await _read(_past(request), found)


@router.delete("/v1/history/{event_id}", status_code=204)
async def forgotten(request: Request, event_id: str) -> None:
    past = _past(request)
    await _read(past, lambda connection: _known(connection, event_id))
    await _done(past, lambda: past.retention.forget(past.database, event_id))


@router.post("/v1/history/{event_id}/correction", status_code=201)
async def correct(request: Request, event_id: str, correction: Correction) -> dict[str, Any]:
    """Kept beside the event; the newest one counts."""
    past = _past(request)

    def write() -> dict[str, Any]:
        with past.database.writing() as connection:
            _known(connection, event_id)
            label = None if correction.label is None else clean(correction.label)
            query.correct(connection, event_id, label, clean(correction.note), now_ms())
            return _known(connection, event_id)

    return await _done(past, write)


@router.get("/v1/clips/{name}", response_class=Flac)
async def clip(request: Request, name: str) -> Flac:
    """The sound of an event as FLAC; byte ranges are answered."""
    past = _past(request)
    event_id, _, form = name.partition(".")
    if EVENT_ID.fullmatch(event_id) is None or form != "flac":
        raise Refusal(Code.NO_CLIP, f"{name[:80]!r} is no clip: the address is /v1/clips/EVENT.flac")
    path = past.clips.path(event_id)
    if not await run_in_threadpool(path.is_file):
        raise Refusal(Code.NO_CLIP, f"there is no clip of {event_id}: none was kept, or it is gone")
    return Flac(path, headers={"Cache-Control": "private, no-cache"})


async def _exported(past: History, wanted: Filter, name: str) -> Response:
    form = next((form for form in FORMS if form.name == name), None)
    if form is None:
        raise Refusal(Code.NOT_ACCEPTABLE, f"format={name!r}: there are {', '.join(form.name for form in FORMS)}")
    await _read(past, lambda connection: None)  # a history that is lost is told before the answer begins
    headers = {"Content-Disposition": f'attachment; filename="history.{form.suffix}"'}
    written = form.write(query.all_of(past.database, wanted), wanted)
    return StreamingResponse(written, media_type=form.media_type, headers=headers)


def _past(request: Request) -> History:
    found: History | None = request.app.state.service.history
    if found is None:
        raise Refusal(Code.HISTORY_OFF, "this server keeps no history: its setting `history` is `off`")
    return found


def _known(connection: Connection, event_id: str) -> dict[str, Any]:
    found = query.one(connection, event_id) if EVENT_ID.fullmatch(event_id) else None
    if found is None:
        raise Refusal(Code.UNKNOWN_EVENT, f"the history has no event {event_id[:40]!r}")
    return found


async def _read(past: History, ask: Callable[[Connection], T]) -> T:
    def read() -> T:
        with past.database.reading() as connection:
            return ask(connection)

    return await _done(past, read)


async def _done(past: History, work: Callable[[], T]) -> T:
    """In a thread. Raises Refusal where the database is lost."""
    if not past.writer.open:
        why = past.writer.problem or "it is being opened"
        raise Refusal(Code.HISTORY_LOST, f"the history cannot be reached: {why}")
    try:
        return await run_in_threadpool(work)
    except (DBAPIError, PoolTimeout, OSError) as error:
        raise Refusal(Code.HISTORY_LOST, f"the history cannot be reached: {reason(error)}") from error
