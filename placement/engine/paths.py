"""Longest paths through a graph: what would be if some of its tasks were elsewhere; compiled."""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import NEVER, Arrays, Ints
from placement.engine.jit import njit


@njit(cache=True)
def last_end(a: Arrays, lambda_ms: Ints, node_ms: Ints, up_ms: Ints) -> int:
    """Return when the last task ends where nobody waits for a worker, and environments are warm.

    `lambda_ms` and `node_ms` are each task's times (NEVER: not possible); it starts on no node
    before `up_ms`.
    """
    ends = np.zeros(a.cores.shape[0], np.int64)
    for task in range(a.cores.shape[0]):
        ready = a.limits[0]
        for k in range(a.pred_ptr[task], a.pred_ptr[task + 1]):
            ready = max(ready, ends[a.pred_idx[k]])
        on_lambda = min(NEVER, ready + a.limits[2] + lambda_ms[task])
        ends[task] = min(on_lambda, max(ready, up_ms[task]) + node_ms[task])
    return int(ends.max())


@njit(cache=True)
def latest_ends(a: Arrays, took_ms: Ints, last_ms: int) -> Ints:
    """Return when each task must end so that all after it, which take so long, end by `last_ms`."""
    ends = np.full(a.cores.shape[0], last_ms, np.int64)
    for task in range(a.cores.shape[0] - 1, -1, -1):
        for k in range(a.pred_ptr[task], a.pred_ptr[task + 1]):
            before = a.pred_idx[k]
            ends[before] = min(ends[before], ends[task] - took_ms[task])
    return ends
