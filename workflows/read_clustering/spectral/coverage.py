"""Which components of the overlap graph are whole sequences, and which only pieces of one."""

import numpy as np
from numpy.typing import NDArray

from workflows.read_clustering.spectral.parallel import Ints

DEGREE_QUANTILE = 0.25
OVERLAPS_PER_DEPTH = 3.0
EXPECTED_GAPS = 0.1


def whole_components(component: Ints, degree: Ints) -> NDArray[np.bool_]:
    """Return, for each row, whether its component ends where its sequence ends: bool[rows].

    With reads at random places a read has no successor with probability exp(-c), c being the
    reads that start in its length (Lander and Waterman 1988, doi:10.1016/0888-7543(88)90007-9).
    A read has 2 c overlaps, a pair of reads up to 4 c: c is taken as a third of the degree, and
    the degree as the lower quartile in the component, so that a few deep repeats do not count
    for the rest. A component of s fragments is whole if s exp(-c) gaps, fewer than 0.1, were to
    be expected in it: then its ends are no gaps in the coverage.
    """
    order = np.lexsort((degree, component))
    starts = np.flatnonzero(np.r_[True, np.diff(component[order]) != 0][: len(order)])
    sizes = np.diff(np.append(starts, len(order)))
    low = degree[order][starts + (DEGREE_QUANTILE * (sizes - 1)).astype(np.int64)]
    whole = sizes * np.exp(-low / OVERLAPS_PER_DEPTH) < EXPECTED_GAPS
    result = np.zeros(len(component), bool)
    result[order] = np.repeat(whole, sizes)
    return result
