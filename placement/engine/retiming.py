"""Moves the tasks of a timetable in time so that its nodes are held as briefly as possible.

Where every task runs, and in which order the tasks of a node follow each other, stays as it is. The
best start times under that are the optimum of a linear program over differences of times: minimise
what the nodes cost from their first start to their last end, such that every task starts after its
predecessors, after the task before it on its core, and all end in time. The matrix is totally
unimodular, so that whole milliseconds come out.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from placement.engine.compiled import Compiled, Floats, Ints
from placement.engine.replay import replayed
from placement.engine.timetable import NO_WORKER, Timetable

# Beyond, the linear program takes longer than all the rest.
MOST_TASKS = 600


def retimed(compiled: Compiled, table: Timetable, deadline_ms: int) -> Timetable:
    """Return the timetable with the best start times, or as it is where none are better."""
    if len(table.start_ms) > MOST_TASKS or not len(table.node_type):
        return table
    program = _Program(compiled, table, deadline_ms)
    starts = program.solved()
    if starts is None or not program.kept_by(starts):
        return table
    return replayed(compiled, table, starts, deadline_ms) or table


@dataclass(frozen=True, slots=True)
class _Row:
    """One constraint: `later` - `earlier` >= `at_least`; variables by number."""

    later: int
    earlier: int
    at_least: int


class _Program:
    """The linear program. Variables: a start per task, then first start and last end per node."""

    def __init__(self, compiled: Compiled, table: Timetable, deadline_ms: int) -> None:
        self._a, self._table = compiled.arrays, table
        self._n, self._v = len(table.start_ms), len(table.node_type)
        self._start_ms, self._end_ms = compiled.run_start_ms, deadline_ms - compiled.run_end_ms
        on_lambda = table.node == NO_WORKER
        # An environment that is warm now may be cold when its task is moved.
        warm = on_lambda & (table.startup_ms == 0)
        self.ms: Ints = table.end_ms - table.start_ms + np.where(warm, self._a.limits[3], 0)
        self._gap: Ints = np.where(on_lambda, self._a.limits[2], 0).astype(np.int64)
        self._before = self._before_on_nodes()
        self._rows = [*self._precedence(), *self._on_nodes()]

    def solved(self) -> Ints | None:
        """Return the best start of every task (ms), or None where there is no solution."""
        rows = self._rows
        columns = np.array([[row.later, row.earlier] for row in rows]).ravel()
        signs = np.tile([-1.0, 1.0], len(rows))
        at = np.repeat(np.arange(len(rows)), 2)
        size = self._n + 2 * self._v
        matrix = coo_array((signs, (at, columns)), shape=(len(rows), size)).tocsr()
        limits = np.array([-row.at_least for row in rows], dtype=np.float64)
        answer = linprog(
            self._costs(), A_ub=matrix, b_ub=limits, bounds=self._bounds(), method="highs-ds"
        )
        return np.round(answer.x[: self._n]).astype(np.int64) if answer.status == 0 else None

    def kept_by(self, starts: Ints) -> bool:
        """Return whether whole starts keep the order of tasks and the deadline."""
        rows = [row for row in self._rows if row.later < self._n and row.earlier < self._n]
        return bool(
            all(starts[row.later] - starts[row.earlier] >= row.at_least for row in rows)
            and (starts >= self._start_ms + self._gap).all()
            and (starts + self.ms <= self._end_ms).all()
        )

    def _costs(self) -> Floats:
        rate = self._a.node_usd_per_ms[self._table.node_type] * 1e9
        # Among equally cheap times the earliest.
        return np.concatenate([np.full(self._n, 1e-6), -rate, rate])

    def _bounds(self) -> Floats:
        boot = self._a.boot_ms[self._table.node_type]
        lowest = np.concatenate(
            [self._start_ms + self._gap, self._start_ms + boot, self._start_ms + boot]
        )
        highest = np.full(len(lowest), self._end_ms)
        highest[: self._n] -= self.ms
        return np.stack([np.minimum(lowest, highest), highest], axis=1).astype(np.float64)

    def _precedence(self) -> list[_Row]:
        a = self._a
        return [
            _Row(task, int(before), int(self.ms[before] + self._gap[task]))
            for task in range(self._n)
            for before in a.pred_idx[a.pred_ptr[task] : a.pred_ptr[task + 1]]
        ]

    def _on_nodes(self) -> list[_Row]:
        rows = []
        for task in range(self._n):
            node = int(self._table.node[task])
            if node == NO_WORKER:
                continue
            rows += [_Row(task, one, int(self.ms[one])) for one in self._before[task]]
            if not self._before[task]:
                rows.append(_Row(task, self._n + node, 0))
            rows.append(_Row(self._n + self._v + node, task, int(self.ms[task])))
        return rows

    def _before_on_nodes(self) -> dict[int, list[int]]:
        """Return, for every task on a node, the tasks that held its cores before it.

        And those that brought it files: were they later, it would have to bring them itself.
        """
        order = np.lexsort((np.arange(self._n), self._table.start_ms))
        free: dict[int, list[tuple[int, int]]] = defaultdict(list)
        source: dict[tuple[int, int], int] = {}
        found: dict[int, list[int]] = {}
        for task in map(int, order):
            node = int(self._table.node[task])
            if node == NO_WORKER:
                continue
            before = set()
            cores = free[node] or [(-1, NO_WORKER)] * int(
                self._a.vcpus[self._table.node_type[node]]
            )
            for _ in range(int(self._a.cores[task])):
                _, last = heapq.heappop(cores)
                before.add(last)
            for _ in range(int(self._a.cores[task])):
                heapq.heappush(cores, (int(self._table.end_ms[task]), task))
            free[node] = cores
            before |= self._sources(task, node, source)
            found[task] = sorted(before - {NO_WORKER, task})
        return found

    def _sources(self, task: int, node: int, source: dict[tuple[int, int], int]) -> set[int]:
        """Return the tasks whose files this one uses on its node, and note what it leaves there."""
        a, table, used = self._a, self._table, set()
        for file in a.in_idx[a.in_ptr[task] : a.in_ptr[task + 1]]:
            key = (node, int(file))
            first = source.setdefault(key, task)
            if first != task and table.end_ms[first] <= table.start_ms[task]:
                used.add(first)
        for file in a.out_idx[a.out_ptr[task] : a.out_ptr[task + 1]]:
            source.setdefault((node, int(file)), task)
        return used
