"""Every setting of the server, each with its default, its limits and its reason. Knows no request.

Each is read from the environment as `SPICCATO_<NAME>`, so `SPICCATO_PORT=9000` sets `port`; `config.py` has the file
that comes before that.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.outputs.config import Output
from server.protocol import Limits
from server.reach import Reach, hosts, schemes
from server.source_spec import MAX_SOURCES, Allowed, AnySpec, MicrophoneSpec, Thresholds, together

PREFIX = "SPICCATO_"
ROOT = Path(__file__).resolve().parents[1]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65_535, description="port to listen on; 0 takes a free one")
    model: Path = Field(
        default=ROOT / "models" / "weights" / "orchestra.safetensors",
        description="the model file that every session uses",
    )
    compare_model: Path | None = Field(
        default=None, description="a second model file: sessions and uploads that ask for it are heard by this one"
    )
    microphone: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="listen to this machine's microphone from the start: `default`, or a part of a device's name",
    )
    sources: list[AnySpec] = Field(
        default=[], max_length=MAX_SOURCES, description="what the service listens to from the start"
    )
    sources_file: Path | None = Field(
        default=None, description="keep the sources that are added while it runs in this file, for the next start"
    )

    stream_schemes: str = Field(
        default="http,https,rtsp,rtsps,udp,rtp",
        description="how network streams may be reached, with commas; empty: not at all",
    )
    stream_hosts: str = Field(
        default="",
        description="where they may come from, with commas: names, *.names, addresses, networks (192.168.0.0/16); "
        "empty: anywhere but link-local addresses",
    )
    source_folder: Path | None = Field(default=None, description="sound files below this folder may be sources")

    token: SecretStr | None = Field(
        default=None, description="the token that every request shows; needed to listen beyond this machine"
    )
    token_file: Path | None = Field(
        default=None, description="a file of tokens, a line each: `TOKEN`, or `ROLE TOKEN` (listen, produce, admin)"
    )
    allowed_hosts: str = Field(
        default="",
        description="names under which browsers may reach the service, with commas; addresses and localhost always may",
    )
    connects_per_minute: int = Field(
        default=300, ge=1, le=1_000_000, description="WebSockets that one address may open a minute"
    )
    tls_cert: Path | None = Field(default=None, description="certificate chain (PEM); then the service speaks HTTPS")
    tls_key: Path | None = Field(default=None, description="its private key (PEM)")
    forwarded_allow_ips: str = Field(
        default="127.0.0.1",
        description="proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, with commas",
    )
    root_path: str = Field(
        default="",
        pattern=r"^(/[\w.~-]+)*$",
        description="the path below which a proxy offers the service: `/spiccato`",
    )

    thresholds: dict[str, Thresholds] = Field(
        default={}, max_length=1_000, description="of labels, in place of the model's: `on` and `off`, as scores"
    )
    outputs: tuple[Output, ...] = Field(
        default=(), max_length=32, description="the ways out: MQTT, webhooks, OSC, MIDI, commands"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="how much the log tells"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="lines for people or for machines")
    history: SecretStr = Field(  # a URL may have a password
        default=SecretStr(""),
        max_length=1_000,
        description="where events are kept: `off`, a file (SQLite), or postgresql://user:password@host/name; "
        "not given: `$XDG_STATE_HOME/spiccato/history.sqlite`",
    )
    history_days: float = Field(default=90, gt=0, le=36_500, description="events older than this are deleted")
    history_bytes: int = Field(
        default=1_000_000_000, ge=1_000_000, description="over this size the oldest events are deleted"
    )
    clips: Literal["off", "sources", "all"] = Field(
        default="off",
        description="keep the sound around events: of nobody, of the server's own sources, of live sessions too",
    )
    clips_dir: Path | None = Field(
        default=None, description="where clips lie; not given: `$XDG_STATE_HOME/spiccato/clips`"
    )
    clips_pre_s: float = Field(default=1.0, ge=0, le=30, description="seconds before the onset in a clip")
    clips_post_s: float = Field(default=1.0, ge=0, le=30, description="seconds after the offset in a clip")
    clips_max_s: float = Field(default=30.0, ge=1, le=90, description="seconds of one clip; a longer event is cut off")
    clips_days: float = Field(default=30, gt=0, le=36_500, description="clips older than this are deleted")
    clips_bytes: int = Field(
        default=2_000_000_000, ge=1_000_000, description="over this size together the oldest clips are deleted"
    )

    redis_url: SecretStr | None = Field(  # it may have a password
        default=None,
        max_length=1_000,
        description="redis://HOST: what the sources of all services with the same Redis say is told by each of them",
    )
    failover_url: SecretStr | None = Field(  # it may have a password
        default=None,
        max_length=1_000,
        description="redis://HOST: live sessions are saved there, and go on in any service with the same Redis when "
        "theirs ends",
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="processes that serve, for more cores; each has its own limits (Linux)"
    )
    threads: int = Field(default=2, ge=1, le=64, description="threads that run the engine for live sessions")

    max_sessions: int = Field(
        default=500, ge=1, le=10_000, description="live sessions at once; the next one gets HTTP 503"
    )
    max_chunk_bytes: int = Field(
        default=1_048_576, ge=1_024, le=16_777_216, description="bytes of one WebSocket message"
    )
    queue_ms: int = Field(
        default=2_000, ge=100, le=60_000, description="audio of one session that may wait; then the socket is not read"
    )
    stall_ms: int = Field(
        default=2_000,
        ge=100,
        le=600_000,
        description="without audio for this long a live source's open labels are closed",
    )
    idle_s: float = Field(
        default=30.0, gt=0, le=86_400, description="a session without any message for this long is closed"
    )
    resume_s: float = Field(
        default=60.0, ge=0, le=86_400, description="a session whose connection was lost waits so long; 0: not at all"
    )
    max_detached: int = Field(
        default=500, ge=0, le=10_000, description="sessions that wait at once for a client that comes back"
    )
    max_detached_bytes: int = Field(
        default=67_108_864, ge=0, description="bytes of messages and audio that all waiting sessions may hold"
    )
    reader_s: float = Field(
        default=10.0, gt=0, le=3_600, description="a client that takes nothing for this long is closed with 4431"
    )
    drain_ms: int = Field(
        default=1_000, ge=0, le=600_000, description="when the server stops, sessions may end by themselves for so long"
    )

    max_uploads: int = Field(default=8, ge=1, le=1_000, description="uploads at once; the next one gets HTTP 503")
    upload_threads: int = Field(
        default=1, ge=1, le=64, description="threads that decode and run the engine for uploads"
    )
    max_upload_bytes: int = Field(default=536_870_912, ge=1, description="bytes of one upload, counted as they arrive")
    max_upload_s: float = Field(
        default=7_200.0, gt=0, description="decoded seconds of one upload, counted while decoding"
    )
    max_upload_channels: int = Field(default=8, ge=1, le=32, description="channels of an uploaded file")
    max_upload_wall_s: float = Field(
        default=300.0, gt=0, description="seconds that decoding and hearing one upload may take"
    )

    @field_validator("stream_schemes")
    @classmethod
    def _schemes(cls, text: str) -> str:
        schemes(text)
        return text

    @field_validator("stream_hosts")
    @classmethod
    def _hosts(cls, text: str) -> str:
        hosts(text)
        return text

    @property
    def allowed(self) -> Allowed:
        """What a source may be."""
        return Allowed(Reach(schemes(self.stream_schemes), hosts(self.stream_hosts)), self.source_folder)

    @field_validator("sources")
    @classmethod
    def _can_be_together(cls, sources: list[AnySpec]) -> list[AnySpec]:
        together(sources)
        return sources

    @property
    def first_sources(self) -> list[AnySpec]:
        """All that is listened to from the start."""
        if self.microphone is None:
            return self.sources
        return [MicrophoneSpec(device=None if self.microphone == "default" else self.microphone), *self.sources]

    @property
    def limits(self) -> Limits:
        """Those that a session is told."""
        return Limits(
            max_chunk_bytes=self.max_chunk_bytes, queue_ms=self.queue_ms, stall_ms=self.stall_ms, idle_s=self.idle_s
        )
