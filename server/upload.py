"""POST /v1/classify: a sound file in, its events out. Knows HTTP bodies; nothing of what is in the file.

The body is counted as it arrives and spooled to a temporary file; decoding and hearing run in the upload threads.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from engine.weights import Model
from server.classify import classify
from server.commands import WhichModel
from server.decode import DecodeLimits
from server.errors import Code, Refusal
from server.formats import FORMS, Form, chosen
from server.protocol import Classified, SummaryBody
from server.service import Service
from server.settings import Settings

log = logging.getLogger("spiccato.upload")
router = APIRouter()

SPOOL_BYTES = 1_048_576  # a body up to here stays in memory
FIELD = "file"


_BODY = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {FIELD: _BODY}, "required": [FIELD]}
DESCRIBED: dict[str, Any] = {  # the body is read by hand, and the answer has the form that is asked for
    "responses": {200: {"content": {form.media_type: {} for form in FORMS[1:]}}},
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": _FORM}, "application/octet-stream": {"schema": _BODY}},
        }
    },
}


@router.post("/v1/classify", response_model=Classified, **DESCRIBED)
async def upload(request: Request, format: str | None = None, model: WhichModel = "main") -> Response:
    service: Service = request.app.state.service
    form = chosen(format, request.headers.get("accept", ""))
    hears = service.model_of(model)
    service.check_ready()
    limit = service.settings.max_uploads
    if service.uploads >= limit:
        raise Refusal(Code.TOO_MANY_UPLOADS, f"{service.uploads} uploads are in work: the limit is {limit}")
    service.uploads += 1
    try:
        async with _received(request, service.settings) as (file, name):
            loop = asyncio.get_running_loop()
            summary, text = await loop.run_in_executor(
                service.upload_pool, _classified, hears, file, name, _limits(service), form
            )
    except ClientDisconnect as error:
        service.metrics.uploads["disconnect"] += 1
        log.info("refused upload code=disconnect")
        raise Refusal(Code.BAD_MESSAGE, "the client went away before the end of its upload") from error
    except Refusal as refusal:
        service.metrics.uploads[refusal.code] += 1
        log.info("refused upload code=%s message=%r", refusal.code, refusal.message)
        raise
    finally:
        service.uploads -= 1
    service.metrics.uploads["ok"] += 1
    log.info("classified audio_ms=%.0f events=%d wall_s=%.3f", summary.audio_ms, summary.events, summary.wall_s)
    return Response(text, media_type=form.media_type, headers={"Vary": "Accept"})


def _classified(model: Model, file: BinaryIO, name: str, limits: DecodeLimits, form: Form) -> tuple[SummaryBody, str]:
    """The summary, and the whole answer."""
    heard = classify(model, file, name, limits)
    return heard.summary, form.write(heard, name)


def _limits(service: Service) -> DecodeLimits:
    settings = service.settings
    return DecodeLimits(
        audio_s=settings.max_upload_s,
        channels=settings.max_upload_channels,
        wall_s=settings.max_upload_wall_s,
        stopped=service.stopping.is_set,
    )


@asynccontextmanager
async def _received(request: Request, settings: Settings) -> AsyncGenerator[tuple[BinaryIO, str], None]:
    """The uploaded file, whole, and its name."""
    body = _counted(request, settings.max_upload_bytes, settings.max_upload_wall_s)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        with SpooledTemporaryFile(SPOOL_BYTES) as spool:
            whole = UploadFile(cast(BinaryIO, spool))
            async for chunk in body:
                await whole.write(chunk)
            yield whole.file, "upload"
        return
    try:
        form = await _Form(request, body).parse()
    except MultiPartException as error:
        raise Refusal(Code.BAD_MESSAGE, f"the multipart body cannot be read: {error.message}") from error
    try:
        part = form.get(FIELD)
        if not isinstance(part, UploadFile):
            raise Refusal(Code.NO_FILE, f"the form has no file in its field {FIELD!r}; its fields: {list(form)}")
        name = PurePath((part.filename or "").replace("\\", "/")).name[:64]
        yield part.file, name or "upload"
    finally:
        await form.close()


class _Form(MultiPartParser):
    """One that refuses a body which ends before its last boundary."""

    def __init__(self, request: Request, body: AsyncGenerator[bytes, None]) -> None:
        super().__init__(request.headers, self._to_the_end(body), max_files=1, max_fields=16, max_part_size=65_536)
        self._ended = False

    def on_end(self) -> None:
        self._ended = True

    async def _to_the_end(self, body: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in body:
            yield chunk
        if not self._ended:
            raise MultiPartException("it ends before its last boundary")


async def _counted(request: Request, max_bytes: int, max_s: float) -> AsyncGenerator[bytes, None]:
    """The body's bytes, counted as they come: the Content-Length of a request may lie or be absent.

    A body that trickles in would hold its place among the uploads for ever: it has as long as decoding has.
    """
    total = 0
    end = time.monotonic() + max_s
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(end - time.monotonic()):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise Refusal(Code.UPLOAD_TIMEOUT, f"{total} bytes came within {max_s:g} s: that is the limit") from error
        if chunk is None:
            return
        total += len(chunk)
        if total > max_bytes:
            raise Refusal(Code.UPLOAD_TOO_LARGE, f"the upload is over {max_bytes} bytes: that is the limit")
        yield chunk
