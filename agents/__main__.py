"""`python -m agents ray|slurm|mpirun`: run the agent of one cluster until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from agents.agent import Agent
from agents.cluster import Cluster, ClusterFacts
from hpc.mpirun_cluster import MpirunCluster
from hpc.slurm_cluster import SlurmCluster
from placement.errors import UserError
from placement.situation import Equipment
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
        return RayCluster(address, token, options.instance_type, options.max_nodes)
    if options.kind == "slurm":
        return SlurmCluster(options.instance_type, options.slots, options.work, options.partition)
    return MpirunCluster(options.instance_type, options.slots, options.work)


def main() -> int:
    """Run the agent; return 0 after SIGTERM or SIGINT, 2 for a wrong environment."""
    parser = argparse.ArgumentParser(prog="agents", description=__doc__)
    parser.add_argument("kind", choices=["ray", "slurm", "mpirun"])
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--instance-type", required=True, help="what a node is priced as")
    parser.add_argument("--head-type", help="what a head node of its own is priced as, if any")
    parser.add_argument("--head-instance", help="this head's EC2 instance, if it may be stopped")
    parser.add_argument("--head-disk-gb", type=int, help="gp3 disk of that head node")
    parser.add_argument("--node-disk-gb", type=int, help="gp3 disk of each other node")
    parser.add_argument("--file-system-gb", type=int, help="FSx for Lustre that the nodes share")
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
    store, ledger = Store(aws, settings.bucket), Ledger(aws, settings.table)
    facts = ClusterFacts(Equipment.from_json(vars(options)), options.head_instance or None)
    agent = Agent(aws, store, ledger, cluster, options.queue_url, facts)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    agent.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
