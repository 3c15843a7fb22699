"""A real Ray head on this machine: one node, its Jobs API on loopback, closed by a token."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from agents.cluster import ClusterUnavailableError
from ray_tasks.ray_cluster import RayCluster
from trivium.local.ministack import without_aws
from trivium.local.processes import Processes, free_port

START_TIMEOUT_S = 180.0
OBJECT_STORE_BYTES = 200 * 2**20  # descriptions of parts only: data goes through the bucket


@dataclass(frozen=True)
class RayHead:
    """Where the head listens, and what it asks of callers."""

    address: str
    token: str


def start(processes: Processes, root: Path, slots: int, variables: dict[str, str]) -> RayHead:
    """Start the head without waiting for it: it takes a while, and other parts start meanwhile.

    Every service of it stays on loopback, as Ray does by default on macOS and Windows; the
    variable that says so there works on Linux too (ray/_private/ray_constants.py).
    """
    dashboard, token = free_port(), secrets.token_hex(16)
    # Its sockets lie there; a socket's path may have 107 characters at most.
    folder = tempfile.mkdtemp(prefix="trv-ray-", dir="/tmp")
    environment = (
        without_aws(os.environ)
        | variables
        | {
            "PYTHONPATH": str(root),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }
    )
    words = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block"]
    words += ["--node-ip-address=127.0.0.1", f"--port={free_port()}", f"--num-cpus={slots}"]
    words += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    # Ray's own defaults for these two are fixed numbers, which a second head could not have.
    words += [f"--dashboard-agent-listen-port={free_port()}"]
    words += [f"--ray-client-server-port={free_port()}"]
    words += ["--include-dashboard=true", "--disable-usage-stats", f"--temp-dir={folder}"]
    words += [f"--object-store-memory={OBJECT_STORE_BYTES}"]
    processes.start("ray", words, environment)
    (processes.folder / "ray.folder").write_text(folder)
    return RayHead(f"http://127.0.0.1:{dashboard}", token)


def wait(processes: Processes, head: RayHead) -> None:
    """Wait until the head takes jobs.

    Raises:
        UserError: it ended, or does not answer in time.

    """
    processes.wait_until("ray", lambda: takes_jobs(head), START_TIMEOUT_S)


def takes_jobs(head: RayHead) -> bool:
    """Return whether the node and the agent that starts its jobs are up."""
    try:
        with contextlib.closing(RayCluster(head.address, head.token, "any", 1)) as cluster:
            if cluster.nodes().warm_nodes == 0:
                return False
    except ClusterUnavailableError:
        return False
    return answers(head)


def answers(head: RayHead) -> bool:
    """Return whether the head node's agent, which starts jobs, is up."""
    try:
        agents = httpx.get(
            f"{head.address}/nodes?view=summary",
            headers={"Authorization": f"Bearer {head.token}"},
            timeout=5,
        ).json()["data"]["summary"]
    except (httpx.HTTPError, KeyError, ValueError):
        return False
    return any(row.get("raylet", {}).get("state") == "ALIVE" for row in agents)
