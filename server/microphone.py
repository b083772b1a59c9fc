"""A microphone as a source's input: the parent's side of `capture.py`. Knows what a recording process tells; nothing of
PortAudio (which this process never loads), sessions or instruments.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from server import capture
from server.child import Child
from server.reader import Block, Kind, Opened, ReadError, Watch

OPEN_TIMEOUT_S = 15.0  # until a child has listed or opened its device; a hanging driver is given up then
HOPELESS = frozenset({"no_portaudio", "no_channel"})  # errors that only a person can mend
Channel = int | Literal["mix"] | None  # from 0, or the mean of all; None: the driver's own mono
WATCH = Watch(stall_ms=500, give_up_s=5.0)  # a device gives a block each 20 ms


@dataclass
class MicrophoneInput:
    """One microphone of this machine, by name: once it was found, the next opening means the same one."""

    device: str | None = None  # id, index, name or part of a name; None: the default one, whichever that is
    host_api: str | None = None  # only the devices of this one
    channel: Channel = None
    kind: ClassVar[Kind] = "microphone"
    watch: ClassVar[Watch] = WATCH
    _id: str | None = None  # of the device that was found

    @property
    def title(self) -> str:
        return self.device or "the default microphone"

    async def open(self) -> "Microphone":
        if self.device is None or self._id is None:
            microphone = await Microphone.open(self.device, self.host_api, self.channel)
        else:
            microphone = await Microphone.open(self._id, None, self.channel)
        self._id = microphone.opened.details["id"]
        return microphone


class Microphone:
    """One recording process: `await Microphone.open(...)`, `await read()` again and again, `await close()`."""

    def __init__(self, child: Child, opened: Opened) -> None:
        self.opened = opened
        self._child = child
        self._expected = 0  # index of the sample that would follow without loss

    @classmethod
    async def open(cls, device: str | None = None, host_api: str | None = None, channel: Channel = None) -> Self:
        """Open the default device, or the one that `device` names. Raises ReadError."""
        asked = {"--device": device, "--host-api": host_api, "--channel": channel}
        child = await _started(*(f"{name}={value}" for name, value in asked.items() if value is not None))
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                told = await child.news()
        except TimeoutError as error:
            await child.close()
            raise ReadError("device_failed", f"the device did not open within {OPEN_TIMEOUT_S:.0f} s") from error
        except BaseException:
            await child.close()
            raise
        opened = Opened(
            name=f"{told['name']} ({told['host_api']})",
            sample_rate=told["sample_rate"],
            channels=told["channels"],
            encoding=told["encoding"],
            details={"device": told["name"], "host_api": told["host_api"], "id": told["id"]},
        )
        return cls(child, opened)

    async def read(self) -> Block:
        """The next samples. Raises ReadError when the device or its process is gone."""
        flags, index, payload = await self._child.record()
        if flags & capture.JSON:
            raise ReadError(
                "capture_crashed", f"the recording process told something else: {self._child.told(payload)}"
            )
        lost = index - self._expected
        self._expected = index + len(payload) // (4 * self.opened.channels)
        return Block(payload, lost)

    async def close(self) -> None:
        """End the process; safe to call again."""
        await self._child.close()


async def devices() -> list[dict[str, Any]]:
    """The audio inputs of this machine, as capture.inputs tells them. Raises ReadError."""
    child = await _started("--list")
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            found: list[dict[str, Any]] = (await child.news())["devices"]
            return found
    except TimeoutError as error:
        raise ReadError("device_failed", f"the list of devices did not come within {OPEN_TIMEOUT_S:.0f} s") from error
    finally:
        await child.close()


async def _started(*arguments: str) -> Child:
    return await Child.start("server.capture", *arguments, does="recording", never=HOPELESS)
