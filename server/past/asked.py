"""What a request or a command asks of the history, as a filter: moments, lists, flags. Raises Refusal naming the value.

A moment is ISO 8601 with its offset from UTC, or milliseconds since 1970. Knows text; nothing of tables.
"""

from dataclasses import dataclass, field
from datetime import datetime

from server.errors import Code, Refusal
from server.past.query import Filter
from server.past.records import clean

LATEST_MS = 253_402_300_799_000  # the end of the year 9999


@dataclass(frozen=True)
class Asked:
    """As it was written."""

    from_: str | None = None
    to: str | None = None
    label: list[str] = field(default_factory=list)
    family: list[str] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    session: str | None = None
    min_score: float | None = None
    min_duration_ms: float | None = None
    retracted: bool = False
    corrected: bool | None = None
    clip: bool | None = None

    def filter(self) -> Filter:
        first, end = moment("from", self.from_), moment("to", self.to)
        if first is not None and end is not None and end <= first:
            raise Refusal(Code.BAD_MESSAGE, f"to={self.to} is not after from={self.from_}")
        return Filter(
            from_utc=first,
            to_utc=end,
            labels=tuple(map(clean, self.label)),
            families=tuple(map(clean, self.family)),
            sources=tuple(map(clean, self.source)),
            session=self.session and clean(self.session),
            min_score=self.min_score,
            min_duration_ms=self.min_duration_ms,
            retracted=self.retracted,
            corrected=self.corrected,
            clip=self.clip,
        )


def moment(name: str, text: str | None) -> int | None:
    """Milliseconds since 1970."""
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            found = int(text)
        else:
            written = datetime.fromisoformat(text.strip().replace(" ", "+"))  # `+` in an address is a space
            if written.tzinfo is None:
                raise Refusal(Code.BAD_MESSAGE, f"{name}={text[:40]!r} has no offset from UTC: end it with Z or +01:00")
            found = round(written.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Refusal(
            Code.BAD_MESSAGE, f"{name}={text[:40]!r} is no moment: write 2026-01-02T03:04:05Z, or ms since 1970"
        ) from error
    if not 0 <= found <= LATEST_MS:
        raise Refusal(Code.BAD_MESSAGE, f"{name}={text[:40]!r} is outside 1970 to 9999")
    return found
