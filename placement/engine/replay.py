"""Plays a timetable through at given starts: transfers, cold starts and ends follow from them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import replace

import numpy as np

from placement.engine.compiled import NEVER, Compiled, Ints
from placement.engine.listscheduler import RAMP_MS
from placement.engine.timetable import NO_WORKER, Timetable
from placement.engine.transfers import moving_ms


def replayed(
    compiled: Compiled, table: Timetable, starts: Ints, deadline_ms: int
) -> Timetable | None:
    """Return the timetable with these starts; None: it would be late, or break a limit.

    Looked at are the deadline, Lambda's limits and the memory of nodes; that tasks start after
    their predecessors and find free cores is the caller's.
    """
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
        return None
    on_node, nodes = new.node != NO_WORKER, len(new.node_type)
    first = np.full(nodes, NEVER, dtype=np.int64)
    last = np.zeros(nodes, dtype=np.int64)
    np.minimum.at(first, new.node[on_node], new.start_ms[on_node])
    np.maximum.at(last, new.node[on_node], new.end_ms[on_node])
    makespan = int(new.end_ms.max()) + compiled.run_end_ms
    launch = first - compiled.arrays.boot_ms[new.node_type]
    settled = replace(new, launch_ms=launch, release_ms=last, makespan_ms=makespan)
    return settled if makespan <= deadline_ms else None


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
