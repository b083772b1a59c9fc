"""A PostgreSQL of the tests' own, from Debian's package: a private cluster, reached over a socket, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Cluster:
    bin: Path
    home: Path

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.home}"

    def run(self, program: str, *arguments: str) -> None:
        """As the user `postgres` where we are root, whom its server refuses."""
        command = [str(self.bin / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def create(self, database: str) -> str:
        """A new, empty database; its URL."""
        self.run("createdb", "-h", str(self.home), "-U", "postgres", database)
        return self.url(database)

    def start(self, fsync: bool = False) -> None:
        # its output goes to a file: it would hold our pipe open
        sync = "on" if fsync else "off"
        options = f"-k {self.home} -c listen_addresses='' -c fsync={sync} -c max_connections=30"
        log = str(self.home / "log")
        self.run("pg_ctl", "-D", str(self.home / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.home / "data"), "-m", "immediate", "-w", "stop")


@contextmanager
def cluster() -> Iterator[Cluster]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'spiccato[postgres]'")
    home = Path(tempfile.mkdtemp(prefix="spiccato-pg-", dir="/tmp"))  # a socket's path must be short
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    running = Cluster(found[-1].parent, home)
    try:
        running.run("initdb", "-D", str(home / "data"), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8")
        running.start()
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
