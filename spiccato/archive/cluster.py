"""The files of an archive on a Ray cluster, by Ray Data. The nodes see them under the same paths. Knows no results.

Ray tries again what a lost node had. What is still missing after that is tried once more, file by file, so that one
that kills its process is known and takes no other with it.
"""

import json
import logging
import os
import pickle
import socket
import warnings
from collections.abc import Iterator, Sequence

from engine.weights import Model
from spiccato.archive import ArchiveError
from spiccato.archive.listing import Entry
from spiccato.archive.node import OnNode
from spiccato.archive.work import Row, bad

# Before Ray is imported: nothing is reported unasked, and its warnings about itself are not the user's.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning

TOGETHER = 16  # files in one task
REACH_S = 5.0


def heard(model: Model, entries: Sequence[Entry], address: str, jobs: int | None) -> Iterator[Row]:
    """A row for each, as they are done. jobs: processes at most; None: one for each core. Raises ArchiveError."""
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdigit():  # Ray would try for minutes
            socket.create_connection((host, int(port)), REACH_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, RuntimeError, ValueError) as error:
        raise ArchiveError(f"no Ray cluster at {address}: {error}") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what they had is missed here
    missing = {entry.name: entry for entry in entries}
    cores = jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
    try:
        for together in (TOGETHER, 1):
            for row in _once(model, list(missing.values()), together, cores):
                if missing.pop(row["file"], None) is not None:
                    yield row
            if not missing:
                return
    except RayError as error:
        raise ArchiveError(f"the cluster at {address}: {error}") from error
    finally:
        ray.shutdown()
    for name in missing:
        yield bad(name, "died", "the processes that heard it ended, twice")


def _once(model: Model, entries: list[Entry], together: int, cores: int) -> Iterator[Row]:
    tasks = -(-len(entries) // together)
    files = ray.data.from_items([entry._asdict() for entry in entries], override_num_blocks=tasks)
    with warnings.catch_warnings(action="ignore", category=RayDeprecationWarning):  # Ray has no other way as yet
        rows = files.map(
            OnNode,
            fn_constructor_args=(pickle.dumps(model),),
            compute=ActorPoolStrategy(min_size=1, max_size=min(cores, tasks)),
            num_cpus=1,
            ray_remote_args_fn=lambda: {"max_task_retries": 1},  # else a file that kills its process does so for ever
        )
    for row in rows.iter_rows():
        yield json.loads(row["row"])
