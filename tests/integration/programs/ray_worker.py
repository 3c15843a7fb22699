"""A worker node of Ray on loopback: `python -m tests.integration.programs.ray_worker GCS CPUS`.

What `ray_tasks.worker_node` does, but that `ray start` takes loopback for one node only.
"""

from __future__ import annotations

import signal
import sys
import time

from ray._private.node import Node
from ray._private.parameter import RayParams

from ray_tasks.worker_node import HeadWatch
from tests.integration.support import OBJECT_STORE_BYTES

PATIENCE_S = 5.0


def main(address: str, cpus: int) -> int:
    """Run the node; return 1 when one of its processes has ended, or its head is gone."""
    watch = HeadWatch.of(address, PATIENCE_S)
    node = Node(
        RayParams(
            gcs_address=address,
            redis_address=address,
            node_ip_address="127.0.0.1",
            num_cpus=cpus,
            object_store_memory=OBJECT_STORE_BYTES,
            dashboard_agent_listen_port=0,
            min_worker_port=0,
            max_worker_port=0,
        ),
        head=False,
        shutdown_at_exit=True,
        spawn_reaper=False,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while not node.dead_processes() and not watch.gone():  # type: ignore[no-untyped-call]
        time.sleep(0.5)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))
