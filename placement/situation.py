"""What a plan is made for besides the workflow: the upload and the state of the platforms."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from placement.workflow import Platform


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a cluster has beside its nodes' processors, and pays for as long as it is up.

    A head of its own with its disk, a gp3 disk in each node, and a file system (FSx for Lustre,
    SCRATCH_2), all in GB. None: there is none, or nobody has said what it is.
    """

    head_type: str | None = None
    head_disk_gb: int | None = None
    node_disk_gb: int | None = None
    file_system_gb: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, among other fields."""
        sizes = {
            name: None if data.get(name) is None else int(data[name])
            for name in ("head_disk_gb", "node_disk_gb", "file_system_gb")
        }
        return cls(data.get("head_type"), **sizes)


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A Ray or MPI cluster as it is now.

    `warm_nodes` are up; up to `max_nodes` may be up in all. A step runs `slots_per_node` worker
    processes or ranks on a node. Where the warm nodes are not `idle`, they are free after
    `busy_for_s` seconds; None: nobody knows, and the platform book's assumption is taken.
    """

    platform: Platform
    instance_type: str
    warm_nodes: int
    slots_per_node: int
    max_nodes: int
    idle: bool = True
    busy_for_s: float | None = None
    equipment: Equipment = Equipment()
    head_off: bool = False  # stopped; a job that is sent to the cluster has it started


@dataclass(frozen=True, slots=True)
class Situation:
    """The upload (bytes of every file, by role), the clusters, and Lambda's concurrency.

    `lambda_concurrency` is how many environments the deployment may use at once; None: the
    platform book's figure for an account.
    """

    uploads: Mapping[str, tuple[int, ...]]
    clusters: tuple[ClusterState, ...] = ()
    lambda_concurrency: int | None = None
