"""Plays a timetable through at given starts: transfers, cold starts and ends follow from them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import replace

import numpy as np

from placement.engine.compiled import NEVER, Compiled, Floats, Ints
from placement.engine.jit import njit
from placement.engine.listscheduler import RAMP_MS
from placement.engine.timetable import NO_WORKER, Timetable
from placement.engine.transfers import is_there, moving_ms, new_table, put_there


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
    order = np.argsort(starts, kind="stable")
    # They begin elsewhere, and take as long.
    new.end_ms[:] += starts - table.start_ms
    _replay_nodes(compiled, new, order)
    if not _replay_functions(compiled, new, order.tolist()) or not _memory_holds(compiled, new):
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


def _replay_nodes(compiled: Compiled, new: Timetable, order: Ints) -> None:
    """Set transfers and ends of the tasks on nodes, by the files that are there at their starts."""
    a = compiled.arrays
    on_node = np.flatnonzero(new.node != NO_WORKER)
    kind = new.node_type[new.node[on_node]]
    share = np.minimum(1.0, a.cores[on_node] / a.vcpus[kind])
    rate = np.zeros(len(new.node))
    rate[on_node] = np.minimum(a.figures[3], a.node_mb_per_s[kind] * share)
    _bring(
        order,
        new.node,
        new.start_ms,
        new.startup_ms,
        new.in_ms,
        new.end_ms,
        rate,
        a.in_ptr,
        a.in_idx,
        a.out_ptr,
        a.out_idx,
        a.file_bytes,
        float(a.figures[0]),
        float(a.figures[2]),
    )


@njit(cache=True)
def _bring(
    order: Ints,
    node: Ints,
    start_ms: Ints,
    startup_ms: Ints,
    in_ms: Ints,
    end_ms: Ints,
    mb_per_s: Floats,
    in_ptr: Ints,
    in_idx: Ints,
    out_ptr: Ints,
    out_idx: Ints,
    file_bytes: Ints,
    get_s: float,
    at_once: float,
) -> None:
    """Work transfers and ends out anew, with ends as they were less transfers as they were."""
    files = file_bytes.shape[0]
    there = new_table(in_idx.shape[0] + out_idx.shape[0])
    for task in order:
        here, start = node[task], start_ms[task]
        if here == NO_WORKER:
            continue
        lacking, size = 0, 0
        for k in range(in_ptr[task], in_ptr[task + 1]):
            if not is_there(there, files, here, in_idx[k], start):
                lacking += 1
                size += file_bytes[in_idx[k]]
        brings_ms = moving_ms(lacking, size, get_s, at_once, mb_per_s[task])
        end_ms[task] += brings_ms - in_ms[task]
        in_ms[task] = brings_ms
        for k in range(in_ptr[task], in_ptr[task + 1]):
            put_there(there, files, here, in_idx[k], start + startup_ms[task] + brings_ms)
        for k in range(out_ptr[task], out_ptr[task + 1]):
            put_there(there, files, here, out_idx[k], end_ms[task])


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
