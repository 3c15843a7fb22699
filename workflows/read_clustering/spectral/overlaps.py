"""Overlaps: pairs of fragments with enough sketch hashes in common."""

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from workflows.read_clustering.spectral.graph import Edges, gather_edges
from workflows.read_clustering.spectral.parallel import Ints, Rows, exchange
from workflows.read_clustering.spectral.sketches import Fragments

PAIRS_PER_PASS = 4_000_000


def overlap_edges(
    comm: MPI.Comm, rows: Rows, fragments: Fragments, min_shared: int, reach: int
) -> Edges:
    """Return the edges between fragments that share `min_shared` hashes; weight is how many.

    Each hash goes to one rank, which sees all fragments that have it. A fragment is paired with
    the next `reach` of them only: where coverage is deep or a repeat has many copies the work
    stays linear, and as neighbouring hashes have nearly the same fragments, the same pairs are
    counted over and over.
    """
    hashes, fragment = _by_hash(comm, fragments)
    step = max(1, PAIRS_PER_PASS // reach)
    shared = _PairCounts()
    # Pass by pass: all pairs at once would take several times what the edges do.
    for number in range(comm.allreduce(-(-len(hashes) // step), MPI.MAX)):
        begin, end = (min(at * step, len(hashes)) for at in (number, number + 1))
        keys, times = np.unique(
            _pair_keys(hashes, fragment, fragments.total, range(begin, end), reach),
            return_counts=True,
        )
        shared.add(*exchange(comm, rows.owners(keys // fragments.total), keys, times))
    key, weight = shared.at_least(min_shared)
    low, high = np.divmod(key, fragments.total)
    return gather_edges(
        comm,
        rows,
        np.concatenate((low, high)),
        np.concatenate((high, low)),
        np.concatenate((weight, weight)).astype(np.float64),
    )


def _by_hash(comm: MPI.Comm, fragments: Fragments) -> tuple[NDArray[np.uint64], Ints]:
    """Return this rank's hashes, sorted, each with one fragment that has it."""
    counts = np.diff(fragments.hash_offsets)
    owners = (fragments.hashes % np.uint64(comm.size)).astype(np.int64)
    hashes, fragment = exchange(comm, owners, fragments.hashes, np.repeat(fragments.rows, counts))
    order = np.lexsort((fragment, hashes))
    return hashes[order], fragment[order]


class _PairCounts:
    """How many hashes pairs share, summed over passes.

    What comes is put together whenever there is as much of it as of what is together already, so
    that no more than twice the pairs are held, and each is merged a few times only.
    """

    def __init__(self) -> None:
        self._keys, self._times = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]

    def add(self, keys: Ints, times: Ints) -> None:
        """Count `times` for each of these pairs."""
        self._keys.append(keys)
        self._times.append(times.astype(np.int32))
        if sum(map(len, self._keys[1:])) >= len(self._keys[0]):
            self._merge()

    def at_least(self, times: int) -> tuple[Ints, NDArray[np.int32]]:
        """Return the pairs that were counted so often, sorted, and how often."""
        self._merge()
        [keys], [counted] = self._keys, self._times
        kept = counted >= times
        return keys[kept], counted[kept]

    def _merge(self) -> None:
        keys, times = np.concatenate(self._keys), np.concatenate(self._times)
        order = np.argsort(keys, kind="stable")  # runs that are sorted already: cheap
        keys, times = keys[order], times[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        summed = np.add.reduceat(times, starts) if len(starts) else times
        self._keys, self._times = [keys[starts]], [summed.astype(np.int32)]


def _pair_keys(
    hashes: NDArray[np.uint64], fragment: Ints, total: int, span: range, reach: int
) -> Ints:
    """Return low * total + high of each pair whose first member stands in `span`."""
    keys = [np.zeros(0, np.int64)]
    for distance in range(1, reach + 1):
        last = min(span.stop, len(hashes) - distance)
        first = np.arange(span.start, max(last, span.start))
        first = first[hashes[first] == hashes[first + distance]]
        if not len(first):
            break
        keys.append(fragment[first] * total + fragment[first + distance])
    return np.concatenate(keys)
