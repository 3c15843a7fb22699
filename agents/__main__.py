"""`python -m agents ray|slurm|mpirun`: run the agent of one cluster until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from agents.agent import Agent
from agents.cluster import Cluster
from hpc.mpirun_cluster import MpirunCluster
from hpc.slurm_cluster import SlurmCluster
from placement.errors import UserError
from ray_tasks.ray_cluster import RayCluster
from runtime.ledger import Ledger
from runtime.requests import Aws
from runtime.settings import from_environment, variable
from runtime.store import Store


def cluster_of(options: argparse.Namespace) -> Cluster:
    """Return the cluster that the agent is to feed.

    Raises:
        UserError: the environment does not say where it is.

    """
    if options.kind == "ray":
        address, token = variable("TRIVIUM_RAY_ADDRESS"), variable("RAY_AUTH_TOKEN")
        return RayCluster(
            address, token, options.instance_type, options.max_nodes, head_type=options.head_type
        )
    if options.kind == "slurm":
        return SlurmCluster(
            options.instance_type,
            options.slots,
            options.work,
            options.head_type,
            options.partition,
        )
    return MpirunCluster(options.instance_type, options.slots, options.work)


def main() -> int:
    """Run the agent; return 0 after SIGTERM or SIGINT, 2 for a wrong environment."""
    parser = argparse.ArgumentParser(prog="agents", description=__doc__)
    parser.add_argument("kind", choices=["ray", "slurm", "mpirun"])
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--instance-type", required=True, help="what a node is priced as")
    parser.add_argument("--head-type", help="what a head node of its own is priced as, if any")
    parser.add_argument("--partition", help="of Slurm; without it, all nodes are one cluster")
    parser.add_argument("--max-nodes", type=int, default=1)
    parser.add_argument("--slots", type=int, default=1, help="ranks on one MPI node")
    parser.add_argument("--work", type=Path, required=True, help="folder for logs and scratch")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        settings = from_environment()
        cluster = cluster_of(options)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    aws = Aws()
    agent = Agent(
        aws, Store(aws, settings.bucket), Ledger(aws, settings.table), cluster, options.queue_url
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    agent.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
