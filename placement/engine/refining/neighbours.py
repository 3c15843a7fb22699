"""Which tasks are near a task: by the files and waits that connect them, or by when they run."""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import Ints
from placement.engine.jit import njit
from placement.engine.refining.problem import T_PREDS, T_SUCCS, Problem


@njit(cache=True)
def near_in_graph(p: Problem, first: int, seed: int) -> Ints:
    """Return all tasks that are connected with one, those few steps away first, else at random."""
    np.random.seed(seed)
    n = p.tasks.shape[0] - 1
    found = np.empty(n, np.int64)
    seen = np.zeros(n, np.bool_)
    found[0], seen[first] = first, True
    begun, count = 0, 1
    while begun < count:
        # One ring after the other, each in a random order.
        ring_ends = count
        np.random.shuffle(found[begun:ring_ends])
        for at in range(begun, ring_ends):
            for column in (T_PREDS, T_SUCCS):
                for k in range(p.tasks[found[at], column], p.tasks[found[at] + 1, column]):
                    other = p.links[k]
                    if not seen[other]:
                        seen[other] = True
                        found[count] = other
                        count += 1
        begun = ring_ends
    return found[:count]


def near_in_time(start: Ints, end: Ints, first: int) -> Ints:
    """Return all tasks, those first whose middles lie nearest to a task's middle."""
    off = np.abs((start + end) - (start[first] + end[first]))
    return np.lexsort((np.arange(len(start)), off))
