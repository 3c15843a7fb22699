"""Last touch on a partition: each fragment to the cluster whose composition it most likely has."""

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from workflows.read_clustering.spectral.parallel import (
    Floats,
    Ints,
    Rows,
    block_products,
    gather_rows,
    ordered_sum,
)

ROUNDS = 4
RIDGE = 1e-3


def refined_labels(
    comm: MPI.Comm, rows: Rows, composition: NDArray[np.float32], labels: Ints
) -> Ints:
    """Return labels after four rounds of linear discriminant analysis (Fisher 1936) on themselves.

    The neighbour graph sees ten principal components of composition; between clusters that are
    known the discriminant weighs all 136 columns by what they tell. `composition` is that of this
    rank's rows, `labels` of all.
    """
    clusters = int(labels.max(initial=0)) + 1
    if clusters == 1:
        return labels
    points = composition.astype(np.float64)
    moments = ordered_sum(comm, rows, block_products(points.T, points.T))
    first, last = rows.span(comm.rank)
    for _ in range(ROUNDS):
        sizes = np.bincount(labels, minlength=clusters)
        members = np.equal.outer(np.arange(clusters), labels[first:last]).astype(np.float64)
        sums = ordered_sum(comm, rows, block_products(members, points.T))
        scores = _discriminants(moments, sums, sizes)
        chosen = (points @ scores[:, :-1].T + scores[:, -1]).argmax(axis=1)
        labels = gather_rows(comm, chosen.astype(np.int64))
    return labels


def _discriminants(moments: Floats, sums: Floats, sizes: Ints) -> Floats:
    """Return each cluster's linear score: 136 factors and a constant.

    A cluster without members keeps a score that no point prefers.
    """
    means = sums / np.maximum(sizes, 1)[:, None]
    within = (moments - means.T @ sums) / sizes.sum()
    within += RIDGE * max(np.trace(within) / len(within), RIDGE**4) * np.eye(len(within))
    factors = np.linalg.solve(within, means.T).T
    constants = np.log(np.maximum(sizes, 1) / sizes.sum()) - 0.5 * (factors * means).sum(axis=1)
    constants = np.where(sizes > 0, constants, -np.inf)
    return np.concatenate((factors, constants[:, None]), axis=1)
