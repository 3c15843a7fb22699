"""When every task can run at all, if the run is to end in time: the critical path method.

Every duration is the least over all that the task may do, so no schedule leaves the windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from placement.engine.bounding.arrays import NEVER, Bools, Ints
from placement.engine.bounding.facts import Facts, NodeKind
from placement.engine.jit import njit


@dataclass(frozen=True, slots=True)
class Windows:
    """By task, in ms: when its predecessors have ended at the earliest, and its latest end.

    `on_lambda` and `on_node`: whether it fits into its window there. `ends_ms` is its earliest end.
    """

    ready_ms: Ints
    ends_ms: Ints
    latest_ms: Ints
    on_lambda: Bools
    on_node: Bools


class _Least(NamedTuple):
    """The least times by task: on Lambda, on nodes, and from when on a node can serve it.

    Its main part cannot begin before `node_main_from`.
    """

    lambda_ms: Ints
    before_ms: Ints
    main_ms: Ints
    node_from: Ints
    node_main_from: Ints


def windows_of(facts: Facts, kinds: Sequence[NodeKind], last_ms: int) -> Windows | None:
    """Return the windows if no task may end after `last_ms`; None: some task has no place then."""
    least = _least(facts, kinds)
    on_lambda, on_node = least.lambda_ms < NEVER, least.main_ms < NEVER
    while (on_lambda | on_node).all():
        ready, ends = _forwards(
            facts.before.ptr,
            facts.before.entries,
            least,
            on_lambda,
            on_node,
            facts.run_start_ms,
            facts.gap_ms,
        )
        latest = _backwards(
            facts.before.ptr,
            facts.before.entries,
            least,
            on_lambda,
            on_node,
            facts.gap_ms,
            last_ms,
        )
        lambda_fits = on_lambda & (ready + facts.gap_ms + least.lambda_ms <= latest)
        begins = np.maximum(
            np.maximum(ready, least.node_from) + least.before_ms, least.node_main_from
        )
        node_fits = on_node & (begins + least.main_ms <= latest)
        if np.array_equal(lambda_fits, on_lambda) and np.array_equal(node_fits, on_node):
            return Windows(ready, ends, latest, on_lambda, on_node)
        # What has gone was perhaps the fastest way: the others' windows become smaller.
        on_lambda, on_node = lambda_fits, node_fits
    return None


def _least(facts: Facts, kinds: Sequence[NodeKind]) -> _Least:
    n = facts.tasks
    never = np.full(n, NEVER, dtype=np.int64)
    before, main, node_from, main_from = never.copy(), never.copy(), never.copy(), never.copy()
    for kind in kinds:
        first = facts.run_start_ms + kind.boot_ms
        for array, value in (
            (before, kind.before_ms),
            (main, kind.main_ms),
            (node_from, first),
            (main_from, first + kind.age_ms),
        ):
            np.minimum(array, np.where(kind.fits, value, NEVER), out=array)
    on_lambda = facts.on_lambda.ms
    lambda_ms = on_lambda.min(axis=1) if on_lambda.shape[1] else never
    return _Least(lambda_ms, before, main, node_from, main_from)


@njit(cache=True)
def _forwards(
    ptr: Ints,
    before: Ints,
    least: _Least,
    on_lambda: Bools,
    on_node: Bools,
    run_start: int,
    gap: int,
) -> tuple[Ints, Ints]:
    n = on_lambda.shape[0]
    ready, ends = np.full(n, run_start, np.int64), np.zeros(n, np.int64)
    for task in range(n):
        for k in range(ptr[task], ptr[task + 1]):
            ready[task] = max(ready[task], ends[before[k]])
        ends[task] = NEVER
        if on_lambda[task]:
            ends[task] = ready[task] + gap + least.lambda_ms[task]
        if on_node[task]:
            begins = max(ready[task], least.node_from[task]) + least.before_ms[task]
            begins = max(begins, least.node_main_from[task])
            ends[task] = min(ends[task], begins + least.main_ms[task])
        ends[task] = min(ends[task], NEVER)
    return ready, ends


@njit(cache=True)
def _backwards(
    ptr: Ints,
    before: Ints,
    least: _Least,
    on_lambda: Bools,
    on_node: Bools,
    gap: int,
    last: int,
) -> Ints:
    n = on_lambda.shape[0]
    latest = np.full(n, last, np.int64)
    for task in range(n - 1, -1, -1):
        took = NEVER
        if on_lambda[task]:
            took = least.lambda_ms[task] + gap
        if on_node[task]:
            took = min(took, least.before_ms[task] + least.main_ms[task])
        for k in range(ptr[task], ptr[task + 1]):
            latest[before[k]] = min(latest[before[k]], latest[task] - took)
    return latest
