"""Settings that change while the service runs: the file read again, checked as a whole, and then put in force.

Asked for by `POST /v1/reload`, SIGHUP, or a change of the file. Where anything in it is wrong nothing changes, and that
is told with the reason; what only a restart can change stays as it was, and is named.
Knows who has to be told.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request

from server import fits
from server.auth import Access
from server.config import Config, ConfigError
from server.detect import tuned
from server.errors import Code, Refusal
from server.service import Service
from server.settings import Settings
from server.source_spec import Spec, identified
from server.tokens import AuthError, check

log = logging.getLogger("spiccato.reload")
router = APIRouter()

RELOADABLE = frozenset({"log_level", "microphone", "outputs", "sources", "thresholds", "token", "token_file"})
LOOK_S = 1.0  # how often the file is looked at


@dataclass(frozen=True)
class Changes:
    """Names of settings: in force now, and those that wait for a restart."""

    changed: list[str]
    restart: list[str]


class Reloader:
    def __init__(self, service: Service, access: Access, config: Config) -> None:
        self._service = service
        self._access = access
        self._config = config
        self._seen = self._stamp()  # of the file that was read
        self._turn = asyncio.Lock()

    async def reload(self) -> Changes:
        """Raises ConfigError: then nothing has changed."""
        async with self._turn:
            config = await asyncio.to_thread(self._config.again)
            new, old = config.settings, self._service.settings
            found = await asyncio.to_thread(fits.mistakes, new, self._service.loaded)
            if found:
                raise config.error(found)
            try:
                tokens = check(new)
            except AuthError as error:
                raise ConfigError(str(error)) from error
            differs = [name for name in Settings.model_fields if getattr(new, name) != getattr(old, name)]
            changes = Changes(
                [name for name in differs if name in RELOADABLE], [name for name in differs if name not in RELOADABLE]
            )
            self._access.use(tokens)  # the file of tokens may say something else under the same name
            await self._apply(old, new, set(changes.changed))
            self._service.settings = old.model_copy(update={name: getattr(new, name) for name in changes.changed})
            self._config = config
        log.info("reload changed=%s restart=%s", ",".join(changes.changed), ",".join(changes.restart))
        return changes

    async def _apply(self, old: Settings, new: Settings, changed: set[str]) -> None:
        if "log_level" in changed:
            logging.getLogger().setLevel(new.log_level.upper())
        if "thresholds" in changed:
            self._service.tune(tuned(self._service.loaded, new.thresholds))
        if changed & {"sources", "microphone"} and self._service.ready:
            await self._sources(identified(old.first_sources), identified(new.first_sources))
        if "outputs" in changed:
            await self._service.outputs.apply(new.outputs)

    async def _sources(self, old: dict[str, Spec], new: dict[str, Spec]) -> None:
        """Those that the settings say no more are removed, others added or changed; who came by HTTP stays."""
        sources = self._service.sources
        for id in [id for id in old if id not in new or old[id].kind != new[id].kind]:
            with contextlib.suppress(Refusal):  # somebody removed it already
                await sources.remove(id)
        for id, spec in new.items():
            try:
                if id not in old or old[id].kind != spec.kind:
                    sources.add(spec.model_copy(update={"id": id}), keep=False)
                elif spec != old[id]:
                    sources.change(id, spec.model_dump(exclude={"id", "kind"}))
            except Refusal as refusal:
                log.error("reload: source %s: %s", id, refusal.message)

    # --- who asks ---

    async def watch(self) -> None:
        """For ever: reload whenever the file is another one than it was."""
        while True:
            await asyncio.sleep(LOOK_S)
            now = await asyncio.to_thread(self._stamp)
            if now != self._seen:
                self._seen = now
                await self._reload_and_tell()

    @contextlib.contextmanager
    def on_hangup(self) -> Iterator[None]:
        """SIGHUP reloads. Not where a terminal sends it to end what runs in it."""
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGHUP") or _in_terminal():
            yield
            return
        loop = asyncio.get_running_loop()
        asked: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = loop.create_task(self._reload_and_tell())
            asked.add(task)
            task.add_done_callback(asked.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def _reload_and_tell(self) -> None:
        try:
            await self.reload()
        except ConfigError as error:
            for sentence in error.sentences:
                log.error("reload: nothing has changed: %s", sentence)
        except Exception:
            log.exception("reload failed by a fault of ours")

    def _stamp(self) -> tuple[int, int, int] | None:
        """What tells a file from the one before, if there is one."""
        try:
            status = os.stat(self._config.file or "")
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _in_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


@router.post("/v1/reload")
async def reload(request: Request) -> dict[str, Any]:
    """Read the settings again; which of them changed, and which wait for a restart."""
    if request.app.state.place is not None:
        raise Refusal(Code.BAD_CONFIG, "nothing has changed: several workers read their settings at the start only")
    try:
        changes = await request.app.state.reloader.reload()
    except ConfigError as error:
        raise Refusal(Code.BAD_CONFIG, "nothing has changed: " + "; ".join(error.sentences)) from error
    return {"changed": changes.changed, "restart": changes.restart}
