"""A Ray cluster of two nodes on this machine, in a process of its own, as long as its standard input is open.

python -m tests.ray_cluster: prints its address. Small: each node one core and the least object store that Ray takes.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STORE_BYTES = 80_000_000


@contextmanager
def ray_cluster(environment: dict[str, str]) -> Iterator[str]:
    """Its address. environment: of all its processes, and those that work for a job."""
    line = [sys.executable, "-m", "tests.ray_cluster"]
    with subprocess.Popen(line, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        yield running.stdout.readline().strip()
        running.stdin.close()


def main() -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        print(cluster.address, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
