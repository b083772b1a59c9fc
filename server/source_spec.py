"""What may be asked for as a source: the body of `POST /v1/sources`, changed by `PATCH`, and the form of settings.

One model for each kind; `input` makes of it what `source.py` opens. Opens nothing itself.
"""

import re
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from server.microphone import MicrophoneInput
from server.reader import Input, Kind

MAX_SOURCES = 8  # at once
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]  # stands in addresses and topics
Name = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]{1,64}$")]
FIXED = frozenset({"id", "kind"})  # PATCH changes neither
COMMON = frozenset({"id", "kind", "name", "muted"})  # all others say what is read


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Kind
    id: Id | None = Field(
        default=None, description="stays; null: made of the name, or `microphone`, `microphone-2`, ..."
    )
    name: Name | None = Field(default=None, description="for people; null: the id")
    muted: bool = Field(default=False, description="silence is heard in place of the sound")

    def input(self) -> Input:
        raise NotImplementedError

    def changed(self, patch: dict[str, Any]) -> Self:
        """With the fields of `patch` in place of its own. Raises pydantic.ValidationError, ValueError."""
        if fixed := FIXED & {name for name in patch if patch[name] != getattr(self, name)}:
            raise ValueError(f"{' and '.join(sorted(fixed))} cannot be changed: remove the source and add another")
        return type(self).model_validate({**self.model_dump(), **patch})

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

    def input(self) -> Input:
        return MicrophoneInput(self.device, self.host_api, self.channel)


AnySpec = MicrophoneSpec  # a union, told apart by `kind`, when there are more


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


def slug(name: str) -> str:
    """An id made of a name: "Stage left!" -> "Stage-left"; "" where nothing of it can stand in one."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:64]
