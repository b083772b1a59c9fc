"""What a client may know without a session: labels, formats, limits, versions, schemas."""

from typing import Any

from fastapi import APIRouter, Request

from engine.bands import mel_table
from engine.pipeline import default_settings
from server.commands import Message
from server.detect import effective
from server.ingest import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, SAMPLE_BYTES, Encoding
from server.protocol import PROTOCOL, EffectiveDetect, Limits, ModelInfo, schema
from server.service import Service
from server.stream import model_info
from server.version import VERSION

router = APIRouter()


class StreamInfo(Limits):
    encodings: list[Encoding]
    sample_rate: tuple[int, int]  # Hz, from and to
    channels: tuple[int, int]
    sessions: int
    max_sessions: int


class UploadInfo(Message):
    formats: list[str]
    max_bytes: int
    max_audio_s: float
    max_channels: int


class Info(Message):
    service: str = "spiccato"
    version: str = VERSION
    protocol: int = PROTOCOL
    model: ModelInfo
    detect: EffectiveDetect
    compare: ModelInfo | None  # a second model, where there is one
    hop_ms: float
    bands_hz: list[float]  # centres
    stream: StreamInfo
    upload: UploadInfo


@router.get("/v1/info")
async def info(request: Request) -> Info:
    service: Service = request.app.state.service
    settings = service.settings
    return Info(
        model=model_info(service.model),
        detect=effective(service.model, default_settings(service.model)),
        compare=None if service.compared is None else model_info(service.compared),
        hop_ms=service.model.front_end.hop_s * 1000,
        bands_hz=[round(hz, 1) for hz in mel_table(service.model.front_end).centre_hz.tolist()],
        stream=StreamInfo(
            encodings=list(SAMPLE_BYTES),
            sample_rate=(MIN_RATE_HZ, MAX_RATE_HZ),
            channels=(1, MAX_CHANNELS),
            sessions=len(service.sessions),
            max_sessions=settings.max_sessions,
            **service.limits.model_dump(),
        ),
        upload=UploadInfo(
            formats=["wav", "flac", "ogg", "mp3", "m4a"],
            max_bytes=settings.max_upload_bytes,
            max_audio_s=settings.max_upload_s,
            max_channels=settings.max_upload_channels,
        ),
    )


@router.get("/v1/schema")
async def schemas() -> dict[str, Any]:
    return schema()
