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
        return self.bounds[-1]

    def span(self, rank: int) -> tuple[int, int]:
        return self.bounds[rank], self.bounds[rank + 1]

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


def exchange(comm: MPI.Comm, destinations: Ints, *columns: NDArray[Any]) -> list[NDArray[Any]]:
    """Send row i of every column to rank destinations[i]; return the rows that came here.

    Rows arrive by source rank and keep their order within it. A column is one- or two-dimensional.
    """
    order = np.argsort(destinations, kind="stable")
    counts = np.bincount(destinations, minlength=comm.size).astype(np.int64)
    incoming = np.empty(comm.size, np.int64)
    comm.Alltoall(counts, incoming)
    received = []
    for column in columns:
        width = int(np.prod(column.shape[1:], dtype=np.int64))
        target = np.empty((int(incoming.sum()), *column.shape[1:]), column.dtype)
        kind = from_numpy_dtype(column.dtype).Create_contiguous(width).Commit()
        comm.Alltoallv(
            [np.ascontiguousarray(column[order]), (counts, _starts(counts)), kind],
            [target, (incoming, _starts(incoming)), kind],
        )
        kind.Free()
        received.append(target)
    return received


def gather_rows(comm: MPI.Comm, local: NDArray[Any]) -> NDArray[Any]:
    """Return every rank's rows, in rank order, on every rank."""
    everyone = np.repeat(np.arange(comm.size, dtype=np.int64), len(local))
    copies = np.tile(local, (comm.size,) + (1,) * (local.ndim - 1))
    return exchange(comm, everyone, copies)[0]


def block_products(left: Floats, right: Floats) -> Floats:
    """Return left[block] @ right[block].T of each block of columns: float64[blocks, a, b].

    `left` is a x rows and `right` b x rows, both starting at a block's first row.
    """
    starts = range(0, left.shape[1], BLOCK_ROWS)
    products = [
        left[:, start : start + BLOCK_ROWS] @ right[:, start : start + BLOCK_ROWS].T
        for start in starts
    ]
    return np.array(products).reshape(len(products), left.shape[0], right.shape[0])


def ordered_sum(comm: MPI.Comm, blocks: Floats) -> Floats:
    """Return the sum over all ranks' blocks, added in row order whatever the number of ranks."""
    return np.asarray(gather_rows(comm, blocks).sum(axis=0), np.float64)


def stop_all_ranks_on_error() -> None:
    """Make an exception on any rank end the whole job, with that rank's message on stderr.

    Without this the other ranks would wait for the dead one until the job's time limit.
    """
    plain = sys.excepthook

    def abort(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, UserError):
            sys.stderr.write(f"rank {MPI.COMM_WORLD.rank}: {error}\n")
        else:
            sys.stderr.write(f"rank {MPI.COMM_WORLD.rank}:\n")
            plain(kind, error, trace)
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)

    sys.excepthook = abort


def _starts(counts: Ints) -> Ints:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)[:-1]))
