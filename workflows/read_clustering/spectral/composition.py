"""The neighbour graph of the fragments' tetranucleotide composition."""

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from workflows.read_clustering.spectral.graph import Edges, Operator, gather_edges
from workflows.read_clustering.spectral.parallel import (
    Floats,
    Ints,
    Rows,
    block_products,
    gather_rows,
    ordered_sum,
)

SMOOTHING_STEPS = 16
DIMENSIONS = 10
QUERY_ROWS = 4096
WIDEST_QUERY = 1280


def coordinates(
    comm: MPI.Comm, rows: Rows, overlaps: Edges, tetra: NDArray[np.uint16]
) -> Floats:
    """Return this rank's fragments as points whose distances compare composition: [rows, 10].

    A read has some hundred 4-mers, too few to tell genomes apart, but the reads that it overlaps
    come from the same place. So counts are first averaged over the overlap graph, 16 steps of a
    walk that stays with the same chance as it goes on to each neighbour. Square roots of the
    frequencies make the sampling noise of rare and frequent 4-mers equal (Hellinger distance);
    the first ten principal components hold what is more than noise.
    """
    smooth = _smoothed(comm, rows, overlaps, tetra.astype(np.float64))
    roots = np.sqrt(smooth / np.maximum(smooth.sum(axis=1, keepdims=True), 1.0)).T
    ones = np.ones((1, roots.shape[1]))
    mean = ordered_sum(comm, block_products(roots, ones)) / max(rows.total, 1)
    centred = np.ascontiguousarray(roots - mean)
    covariance = ordered_sum(comm, block_products(centred, centred))
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :DIMENSIONS]
    return np.asarray(centred.T @ axes, np.float64)


def neighbour_edges(
    comm: MPI.Comm, rows: Rows, points: Floats, component: Ints, neighbours: int
) -> Edges:
    """Join each fragment with the `neighbours` nearest ones outside its overlap component.

    Inside a component the overlaps join already, and there averaging has made all alike.
    `component` is that of all rows. Edges of both directions, each with weight 1.
    """
    first, last = rows.span(comm.rank)
    everyone = gather_rows(comm, points)
    row, column = _nearest_outside(everyone, component, np.arange(first, last), neighbours)
    ones = np.ones(2 * len(row))
    both = gather_edges(
        comm, rows, np.concatenate((row, column)), np.concatenate((column, row)), ones
    )
    return Edges(both.row, both.column, np.ones(len(both.row)))


def _smoothed(comm: MPI.Comm, rows: Rows, overlaps: Edges, counts: Floats) -> Floats:
    first, last = rows.span(comm.rank)
    unweighted = Edges(overlaps.row, overlaps.column, np.ones(len(overlaps.row)))
    neighbourhood = Operator(comm, rows, unweighted)
    share = 1.0 / (1.0 + overlaps.degrees(first, last))
    for _ in range(SMOOTHING_STEPS):
        counts = (counts + neighbourhood.times(counts)) * share[:, None]
    return counts


def _nearest_outside(
    points: Floats, component: Ints, queried: Ints, neighbours: int
) -> tuple[Ints, Ints]:
    """Return (row, neighbour) pairs; a row is asked for more until enough lie outside.

    A row inside a component so large that its WIDEST_QUERY nearest hold fewer has fewer pairs.
    """
    found_rows, found_columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    tree = cKDTree(points) if len(points) else None
    width = min(2 * neighbours, len(points))
    while tree is not None and len(queried):
        last_round = 4 * width > min(WIDEST_QUERY, len(points))
        unanswered = []
        for start in range(0, len(queried), QUERY_ROWS):
            rows = queried[start : start + QUERY_ROWS]
            nearest = tree.query(points[rows], width)[1].reshape(len(rows), width)
            outside = component[nearest] != component[rows][:, None]
            rank = np.cumsum(outside, axis=1)
            enough = (rank[:, -1] >= neighbours) | last_round
            row, place = np.nonzero(outside & (rank <= neighbours) & enough[:, None])
            found_rows.append(rows[row])
            found_columns.append(nearest[row, place])
            unanswered.append(rows[~enough])
        queried = np.concatenate(unanswered)
        width = min(4 * width, len(points))
    return np.concatenate(found_rows), np.concatenate(found_columns).astype(np.int64)
