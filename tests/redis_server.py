"""A redis-server of the tests' own, from Debian's package: on a socket, with its data on disk, stopped and started."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live_server import eventually


class RedisServer:
    def __init__(self, home: Path) -> None:
        self.socket = home / "socket"
        self.url = f"unix://{self.socket}"
        self._home = home
        self.start()

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        options = {"port": "0", "unixsocket": str(self.socket), "dir": str(self._home), "appendonly": "yes"}
        options |= {"appendfsync": "always", "save": ""}
        command = ["redis-server", *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        eventually(lambda: self.ask("ping") == "PONG" or self._process.poll() is not None)
        assert self._process.poll() is None, "redis-server did not start"

    def stop(self) -> None:
        """As with kill -9."""
        self._process.kill()
        self._process.wait(60)

    def hang(self) -> None:
        """It takes connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> str:
        asked = subprocess.run(
            ["redis-cli", "-s", str(self.socket), *words], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip()


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    home = Path(tempfile.mkdtemp(prefix="spiccato-redis-"))  # short: a socket's path has at most 107 characters
    server = RedisServer(home)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)
