"""Earliest and latest ends of tasks, by the critical path method."""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import NEVER, Arrays, Ints
from placement.engine.jit import njit


@njit(cache=True)
def earliest_ends(a: Arrays, lambda_ms: Ints, node_ms: Ints) -> Ints:
    """Return each task's earliest end (ms) where nobody ever waits for a worker.

    `lambda_ms` and `node_ms` are each task's durations on Lambda and on a node (NEVER: not
    possible); no node is ready before the first has booted.
    """
    first_node = a.limits[0] + (a.boot_ms.min() if a.boot_ms.shape[0] > 0 else 0)
    ends = np.zeros(a.cores.shape[0], np.int64)
    for task in range(a.cores.shape[0]):
        ready = a.limits[0]
        for k in range(a.pred_ptr[task], a.pred_ptr[task + 1]):
            ready = max(ready, ends[a.pred_idx[k]])
        on_lambda = min(NEVER, ready + a.limits[2] + a.limits[3] + lambda_ms[task])
        ends[task] = min(on_lambda, max(ready, first_node) + node_ms[task])
    return ends


@njit(cache=True)
def latest_start(end_ms: int, lambda_ms: int, node_ms: int, first_node_ms: int) -> int:
    """Return when a task must start at the latest (ms) to end in time where it is fastest.

    A node cannot take it before the first one is ready.
    """
    on_node = end_ms - node_ms
    on_lambda = end_ms - lambda_ms
    if on_node < first_node_ms and lambda_ms < NEVER:
        return on_lambda
    return max(on_node, on_lambda)


@njit(cache=True)
def latest_ends(a: Arrays, lambda_ms: Ints, node_ms: Ints, last_ms: int) -> Ints:
    """Return each task's latest end (ms) such that all that follow can still end by `last_ms`."""
    first_node = a.limits[0] + (a.boot_ms.min() if a.boot_ms.shape[0] > 0 else 0)
    extra = a.limits[2] + a.limits[3]
    ends = np.full(a.cores.shape[0], last_ms, np.int64)
    for task in range(a.cores.shape[0] - 1, -1, -1):
        on_lambda = min(NEVER, lambda_ms[task] + extra)
        start = latest_start(ends[task], on_lambda, node_ms[task], first_node)
        for k in range(a.pred_ptr[task], a.pred_ptr[task + 1]):
            before = a.pred_idx[k]
            ends[before] = min(ends[before], start)
    return ends


@njit(cache=True)
def latest_starts(a: Arrays, lambda_ms: Ints, node_ms: Ints, ends: Ints, boot_ms: int) -> Ints:
    """Return when each task must be started (ms) to end in time, on nodes that boot so long."""
    first_node = a.limits[0] + boot_ms
    starts = np.empty(a.cores.shape[0], np.int64)
    for task in range(a.cores.shape[0]):
        on_lambda = min(NEVER, lambda_ms[task] + a.limits[3])
        starts[task] = latest_start(ends[task], on_lambda, node_ms[task], first_node)
    return starts
