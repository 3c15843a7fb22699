"""`python -m tests.faults.agent ORDERS ray|slurm|mpirun ...`: an agent that obeys orders to die.

It is the agent of `python -m agents`, with every step of its protocol watched: where the file
ORDERS names the step that is being taken, the process kills itself with SIGKILL, or takes the step
twice. An order is obeyed once; `ORDERS.done` then holds it.

A message that was received stays hidden for a few seconds instead of a minute, and heartbeats come
every other second: a sweep would wait most of its time otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agents.__main__ as program
from agents import agent
from hpc.mpirun_cluster import MpirunCluster
from hpc.slurm_cluster import SlurmCluster
from ray_tasks.ray_cluster import RayCluster
from runtime.cluster_log import ClusterLog
from runtime.ledger import Ledger

HIDDEN_S = 6
HEARTBEAT_EVERY_S = 2.0

# The steps of the protocol, in its order. A crash may strike before and after each.
STEPS = (
    "noting the token",
    "looking for the job",
    "asking who waits",
    "submitting",
    "noting the submission",
    "logging the job's start",
    "deleting the message",
    "logging the job's end",
    "reporting success",
    "forgetting the job",
)

type Wanted = Callable[..., bool]


def watch(orders: Path) -> None:
    """Put a watch on every step."""

    def around(owner: Any, name: str, step: str, wanted: Wanted = lambda *_: True) -> None:
        original = getattr(owner, name)

        def watched(*words: Any, **named: Any) -> Any:
            if not wanted(*words):
                return original(*words, **named)
            obey(orders, f"before {step}")
            answer = original(*words, **named)
            if obey(orders, f"after {step}") == "again":
                answer = original(*words, **named)
            return answer

        setattr(owner, name, watched)

    around(Ledger, "set", "noting the token", _of_a_job)
    around(Ledger, "note", "noting the submission", _of_a_job)
    around(Ledger, "delete", "forgetting the job", _of_a_job)
    for cluster in (RayCluster, SlurmCluster, MpirunCluster):
        around(cluster, "find", "looking for the job")
        around(cluster, "submit", "submitting")
        around(cluster, "cancel", "cancelling")
    around(ClusterLog, "note_job", "logging the job's start")
    around(ClusterLog, "correct_job", "logging the job's end")
    around(agent, "send_heartbeat", "asking who waits")
    around(agent, "send_success", "reporting success")
    around(agent, "send_failure", "reporting failure")
    around(agent.Agent, "_delete", "deleting the message")


def _of_a_job(_: Any, partition: str, *__: Any) -> bool:
    return partition.startswith("job#")


def obey(orders: Path, moment: str) -> str | None:
    """Do what is ordered for this moment, if anything is."""
    try:
        order = json.loads(orders.read_text())
    except FileNotFoundError:
        return None
    if order["at"] != moment:
        return None
    orders.rename(orders.with_suffix(".done"))
    if order["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return str(order["do"])


if __name__ == "__main__":
    agent.HIDDEN_S = HIDDEN_S
    agent.HEARTBEAT_EVERY_S = HEARTBEAT_EVERY_S
    watch(Path(sys.argv.pop(1)))
    raise SystemExit(program.main())
