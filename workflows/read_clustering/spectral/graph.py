"""A weighted graph whose rows are shared out over the ranks."""

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from workflows.read_clustering.spectral.parallel import (
    Floats,
    Ints,
    Route,
    Rows,
    exchange,
    gather_rows,
)


@dataclass(frozen=True)
class Edges:
    """Edges from the rows of one rank, both directions of each stored; sorted by row, column."""

    row: Ints
    column: Ints
    weight: Floats

    def degrees(self, first: int, last: int) -> Ints:
        """Return the number of edges of each of the rows first to last."""
        return np.bincount(self.row - first, minlength=last - first).astype(np.int64)

    def strengths(self, first: int, last: int) -> Floats:
        """Return the sum of the weights of each of the rows first to last."""
        return np.bincount(self.row - first, weights=self.weight, minlength=last - first)


def gather_edges(comm: MPI.Comm, rows: Rows, row: Ints, column: Ints, weight: Floats) -> Edges:
    """Send every edge to the rank that owns its row; equal edges become one with their sum.

    No more than two weights that are not whole numbers meet, so their order does not matter.
    """
    key = row * rows.total + column
    route = Route(comm, rows.owners(row))
    del row, column  # edges are most of what a rank holds
    key, weight = route.send(key), route.send(weight)
    del route
    order = np.argsort(key, kind="stable")
    key, weight = key[order], weight[order]
    del order
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    if len(starts) < len(key):
        key, weight = key[starts], np.add.reduceat(weight, starts)
    return Edges(*np.divmod(key, max(rows.total, 1)), weight)


def select_rows(comm: MPI.Comm, rows: Rows, edges: Edges, index: Ints) -> Edges:
    """Keep the edges between rows with index >= 0, renumbered by it, at the owners in `rows`."""
    row, column = index[edges.row], index[edges.column]
    kept = (row >= 0) & (column >= 0)
    return gather_edges(comm, rows, row[kept], column[kept], edges.weight[kept])


def components(comm: MPI.Comm, total: int, edges: Edges) -> Ints:
    """Return, on every rank, each row's component, named after its smallest row: int64[total].

    Every rank finds the components of its own edges and sends a spanning star of each; the
    components of all stars together are the graph's.
    """
    stars = _smallest_rows(total, edges.row, edges.column)
    row = np.flatnonzero(stars != np.arange(total)).astype(np.int64)
    pairs = gather_rows(comm, np.stack((row, stars[row]), axis=1))
    return _smallest_rows(total, pairs[:, 0], pairs[:, 1])


def _smallest_rows(total: int, row: Ints, column: Ints) -> Ints:
    graph = coo_array((np.ones(len(row), np.int8), (row, column)), shape=(total, total))
    labels = connected_components(graph, directed=False)[1]
    first = np.unique(labels, return_index=True)[1]
    return np.asarray(first[labels], np.int64)


class Operator:
    """The adjacency matrix of one rank's rows, times columns of numbers that are shared out.

    Each rank asks once for the rows of others that its edges need, and gets those, and only
    those, at every product.
    """

    def __init__(self, comm: MPI.Comm, rows: Rows, edges: Edges) -> None:
        first, last = rows.span(comm.rank)
        local = (edges.column >= first) & (edges.column < last)
        wanted, place = np.unique(edges.column[~local], return_inverse=True)
        owners = rows.owners(wanted)
        asked, source = exchange(comm, owners, wanted, np.full(len(wanted), comm.rank))
        self._sent = asked - first
        self._route = Route(comm, source)
        position = edges.column - first
        position[~local] = last - first + place
        degrees = edges.degrees(first, last)
        indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum(degrees)))
        shape = (last - first, last - first + len(wanted))
        # A product is as fast as memory: indices take half of it where four bytes hold them.
        narrow = max(len(position), *shape) <= np.iinfo(np.int32).max
        kind = np.int32 if narrow else np.int64
        self._matrix = csr_array(
            (edges.weight, position.astype(kind), indptr.astype(kind)), shape=shape
        )

    def times(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return this rank's rows of the product; `values` are its rows of the factor."""
        halo = self._route.send(values[self._sent])
        product: NDArray[np.float64] = self._matrix @ np.concatenate((values, halo))
        return product
