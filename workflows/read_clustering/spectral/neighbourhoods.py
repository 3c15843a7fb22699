"""Neighbourhoods: the overlap graph in small patches, each from about one place of a genome."""

import numpy as np
from mpi4py import MPI

from workflows.read_clustering.spectral.graph import Edges
from workflows.read_clustering.spectral.parallel import Ints, Rows, gather_rows

MEAN_SIZE = 128
# Knuth's multiplicative hash: picks rows that are spread evenly whatever the order of the input.
MULTIPLIER = 2654435761
HASH_BITS = 32


def neighbourhoods(comm: MPI.Comm, rows: Rows, overlaps: Edges, component: Ints) -> Ints:
    """Return, on every rank, the patch of each row, named after one row of it: int64[total].

    One row in 128, and one in every component, starts a patch; each other row joins the patch of
    the nearest start along the overlaps, of equally near ones that of the smallest row.
    `component` names the components of all rows after their first one.
    """
    first, last = rows.span(comm.rank)
    every = np.arange(rows.total)
    starts = (every * MULTIPLIER % 2**HASH_BITS) < 2**HASH_BITS // MEAN_SIZE
    starts |= component == every
    patch = np.where(starts, every, rows.total)
    row_starts = np.flatnonzero(np.diff(overlaps.row, prepend=-1))
    touched = overlaps.row[row_starts]
    while np.any(patch == rows.total):
        mine = patch[first:last].copy()
        if len(touched):
            nearest = np.minimum.reduceat(patch[overlaps.column], row_starts)
            mine[touched - first] = np.where(patch[touched] < rows.total, patch[touched], nearest)
        patch = gather_rows(comm, mine)
    return patch


def within(edges: Edges, patch: Ints) -> Edges:
    """Return the edges that stay inside a patch."""
    kept = patch[edges.row] == patch[edges.column]
    return Edges(edges.row[kept], edges.column[kept], edges.weight[kept])
