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
    counts = np.diff(fragments.hash_offsets)
    owners = (fragments.hashes % np.uint64(comm.size)).astype(np.int64)
    hashes, fragment = exchange(comm, owners, fragments.hashes, np.repeat(fragments.rows, counts))
    order = np.lexsort((fragment, hashes))
    low, high, shared = _count_pairs(hashes[order], fragment[order], fragments.total, reach)
    pairs = gather_edges(comm, rows, low, high, shared.astype(np.float64))
    kept = pairs.weight >= min_shared
    low, high, weight = pairs.row[kept], pairs.column[kept], pairs.weight[kept]
    return gather_edges(
        comm,
        rows,
        np.concatenate((low, high)),
        np.concatenate((high, low)),
        np.concatenate((weight, weight)),
    )


def _count_pairs(
    hashes: NDArray[np.uint64], fragment: Ints, total: int, reach: int
) -> tuple[Ints, Ints, Ints]:
    """Return pairs low < high and how many of these hashes they share; some come repeatedly."""
    keys, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    step = max(1, PAIRS_PER_PASS // reach)
    for start in range(0, len(hashes), step):
        found, times = np.unique(
            _pair_keys(
                hashes, fragment, total, range(start, min(start + step, len(hashes))), reach
            ),
            return_counts=True,
        )
        keys.append(found)
        counts.append(times)
    key = np.concatenate(keys)
    return key // total, key % total, np.concatenate(counts)


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
