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

SMOOTHING_STEPS = 32
DIMENSIONS = 10
NO_VARIANCE = 1e-12
QUERY_ROWS = 4096
LEAF_POINTS = 64
WIDEST_QUERY = 1280


def compositions(
    comm: MPI.Comm, rows: Rows, overlaps: Edges, tetra: NDArray[np.uint16]
) -> NDArray[np.float32]:
    """Return what of each of this rank's fragments compares: [rows, 136], mean 0 over all rows.

    A read has some hundred 4-mers, too few to tell genomes apart, but the reads that it overlaps
    come from the same place. So counts are first averaged over the overlaps in each patch, 32
    steps of a walk that stays with the same chance as it goes on to each neighbour. Square roots
    of the frequencies make the sampling noise of rare and frequent 4-mers equal (Hellinger
    distance).
    """
    smooth = _smoothed(comm, rows, overlaps, tetra.astype(np.float64))
    roots = np.sqrt(smooth / np.maximum(smooth.sum(axis=1, keepdims=True), 1.0))
    ones = np.ones((1, len(roots)))
    mean = ordered_sum(comm, rows, block_products(ones, roots.T)) / max(rows.total, 1)
    return (roots - mean).astype(np.float32)


def coordinates(comm: MPI.Comm, rows: Rows, composition: NDArray[np.float32]) -> Floats:
    """Return this rank's fragments as points whose distances compare composition: [rows, 10].

    The first ten principal components hold what is more than noise. Each is divided by the fourth
    root of its variance: halfway between leaving the first to decide alone and making all equal.
    """
    columns = composition.T.astype(np.float64)
    values, axes = np.linalg.eigh(ordered_sum(comm, rows, block_products(columns, columns)))
    values, axes = values[::-1][:DIMENSIONS], axes[:, ::-1][:, :DIMENSIONS]
    shown = values > NO_VARIANCE * max(values[0], NO_VARIANCE)
    scale = np.where(shown, np.maximum(values, NO_VARIANCE) ** -0.25, 0.0)
    return np.asarray(columns.T @ (axes * scale), np.float64)


def neighbour_edges(
    comm: MPI.Comm, rows: Rows, points: Floats, patch: Ints, neighbours: int
) -> Edges:
    """Join each fragment with the `neighbours` nearest ones outside its patch of the overlaps.

    Inside a patch the overlaps join already, and there averaging has made all alike. `patch` is
    that of all rows. Edges of both directions, each with weight 1.
    """
    first, last = rows.span(comm.rank)
    everyone = gather_rows(comm, points)
    row, column = _nearest_outside(everyone, patch, np.arange(first, last), neighbours)
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
    points: Floats, patch: Ints, queried: Ints, neighbours: int
) -> tuple[Ints, Ints]:
    """Return (row, neighbour) pairs; a row is asked for more until enough lie outside.

    A row inside a patch so large that its WIDEST_QUERY nearest hold fewer has fewer pairs.
    """
    found_rows, found_columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    tree = cKDTree(points, LEAF_POINTS, balanced_tree=False) if len(points) else None
    widest = min(WIDEST_QUERY, len(points))
    width = min(2 * neighbours, widest)
    while tree is not None and len(queried):
        last_round = width == widest
        unanswered = []
        for start in range(0, len(queried), QUERY_ROWS):
            rows = queried[start : start + QUERY_ROWS]
            nearest = tree.query(points[rows], width)[1].reshape(len(rows), width)
            outside = patch[nearest] != patch[rows][:, None]
            rank = np.cumsum(outside, axis=1)
            enough = (rank[:, -1] >= neighbours) | last_round
            row, place = np.nonzero(outside & (rank <= neighbours) & enough[:, None])
            found_rows.append(rows[row])
            found_columns.append(nearest[row, place])
            unanswered.append(rows[~enough])
        queried = np.concatenate(unanswered)
        width = min(4 * width, widest)
    return np.concatenate(found_rows), np.concatenate(found_columns).astype(np.int64)
