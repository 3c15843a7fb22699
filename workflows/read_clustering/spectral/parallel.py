"""What the ranks of one MPI program share: who owns which rows, exchanges, and exact sums.

A rank is only a place where work is done: rows are handed out in whole blocks, and every sum of
floating-point numbers over rows is made block by block and then in block order. So the numbers,
and with them the clusters, do not depend on how many ranks there are.
"""

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from mpi4py import MPI
from mpi4py.util.dtlib import from_numpy_dtype
from numpy.typing import NDArray

from placement.errors import UserError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCK_ROWS = 512


@dataclass(frozen=True)
class Rows:
    """Which rank owns which rows: rank r has rows bounds[r] to bounds[r + 1]."""

    bounds: tuple[int, ...]

    @property
    def total(self) -> int:
        """Return how many rows there are on all ranks."""
        return self.bounds[-1]

    def span(self, rank: int) -> tuple[int, int]:
        """Return a rank's first row and the one after its last."""
        return self.bounds[rank], self.bounds[rank + 1]

    def blocks(self) -> Ints:
        """Return how many blocks each rank owns."""
        return -(-np.diff(self.bounds) // BLOCK_ROWS)

    def owners(self, rows: Ints) -> Ints:
        """Return the rank of each row."""
        return np.searchsorted(np.array(self.bounds[1:]), rows, side="right").astype(np.int64)


def split_rows(weights: Ints, ranks: int) -> Rows:
    """Share out len(weights) rows so that each rank has about the same sum of weights.

    Cuts fall between blocks of BLOCK_ROWS rows, so a rank may stay without rows.
    """
    total = len(weights)
    starts = np.arange(0, total, BLOCK_ROWS)
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(weights)))
    targets = before[-1] * np.arange(1, ranks) / ranks
    edges = np.append(starts, total)
    reached = before[edges]
    nearest = np.abs(reached[None, :] - targets[:, None]).argmin(axis=1)
    cuts = np.maximum.accumulate(edges[nearest]) if ranks > 1 else np.zeros(0, np.int64)
    return Rows((0, *(int(cut) for cut in cuts), total))


class Route:
    """Rows on their way: row i of what is sent goes to rank destinations[i].

    Rows arrive by source rank and keep their order within it.
    """

    def __init__(self, comm: MPI.Comm, destinations: Ints) -> None:
        self._comm = comm
        self._order = np.argsort(destinations, kind="stable")
        self._outgoing = np.bincount(destinations, minlength=comm.size).astype(np.int64)
        self._incoming = np.empty(comm.size, np.int64)
        comm.Alltoall(self._outgoing, self._incoming)
        self.arriving = int(self._incoming.sum())

    def send(self, column: NDArray[Any]) -> NDArray[Any]:
        """Send a column, one- or two-dimensional, along this route; return what came here."""
        target = np.empty((self.arriving, *column.shape[1:]), column.dtype)
        width = int(np.prod(column.shape[1:], dtype=np.int64))
        kind = from_numpy_dtype(column.dtype).Create_contiguous(width).Commit()
        self._comm.Alltoallv(
            [np.ascontiguousarray(column[self._order]), (self._outgoing, None), kind],
            [target, (self._incoming, None), kind],
        )
        kind.Free()
        return target


def exchange(comm: MPI.Comm, destinations: Ints, *columns: NDArray[Any]) -> list[NDArray[Any]]:
    """Send row i of every column to rank destinations[i]; return the rows that came here."""
    route = Route(comm, destinations)
    return [route.send(column) for column in columns]


def place_rows(comm: MPI.Comm, rows: Rows, position: Ints, column: NDArray[Any]) -> NDArray[Any]:
    """Send row i of a column to the owner of row position[i]; return this rank's rows in order.

    Rows with a negative position stay out; each of the others has exactly one.
    """
    kept = position >= 0
    position, placed = exchange(comm, rows.owners(position[kept]), position[kept], column[kept])
    return placed[np.argsort(position)]


def gather_rows(comm: MPI.Comm, local: NDArray[Any], counts: Ints | None = None) -> NDArray[Any]:
    """Return every rank's rows, in rank order, on every rank.

    `counts` says how many rows each rank has, where that is known without asking.
    """
    if counts is None:
        counts = np.array(comm.allgather(len(local)))
    whole = np.empty((int(counts.sum()), *local.shape[1:]), local.dtype)
    width = int(np.prod(local.shape[1:], dtype=np.int64))
    kind = from_numpy_dtype(local.dtype).Create_contiguous(width).Commit()
    comm.Allgatherv([np.ascontiguousarray(local), len(local), kind], [whole, (counts, None), kind])
    kind.Free()
    return whole


def block_products(left: Floats, right: Floats) -> Floats:
    """Return left[block] @ right[block].T of each block of columns: float64[blocks, a, b].

    `left` is a x rows and `right` b x rows, both starting at a block's first row.
    """
    whole = left.shape[1] // BLOCK_ROWS * BLOCK_ROWS
    # One call for all whole blocks: a call for each costs as much as the work in it.
    first, second = (
        side[:, :whole].reshape(len(side), -1, BLOCK_ROWS).swapaxes(0, 1) for side in (left, right)
    )
    products = first @ second.swapaxes(1, 2)
    if whole == left.shape[1]:
        return products
    return np.concatenate((products, (left[:, whole:] @ right[:, whole:].T)[None]))


def ordered_sum(comm: MPI.Comm, rows: Rows, blocks: Floats) -> Floats:
    """Return the sum over the blocks of all rows, in their order however they are shared out."""
    return np.asarray(gather_rows(comm, blocks, rows.blocks()).sum(axis=0), np.float64)


def stop_all_ranks_on_error() -> None:
    """Make an exception on any rank end the whole job, with that rank's message on stderr.

    Without this the other ranks would wait for the dead one until the job's time limit.
    """
    plain = sys.excepthook

    def abort(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, UserError):
            sys.stderr.write(f"UserError: {error}\n")
        else:
            sys.stderr.write(f"rank {MPI.COMM_WORLD.rank}:\n")
            plain(kind, error, trace)
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)

    sys.excepthook = abort
