"""What may be asked for as a source: the body of `POST /v1/sources`, changed by `PATCH`, and the form of settings.

One model for each kind; `input` makes of it what `source.py` opens. Opens nothing itself.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainSerializer, StringConstraints, Tag

from server import commands
from server.errors import Code, Refusal
from server.ingest import MAX_CHANNELS
from server.microphone import MicrophoneInput
from server.pulled import FileInput, StreamInput
from server.reach import MAX_URL, NotAllowed, Reach, shown
from server.reader import Input, Kind, Reader, ReadError, Watch

MAX_SOURCES = 8  # at once
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]  # stands in addresses and topics
Name = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]{1,64}$")]
Channel = Annotated[int, Field(ge=0, lt=MAX_CHANNELS)]
# an address may hold a password: answers have it without
Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL), PlainSerializer(shown, when_used="json")]
FIXED = frozenset({"id", "kind"})  # PATCH changes neither
COMMON = frozenset({"id", "kind", "name", "muted", "detect"})  # all others say what is read


@dataclass(frozen=True)
class Allowed:
    """What the settings let a source be."""

    reach: Reach = field(default_factory=Reach)
    folder: Path | None = None  # files below it may be sources; None: no file may


@dataclass(frozen=True)
class Barred:
    """In place of what the settings no longer allow: a source that says why it is not heard."""

    kind: Kind
    title: str
    reason: str
    watch: ClassVar[Watch] = Watch()

    async def open(self) -> Reader:
        raise ReadError("not_allowed", self.reason, "never")


class Thresholds(commands.Thresholds, extra="forbid"):
    """The scores above which a label turns on, and below which it turns off."""


class Detect(commands.Detect, extra="forbid"):
    """What a source detects. What is left out is the model's."""

    thresholds: dict[str, Thresholds] = Field(default_factory=dict, max_length=1_000)  # type: ignore[assignment]


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Kind
    id: Id | None = Field(
        default=None, description="stays; null: made of the name, or `microphone`, `microphone-2`, ..."
    )
    name: Name | None = Field(default=None, description="for people; null: the id")
    muted: bool = Field(default=False, description="silence is heard in place of the sound")

    detect: Detect = Field(default=Detect(), description="as in `start`: labels, thresholds, least times")

    def input(self, allowed: Allowed) -> Input:
        """Raises Refusal where the settings do not allow it."""
        raise NotImplementedError

    def changed(self, patch: dict[str, Any]) -> Self:
        """With the fields of `patch` in place of its own; of `detect` each for itself. Raises pydantic.ValidationError,
        ValueError."""
        if fixed := FIXED & {name for name in patch if patch[name] != getattr(self, name)}:
            raise ValueError(f"{' and '.join(sorted(fixed))} cannot be changed: remove the source and add another")
        own = self.model_dump()
        if isinstance(asked := patch.get("detect"), dict):
            patch = {**patch, "detect": {**own["detect"], **asked}}
        return type(self).model_validate({**own, **patch})

    def reads_as(self, other: "Spec") -> bool:
        """Both read the same thing in the same way."""
        return self.model_dump(exclude=set(COMMON)) == other.model_dump(exclude=set(COMMON))


class MicrophoneSpec(Spec):
    kind: Literal["microphone"] = "microphone"
    device: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None, description="id, index, name or part of the name of an audio input; null: the default one"
    )
    host_api: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, description="only the devices of this host API; null: of any"
    )
    channel: Annotated[int, Field(ge=0, lt=256, strict=True)] | Literal["mix"] | None = Field(
        default=None, description="from 0, or `mix`: the mean of all; null: the driver's own mono"
    )

    def input(self, allowed: Allowed) -> Input:
        return MicrophoneInput(self.device, self.host_api, self.channel)


class StreamSpec(Spec):
    kind: Literal["stream"]
    url: Url = Field(description="http, https, rtsp, rtsps, udp or rtp; answers have it without password and query")
    channel: Channel | None = Field(default=None, description="the one that is heard, from 0; null: the mean of all")

    def input(self, allowed: Allowed) -> Input:
        try:
            allowed.reach.check(self.url)
        except NotAllowed as error:
            raise Refusal(Code.NOT_ALLOWED, f"url: {error}") from error
        return StreamInput(self.url, allowed.reach, self.channel)


class FileSpec(Spec):
    kind: Literal["file"]
    path: Annotated[str, StringConstraints(min_length=1, max_length=1_000, pattern=r"^[^\x00]*$")] = Field(
        description="below the folder that the settings name"
    )
    channel: Channel | None = Field(default=None, description="the one that is heard, from 0; null: the mean of all")
    loop: bool = Field(default=False, description="over and over, without an end")

    def input(self, allowed: Allowed) -> Input:
        if allowed.folder is None:
            raise Refusal(Code.NOT_ALLOWED, "path: no folder is named whose files may be sources (source_folder)")
        folder = allowed.folder.resolve()
        path = (folder / self.path).resolve()
        if not path.is_relative_to(folder):
            raise Refusal(Code.NOT_ALLOWED, f"path: {self.path!r} is not below the folder whose files may be sources")
        return FileInput(path, self.channel, loop=self.loop)


def _kind(asked: Any) -> str:
    return str(asked.get("kind", "microphone") if isinstance(asked, dict) else getattr(asked, "kind", ""))


AnySpec = Annotated[
    Annotated[MicrophoneSpec, Tag("microphone")]
    | Annotated[StreamSpec, Tag("stream")]
    | Annotated[FileSpec, Tag("file")],
    Discriminator(
        _kind, custom_error_type="unknown_kind", custom_error_message="its kind is none of microphone, stream, file"
    ),
]


def named(spec: Spec, taken: Collection[str]) -> str:
    """The id of a source: its own, or made of its name, or the first free one of its kind. Raises ValueError where its
    own is taken."""
    id = spec.id or slug(spec.name or "")
    if not id:
        numbered = (spec.kind, *(f"{spec.kind}-{n}" for n in range(2, len(taken) + 2)))
        return next(free for free in numbered if free not in taken)
    if id in taken:
        raise ValueError(f"a source is called {id!r} already: choose another name")
    return id


def together(specs: Sequence[Spec]) -> list[Spec]:
    """The order in which to start them: the named ones first. Raises ValueError where they cannot be together."""
    if len(specs) > MAX_SOURCES:
        raise ValueError(f"{len(specs)} sources: the limit is {MAX_SOURCES}")
    ordered = sorted(specs, key=lambda spec: spec.id is None and spec.name is None)
    ids: set[str] = set()
    for spec in ordered:
        ids.add(named(spec, ids))
    return ordered


def identified(specs: Sequence[Spec]) -> dict[str, Spec]:
    """By the id that each gets when they are started together."""
    found: dict[str, Spec] = {}
    for spec in together(specs):
        found[named(spec, found)] = spec
    return found


def located(location: Sequence[str | int]) -> str:
    """Where pydantic found a mistake, as a name with dots. It names the member of the union too, which nobody wrote."""
    return ".".join(
        str(part)
        for step, part in enumerate(location)
        if not (step == 1 and len(location) > 2 and part in get_args(Kind))
    )


def slug(name: str) -> str:
    """An id made of a name: "Stage left!" -> "Stage-left"; "" where nothing of it can stand in one."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:64]
