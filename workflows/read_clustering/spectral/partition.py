"""How many clusters a graph falls into, and which: decided by how few edges leave each."""

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from workflows.read_clustering.spectral.graph import Edges
from workflows.read_clustering.spectral.kmeans import cluster_directions
from workflows.read_clustering.spectral.parallel import Floats, Ints, gather_rows


@dataclass(frozen=True)
class Limits:
    """The largest shares of a cluster's edges that may leave it."""

    near: float
    overlaps: float


@dataclass(frozen=True)
class Partition:
    """Labels 0 to clusters - 1 of all rows of a graph."""

    labels: Ints
    clusters: int


def best_partition(
    comm: MPI.Comm, vectors: Floats, near: Edges, overlaps: Edges, limits: Limits
) -> Partition:
    """Return the partition into the most clusters of which each is set apart.

    For every k up to the number of eigenvectors, k-means on the lowest k gives k clusters. A cut
    through one genome's cloud of points severs far more neighbour edges than one between two
    clouds, and more overlaps, which between genomes come from shared repeats only. So clusters
    that are not set apart are put together again, and what remains hardly depends on k; of equal
    results that of the smallest k is taken. `vectors`, `near` and `overlaps` are those of this
    rank's rows.
    """
    everything = gather_rows(comm, np.ascontiguousarray(vectors))
    most = everything.shape[1]
    best = Partition(np.zeros(len(everything), np.int64), 1)
    for turn in range(2, most + 1, comm.size):
        mine = turn + comm.rank
        labels = np.zeros(len(everything), np.int64)
        if mine <= most:
            labels = cluster_directions(everything[:, :mine], mine)
        for clusters in range(turn, min(turn + comm.size, most + 1)):
            shared = comm.bcast(labels, root=clusters - turn)
            links = [_links(comm, edges, shared, clusters) for edges in (near, overlaps)]
            merged = merged_clusters(links[0], links[1], limits)
            if merged.max() + 1 > best.clusters:
                best = Partition(merged[shared], int(merged.max()) + 1)
    return best


def merged_clusters(near: Floats, overlaps: Floats, limits: Limits) -> Ints:
    """Return a new label for each cluster, the same for those that are not set apart.

    near[a, b] and overlaps[a, b] count the edges from cluster a to b. The cluster that is worst
    above the limits joins the one to which most of its edges go, until none is above.
    """
    links = [near.copy(), overlaps.copy()]
    caps = (limits.near, limits.overlaps)
    label = np.arange(len(near))
    alive = np.ones(len(near), bool)
    while alive.sum() > 1:
        shares = [_shares(table) / cap for table, cap in zip(links, caps, strict=True)]
        leaving = np.maximum(
            *(
                np.where(alive, 1 / cap - np.diag(share), 0.0)
                for share, cap in zip(shares, caps, strict=True)
            )
        )
        worst = int(leaving.argmax())
        if leaving[worst] <= 1.0:
            break
        pull = np.where(alive, shares[0][worst] + shares[1][worst], -1.0)
        pull[worst] = -1.0
        target = int(pull.argmax())
        for table in links:
            table[target] += table[worst]
            table[:, target] += table[:, worst]
            table[worst] = table[:, worst] = 0.0
        label[label == worst] = target
        alive[worst] = False
    return np.unique(label, return_inverse=True)[1].astype(np.int64)


def _shares(links: Floats) -> Floats:
    """Return the share of each cluster's edges that goes to each; one without edges keeps them."""
    total = links.sum(axis=1, keepdims=True)
    return np.where(total > 0, links / np.maximum(total, 1.0), np.eye(len(links)))


def _links(comm: MPI.Comm, edges: Edges, labels: Ints, clusters: int) -> Floats:
    pairs = labels[edges.row] * clusters + labels[edges.column]
    counts = np.bincount(pairs, minlength=clusters**2).astype(np.int64)
    total = np.empty_like(counts)
    comm.Allreduce(counts, total, op=MPI.SUM)
    return total.reshape(clusters, clusters).astype(np.float64)
