"""What a plan is made for besides the workflow: the upload and the state of the platforms."""

from collections.abc import Mapping
from dataclasses import dataclass

from placement.workflow import Platform


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A Ray or MPI cluster as it is now.

    `warm_nodes` are up; up to `max_nodes` may be up in all. A step runs `slots_per_node` worker
    processes or ranks on a node. Where the warm nodes are not `idle`, they are free after
    `busy_for_s` seconds; None: nobody knows, and the platform book's assumption is taken.
    `head_type` is None where the head is one of the nodes, or nobody has said what it is.
    """

    platform: Platform
    instance_type: str
    warm_nodes: int
    slots_per_node: int
    max_nodes: int
    idle: bool = True
    busy_for_s: float | None = None
    head_type: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """The upload (bytes of every file, by role), the clusters, and Lambda's concurrency.

    `lambda_concurrency` is how many environments the deployment may use at once; None: the
    platform book's figure for an account.
    """

    uploads: Mapping[str, tuple[int, ...]]
    clusters: tuple[ClusterState, ...] = ()
    lambda_concurrency: int | None = None
