"""What an agent asks of the cluster that it feeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from placement.situation import Equipment
from runtime.cluster_log import Kind


class ClusterUnavailableError(Exception):
    """The cluster did not answer, or said that it cannot do this now; ask again later."""


class JobRefusedError(Exception):
    """The cluster will never run this job as it was asked to; another platform may."""


@dataclass(frozen=True)
class Job:
    """A job as the cluster sees it. `detail` is the cluster's own word for its state."""

    state: Literal["queued", "running", "ended"]
    detail: str


@dataclass(frozen=True)
class ClusterFacts:
    """What an agent is told of its cluster, because the cluster does not tell.

    `head_instance` is the EC2 instance that the agent runs on, where that is stopped while there is
    no work; None: it is always on.
    """

    equipment: Equipment = field(default_factory=Equipment)
    head_instance: str | None = None


@dataclass(frozen=True)
class Nodes:
    """The nodes of a cluster: what they are priced as, and how many there are.

    `booting_nodes` and `stopping_nodes` are None where the cluster does not tell.
    """

    instance_type: str
    warm_nodes: int
    slots_per_node: int
    max_nodes: int
    booting_nodes: int | None = None
    stopping_nodes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the nodes as the ledger's cluster item records them."""
        return {
            "instance_type": self.instance_type,
            "warm_nodes": self.warm_nodes,
            "slots_per_node": self.slots_per_node,
            "max_nodes": self.max_nodes,
            "booting_nodes": self.booting_nodes,
            "stopping_nodes": self.stopping_nodes,
        }


class Cluster(Protocol):
    """A cluster that runs jobs by name.

    All calls may be repeated, and any of them may raise `ClusterUnavailableError`.
    """

    platform: str

    def nodes(self) -> Nodes:
        """Return the cluster's nodes as they are now."""

    def find(self, job: str) -> Job | None:
        """Return the job of that name, or None where the cluster knows of none."""

    def submit(self, job: str, part_key: str, nodes: int, slots: int, kind: Kind) -> None:
        """Start the job of that name on one part's description, on so many slots of so many nodes.

        The nodes of a map work without one another; an MPI program needs all of them at once.

        Raises:
            JobRefusedError: the cluster will not have it.

        """

    def cancel(self, job: str) -> None:
        """Stop the job of that name, if it is there."""
