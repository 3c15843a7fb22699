"""How many clusters a graph falls into, and which: decided by how few edges leave each."""

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from workflows.read_clustering.spectral.graph import Edges
from workflows.read_clustering.spectral.kmeans import cluster_directions
from workflows.read_clustering.spectral.parallel import Floats, Ints, gather_rows


@dataclass(frozen=True)
class Partition:
    """Labels of all rows of a graph, and the largest share of neighbours outside a cluster."""

    labels: Ints
    clusters: int
    leaving: float


def best_partition(
    comm: MPI.Comm, vectors: Floats, neighbours: Edges, max_leaving: float
) -> Partition:
    """Return the partition into the most clusters of which each is set apart.

    A cluster is set apart if at most the share `max_leaving` of its neighbour edges leave it (its
    conductance). A cut through one genome's cloud of points severs far more edges than one
    between two clouds, so this tells how many clouds there are. Partitions into k clusters come
    from the k lowest eigenvectors, for every k up to their number; `vectors` and `neighbours`
    are those of this rank's rows.
    """
    everything = gather_rows(comm, np.ascontiguousarray(vectors))
    best = Partition(np.zeros(len(everything), np.int64), 1, 0.0)
    for turn in range(2, everything.shape[1] + 1, comm.size):
        mine = turn + comm.rank
        labels = np.zeros(len(everything), np.int64)
        if mine <= everything.shape[1]:
            labels = cluster_directions(everything[:, :mine], mine)
        for rank, clusters in enumerate(range(turn, turn + comm.size)):
            if clusters > everything.shape[1]:
                break
            shared = comm.bcast(labels, root=rank)
            leaving = _largest_leaving_share(comm, neighbours, shared, clusters)
            if leaving <= max_leaving:
                best = Partition(shared, clusters, leaving)
    return best


def _largest_leaving_share(
    comm: MPI.Comm, neighbours: Edges, labels: Ints, clusters: int
) -> float:
    source, target = labels[neighbours.row], labels[neighbours.column]
    counts = np.stack(
        [
            np.bincount(source, minlength=clusters),
            np.bincount(source[source != target], minlength=clusters),
        ]
    ).astype(np.int64)
    total = np.empty_like(counts)
    comm.Allreduce(counts, total, op=MPI.SUM)
    return float(np.max(np.where(total[0] > 0, total[1] / np.maximum(total[0], 1), 1.0)))
