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
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from placement.engine.compiled import NEVER, Compiled, Floats, Ints
from placement.engine.on_nodes import RAMP_MS
from placement.engine.timetable import NO_WORKER, Timetable
from placement.engine.transfers import moving_ms

# Beyond, the linear program takes longer than all the rest.
MOST_TASKS = 20_000


def retimed(compiled: Compiled, table: Timetable, deadline_ms: int) -> Timetable:
    """Return the timetable with the best start times, or as it is where none are better."""
    if len(table.start_ms) > MOST_TASKS or not len(table.node_type):
        return table
    program = _Program(compiled, table, deadline_ms)
    starts = program.solved()
    return table if starts is None else _settled(compiled, table, program, starts, deadline_ms)


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


def _settled(
    compiled: Compiled, table: Timetable, program: _Program, starts: Ints, deadline_ms: int
) -> Timetable:
    """Return the timetable at these starts, played through again: a task may now find more files.

    It is as it was where a limit of Lambda or a node's memory would be broken.
    """
    if not program.kept_by(starts):
        return table
    new = replace(
        table,
        start_ms=starts,
        startup_ms=table.startup_ms.copy(),
        in_ms=table.in_ms.copy(),
        end_ms=table.end_ms.copy(),
    )
    order = [int(task) for task in np.lexsort((np.arange(len(starts)), starts))]
    _replay_nodes(compiled, table, new, order)
    if not _replay_functions(compiled, new, order) or not _memory_holds(compiled, new):
        return table
    on_node, nodes = new.node != NO_WORKER, len(new.node_type)
    first = np.full(nodes, NEVER, dtype=np.int64)
    last = np.zeros(nodes, dtype=np.int64)
    np.minimum.at(first, new.node[on_node], new.start_ms[on_node])
    np.maximum.at(last, new.node[on_node], new.end_ms[on_node])
    makespan = int(new.end_ms.max()) + compiled.run_end_ms
    launch = first - compiled.arrays.boot_ms[new.node_type]
    settled = replace(new, launch_ms=launch, release_ms=last, makespan_ms=makespan)
    return settled if makespan <= deadline_ms else table


def _replay_nodes(compiled: Compiled, old: Timetable, new: Timetable, order: list[int]) -> None:
    """Set transfers and ends of the tasks on nodes, by the files that are there at their starts."""
    a = compiled.arrays
    there: dict[tuple[int, int], int] = {}
    for task in order:
        node, start = int(new.node[task]), int(new.start_ms[task])
        if node == NO_WORKER:
            continue
        kind = int(new.node_type[node])
        files = [int(file) for file in a.in_idx[a.in_ptr[task] : a.in_ptr[task + 1]]]
        lacking = [file for file in files if there.get((node, file), NEVER) > start]
        size = sum(int(a.file_bytes[file]) for file in lacking)
        share = min(1.0, int(a.cores[task]) / int(a.vcpus[kind]))
        rate = min(float(a.figures[3]), float(a.node_mb_per_s[kind]) * share)
        in_ms = moving_ms(len(lacking), size, a.figures[0], a.figures[2], rate)
        new.end_ms[task] = start + old.ms_without_input(task) + in_ms
        new.in_ms[task] = in_ms
        brought = start + int(new.startup_ms[task]) + in_ms
        for file in files:
            there[node, file] = min(brought, there.get((node, file), NEVER))
        for file in a.out_idx[a.out_ptr[task] : a.out_ptr[task + 1]]:
            key = (node, int(file))
            there[key] = min(int(new.end_ms[task]), there.get(key, NEVER))


def _replay_functions(compiled: Compiled, new: Timetable, order: list[int]) -> bool:
    """Set start-ups and ends of the tasks on Lambda; return whether its limits hold."""
    a = compiled.arrays
    _, _, _, init_ms, concurrency, ramp, *_ = map(int, a.limits)
    running: list[int] = []
    idle: dict[int, list[int]] = defaultdict(list)
    cold: dict[int, list[int]] = defaultdict(list)
    for task in order:
        if new.node[task] != NO_WORKER:
            continue
        start, size = int(new.start_ms[task]), int(new.size[task])
        while running and running[0] <= start:
            heapq.heappop(running)
        warm = bool(idle[size]) and idle[size][0] <= start
        if warm:
            heapq.heappop(idle[size])
        else:
            cold[size].append(start)
        new.startup_ms[task] = 0 if warm else init_ms
        end = start + int(new.startup_ms[task]) + int(a.lambda_ms[task, size])
        new.end_ms[task] = end
        heapq.heappush(running, end)
        heapq.heappush(idle[size], end)
        if len(running) > concurrency:
            return False
        if len(cold[size]) > ramp and cold[size][-1] - cold[size][-1 - ramp] < RAMP_MS:
            return False
    return True


def _memory_holds(compiled: Compiled, new: Timetable) -> bool:
    """Return whether the tasks that are on a node at once fit its memory; cores are seen to."""
    a = compiled.arrays
    changes = sorted(
        (moment, int(new.node[task]), change)
        for task in np.flatnonzero(new.node != NO_WORKER)
        for moment, change in (
            (int(new.end_ms[task]), -int(a.memory[task])),
            (int(new.start_ms[task]), int(a.memory[task])),
        )
    )
    used: dict[int, int] = defaultdict(int)
    for _, node, change in changes:
        used[node] += change
        if used[node] > a.node_memory[new.node_type[node]]:
            return False
    return True
