"""HEFT: list scheduling by upward ranks, with insertion.

Source: H. Topcuoglu, S. Hariri, M.-Y. Wu, "Performance-Effective and Low-Complexity Task Scheduling
for Heterogeneous Computing", IEEE TPDS 13(3), 2002, doi:10.1109/71.993206.

Notation: w(i) is the mean time of task i over the places that may run it; a place is a node, or all
of Lambda. c(i, j) is the mean time that j takes to bring the files that i makes: none on the node
that made them, so (1 - 1 / nodes) of bringing them. On Lambda all files are brought always; that is
part of w. The upward rank of a task is

    rank(i) = w(i) + max over successors j of (c(i, j) + rank(j)).

In the order of falling ranks each task gets the place and the time at which it ends first, in gaps
between tasks too, if it fits there. Of places where it ends at the same time it gets the first
node, and a node before Lambda.

Objective: the makespan; money only decides between sizes of Lambda that are equally fast. It
differs from the paper where the model does: a node runs several tasks at once, as its vCPUs and
memory allow; bringing files is part of a task's own time on its node, and files that are there
already are not brought again; Lambda has as many slots as the account's concurrency, all of them
cold. What really starts when is the simulator's to say.

Complexity: O(e + f + t v s) for t tasks, v nodes, e edges and f entries in lists of files; s, what
a search for a gap looks at, is the number of changes in what a node has free, after the time at
which the task is ready and not counting times in which nothing would fit at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from placement.engine.compiled import NEVER, Floats, Ints
from placement.engine.jit import njit
from placement.engine.listscheduler import (
    K_BOOT,
    K_MEMORY,
    K_START,
    K_VCPUS,
    L_CONCURRENCY,
    L_GAP,
    L_INIT,
    L_START,
    T_CORES,
    T_INS,
    T_MEMORY,
    T_OUTS,
    T_PREDS,
    Work,
    missing_inputs,
    times_on_node,
)
from placement.engine.policies.sizes import fastest_sizes
from placement.engine.simulator import Assignment
from placement.engine.timetable import NO_WORKER
from placement.engine.transfers import is_there, new_table, put_there

# Where a task may go.
ON_NODES, ON_LAMBDA, ANYWHERE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes (v): the column of each one's type, and when it is launched, in ms."""

    node_type: Ints
    launch_ms: Ints


def heft(w: Work, cluster: Cluster, where: Ints, *, whole_run: bool) -> Assignment:
    """Assign all tasks to nodes of a cluster and to Lambda at its fastest size.

    `where` says of every task whether it may go to ON_NODES, ON_LAMBDA or ANYWHERE. `whole_run` is
    handed on to the assignment. Raises ValueError where a task fits none of its places.
    """
    sizes = fastest_sizes(w)
    kinds, counts = np.unique(cluster.node_type, return_counts=True)
    work, bring = _mean_times(w, kinds, counts, where, sizes)
    ranks = upward_ranks(w.tasks[:, T_PREDS].copy(), w.links, work, bring)
    order = np.argsort(-ranks, kind="stable")
    planned = _plan(w, order, cluster.node_type, cluster.launch_ms, where, sizes)
    node, start = planned[:, P_NODE].copy(), planned[:, P_START]
    if start.max() >= NEVER:
        raise ValueError(f"task {int(np.argmax(start))} fits none of its places")
    turn = np.empty(len(order), dtype=np.int64)
    turn[order[np.argsort(start[order], kind="stable")]] = np.arange(len(order))
    return Assignment(
        node=node,
        size=np.where(node == NO_WORKER, sizes, NO_WORKER),
        priority=turn,
        node_type=cluster.node_type,
        launch_ms=cluster.launch_ms,
        whole_run=whole_run,
    )


@njit(cache=True)
def upward_ranks(pred_ptr: Ints, preds: Ints, work: Floats, bring: Floats) -> Floats:
    """Return the upward rank of every task (t), for tasks in topological order.

    The predecessors of task j are the entries of `preds` from `pred_ptr[j]` to `pred_ptr[j + 1]`,
    and the same entries of `bring` say what each of these edges takes. `work` is by task.
    """
    ranks = np.zeros(work.shape[0])
    for j in range(work.shape[0] - 1, -1, -1):
        ranks[j] += work[j]
        for k in range(pred_ptr[j], pred_ptr[j + 1]):
            ranks[preds[k]] = max(ranks[preds[k]], bring[k] + ranks[j])
    return ranks


@njit(cache=True)
def _mean_times(
    w: Work, kinds: Ints, counts: Ints, where: Ints, sizes: Ints
) -> tuple[Floats, Floats]:
    """Return w(i) of every task and c(i, j) of every edge, in ms; `kinds` and how many of each."""
    n, all_nodes = where.shape[0], 0
    for count in counts:
        all_nodes += count
    maker = np.full(w.files.shape[0], NO_WORKER, np.int64)
    for task in range(n):
        for k in range(w.tasks[task, T_OUTS], w.tasks[task + 1, T_OUTS]):
            maker[w.links[k]] = task
    work, bring = np.zeros(n), np.zeros(w.tasks[n, T_PREDS])
    # Number and bytes of the files that one task makes for another; 0 between tasks.
    made = np.zeros((n, 2), np.int64)
    for task in range(n):
        given = _share_out(w, maker, made, task)
        nodes, ms = _mean_on_nodes(w, kinds, counts, where, task, given[0], given[1], True)
        places = nodes
        if where[task] & ON_LAMBDA and sizes[task] != NO_WORKER:
            ms += w.limits[L_GAP] + w.limits[L_INIT] + w.lambda_ms[task, sizes[task]]
            places += 1
        work[task] = ms / max(1, places)
        for k in range(w.tasks[task, T_PREDS], w.tasks[task + 1, T_PREDS]):
            count, size = made[w.links[k], 0], made[w.links[k], 1]
            if nodes > 0 and count > 0:
                _, ms = _mean_on_nodes(w, kinds, counts, where, task, count, size, False)
                bring[k] = ms / places * (1 - 1 / all_nodes)
        for k in range(w.tasks[task, T_INS], w.tasks[task + 1, T_INS]):
            if maker[w.links[k]] != NO_WORKER:
                made[maker[w.links[k]], 0] = made[maker[w.links[k]], 1] = 0
    return work, bring


@njit(cache=True)
def _share_out(w: Work, maker: Ints, made: Ints, task: int) -> tuple[int, int]:
    """Count a task's inputs with those who make them; return those that nobody makes."""
    given_count, given_bytes = 0, 0
    for k in range(w.tasks[task, T_INS], w.tasks[task + 1, T_INS]):
        file = w.links[k]
        if maker[file] == NO_WORKER:
            given_count += 1
            given_bytes += w.files[file, 0]
        else:
            made[maker[file], 0] += 1
            made[maker[file], 1] += w.files[file, 0]
    return given_count, given_bytes


@njit(cache=True)
def _mean_on_nodes(
    w: Work, kinds: Ints, counts: Ints, where: Ints, task: int, count: int, size: int, whole: bool
) -> tuple[int, float]:
    """Return how many nodes may run a task, and the sum of its times on them (ms).

    Its times with so many inputs to bring: the `whole` task, or bringing alone.
    """
    nodes, total = 0, 0.0
    if where[task] & ON_NODES:
        for y in range(kinds.shape[0]):
            if w.fits[task, kinds[y]]:
                in_ms, all_ms = times_on_node(w, task, kinds[y], count, size)
                nodes += counts[y]
                total += counts[y] * (all_ms if whole else in_ms)
    return nodes, total


class _Plan(NamedTuple):
    """What HEFT keeps while it plans; the last place is Lambda, which has slots as its cores.

    `tasks` (t, P_*); `places` (v + 1, V_*). What a place has free from when on are steps: rows of
    `steps` (X_*), for place p from V_FIRST on, V_USED of them; the last never ends and has all
    free. Nothing is free before V_OPENS. Where not even the smallest task would fit, cores and
    memory are 0, so that such times become one step. `holders` are linked lists of nodes that hold
    a file: `heads` has the first entry for each file, an entry its node and the next entry.
    `table`: since when. `scalars` (C_*).
    """

    tasks: Ints
    places: Ints
    steps: Ints
    heads: Ints
    holders: Ints
    table: Ints
    scalars: Ints


P_NODE, P_START, P_END = range(3)
V_KIND, V_OPENS, V_FIRST, V_USED, V_ROOM, V_HELPS = range(6)
X_AT, X_CORES, X_MEMORY = range(3)
C_STEPS, C_HOLDERS, C_LEAST_CORES, C_LEAST_MEMORY = range(4)
_FIRST_ROOM = 8


@njit(cache=True)
def _plan(w: Work, order: Ints, kinds: Ints, launch: Ints, where: Ints, sizes: Ints) -> Ints:
    """Return where each task goes and when HEFT thinks it starts (t, P_*); NEVER: nowhere."""
    p = _empty_plan(w, kinds, launch)
    for task in order:
        ready = w.limits[L_START]
        for k in range(w.tasks[task, T_PREDS], w.tasks[task + 1, T_PREDS]):
            ready = max(ready, p.tasks[w.links[k], P_END])
        place, start, end, in_ms = NO_WORKER, NEVER, NEVER, 0
        if where[task] & ON_NODES:
            _find_holders(w, p, task)
            place, start, end, in_ms = _best_node(w, p, task, ready)
        if where[task] & ON_LAMBDA and sizes[task] != NO_WORKER:
            ms = w.limits[L_INIT] + w.lambda_ms[task, sizes[task]]
            on_lambda = kinds.shape[0]
            first, used = p.places[on_lambda, V_FIRST], p.places[on_lambda, V_USED]
            soonest = _fit(p.steps, first, used, ready + w.limits[L_GAP], ms, 1, 0)
            if soonest + ms < end:
                place, start, end = on_lambda, soonest, soonest + ms
        if place == NO_WORKER:
            break
        _settle(w, p, task, place, start, end, in_ms)
    return p.tasks


@njit(cache=True)
def _empty_plan(w: Work, kinds: Ints, launch: Ints) -> _Plan:
    n, v = w.tasks.shape[0] - 1, kinds.shape[0]
    entries = w.links.shape[0] - w.tasks[0, T_INS]
    tasks, places = np.full((n, 3), NEVER, np.int64), np.zeros((v + 1, 6), np.int64)
    for task in range(n):
        tasks[task, P_NODE] = NO_WORKER
    # A task adds two steps at most. Steps that have no room left move to twice the room, so that
    # all room that a place ever had is at most twice what it has last.
    steps = np.empty((3 * _FIRST_ROOM * (v + 1) + 16 * n, 3), np.int64)
    for place in range(v + 1):
        first = place * _FIRST_ROOM
        places[place, V_FIRST], places[place, V_USED] = first, 1
        places[place, V_ROOM], places[place, V_HELPS] = _FIRST_ROOM, NO_WORKER
        if place < v:
            kind = kinds[place]
            places[place, V_KIND] = kind
            places[place, V_OPENS] = launch[place] + int(w.kinds[kind, K_BOOT])
            steps[first, X_CORES] = int(w.kinds[kind, K_VCPUS])
            steps[first, X_MEMORY] = int(w.kinds[kind, K_MEMORY])
        else:
            steps[first, X_CORES], steps[first, X_MEMORY] = w.limits[L_CONCURRENCY], 0
        steps[first, X_AT] = places[place, V_OPENS]
    scalars = np.zeros(4, np.int64)
    scalars[C_STEPS] = _FIRST_ROOM * (v + 1)
    scalars[C_LEAST_CORES] = scalars[C_LEAST_MEMORY] = NEVER
    for task in range(n):
        scalars[C_LEAST_CORES] = min(scalars[C_LEAST_CORES], w.tasks[task, T_CORES])
        scalars[C_LEAST_MEMORY] = min(scalars[C_LEAST_MEMORY], w.tasks[task, T_MEMORY])
    heads = np.full(w.files.shape[0], NO_WORKER, np.int64)
    holders = np.empty((entries, 2), np.int64)
    return _Plan(tasks, places, steps, heads, holders, new_table(entries), scalars)


@njit(cache=True)
def _best_node(w: Work, p: _Plan, task: int, ready: int) -> tuple[int, int, int, int]:
    """Return the node on which a task ends first, its start and end there, its transfer in."""
    best, best_start, best_end, best_in = NO_WORKER, NEVER, NEVER, 0
    cores, memory = w.tasks[task, T_CORES], w.tasks[task, T_MEMORY]
    every, every_bytes, _ = missing_inputs(w, p.table, task, NO_WORKER, 0)
    # Many nodes lack the same: the last answers are kept.
    kind, fits, all_in, all_ms = NO_WORKER, False, 0, 0
    lacked, lacked_bytes, some_in = -1, 0, 0
    for node in range(p.places.shape[0] - 1):
        if p.places[node, V_KIND] != kind:
            kind, lacked = p.places[node, V_KIND], -1
            fits = w.fits[task, kind]
            all_in, all_ms = times_on_node(w, task, kind, every, every_bytes)
        if not fits:
            continue
        helps = p.places[node, V_HELPS] == task
        in_ms = 0 if helps else all_in
        ms = all_ms - all_in + in_ms
        start = max(ready, p.places[node, V_OPENS])
        first, used = p.places[node, V_FIRST], p.places[node, V_USED]
        if start + ms >= best_end:
            continue
        start = _fit(p.steps, first, used, start, ms, cores, memory)
        # A node that has files is taken to have all at first. Then what it has at the start decides
        # how long the task takes, and that when it can start: the second time more may be there.
        for _ in range(2 if helps else 0):
            if start + ms >= best_end:
                break
            count, size, _ = missing_inputs(w, p.table, task, node, start)
            if count != lacked or size != lacked_bytes:
                lacked, lacked_bytes = count, size
                some_in, _ = times_on_node(w, task, kind, count, size)
            in_ms, ms = some_in, all_ms - all_in + some_in
            later = _fit(p.steps, first, used, start, ms, cores, memory)
            if later == start:
                break
            start = later
        if start + ms < best_end:
            best, best_start, best_end, best_in = node, start, start + ms, in_ms
    return best, best_start, best_end, best_in


@njit(cache=True)
def _settle(w: Work, p: _Plan, task: int, place: int, start: int, end: int, in_ms: int) -> None:
    """Give a task its place."""
    p.tasks[task, P_START], p.tasks[task, P_END] = start, end
    if place == p.places.shape[0] - 1:
        _take(p, place, start, end, 1, 0)
        return
    p.tasks[task, P_NODE] = place
    _take(p, place, start, end, w.tasks[task, T_CORES], w.tasks[task, T_MEMORY])
    brought = start + int(w.kinds[p.places[place, V_KIND], K_START]) + in_ms
    for k in range(w.tasks[task, T_INS], w.tasks[task + 1, T_INS]):
        _keep(w, p, place, w.links[k], brought)
    for k in range(w.tasks[task, T_OUTS], w.tasks[task + 1, T_OUTS]):
        _keep(w, p, place, w.links[k], end)


# which node holds what


@njit(cache=True)
def _find_holders(w: Work, p: _Plan, task: int) -> None:
    """Mark the nodes that hold an input of a task at some time."""
    for k in range(w.tasks[task, T_INS], w.tasks[task + 1, T_INS]):
        entry = p.heads[w.links[k]]
        while entry != NO_WORKER:
            p.places[p.holders[entry, 0], V_HELPS] = task
            entry = p.holders[entry, 1]


@njit(cache=True)
def _keep(w: Work, p: _Plan, node: int, file: int, since: int) -> None:
    """Keep a file on a node from some moment on."""
    files = w.files.shape[0]
    if not is_there(p.table, files, node, file, NEVER):
        entry = p.scalars[C_HOLDERS]
        p.scalars[C_HOLDERS] += 1
        p.holders[entry, 0], p.holders[entry, 1] = node, p.heads[file]
        p.heads[file] = entry
    put_there(p.table, files, node, file, since)


# what is free when


@njit(cache=True)
def _step_at(steps: Ints, first: int, used: int, when: int) -> int:
    """Return the last of a place's steps that begins at that time or before."""
    low, high = first, first + used
    while high - low > 1:
        middle = (low + high) // 2
        if steps[middle, X_AT] <= when:
            low = middle
        else:
            high = middle
    return int(low)


@njit(cache=True)
def _fit(
    steps: Ints, first: int, used: int, earliest: int, ms: int, cores: int, memory: int
) -> int:
    """Return the earliest time from which a place has so much free for so long."""
    start = earliest
    for k in range(_step_at(steps, first, used, earliest), first + used - 1):
        if steps[k, X_CORES] < cores or steps[k, X_MEMORY] < memory:
            start = steps[k + 1, X_AT]
        elif steps[k + 1, X_AT] >= start + ms:
            break
    return int(start)


@njit(cache=True)
def _take(p: _Plan, place: int, start: int, end: int, cores: int, memory: int) -> None:
    """Take cores and memory of a place for a time; what then suits no task counts as nothing."""
    if end <= start:
        return
    _cut(p, place, end)
    k = low = _cut(p, place, start)
    on_lambda = place == p.places.shape[0] - 1
    least_cores = 1 if on_lambda else p.scalars[C_LEAST_CORES]
    least_memory = 0 if on_lambda else p.scalars[C_LEAST_MEMORY]
    while p.steps[k, X_AT] < end:
        p.steps[k, X_CORES] -= cores
        p.steps[k, X_MEMORY] -= memory
        if p.steps[k, X_CORES] < least_cores or p.steps[k, X_MEMORY] < least_memory:
            p.steps[k, X_CORES] = p.steps[k, X_MEMORY] = 0
        k += 1
    _join(p, place, low, k)
    first = p.places[place, V_FIRST]
    if p.steps[first, X_CORES] == 0:
        p.places[place, V_OPENS] = p.steps[first + 1, X_AT]


@njit(cache=True)
def _copy(steps: Ints, old: int, new: int) -> None:
    # Column by column: to copy rows as slices takes seconds to compile.
    for column in range(steps.shape[1]):
        steps[new, column] = steps[old, column]


@njit(cache=True)
def _cut(p: _Plan, place: int, when: int) -> int:
    """Make a step begin at that time; return it."""
    k = _step_at(p.steps, p.places[place, V_FIRST], p.places[place, V_USED], when)
    if p.steps[k, X_AT] == when:
        return k
    if p.places[place, V_USED] == p.places[place, V_ROOM]:
        k += _move(p, place)
    for i in range(p.places[place, V_FIRST] + p.places[place, V_USED], k, -1):
        _copy(p.steps, i - 1, i)
    p.steps[k + 1, X_AT] = when
    p.places[place, V_USED] += 1
    return k + 1


@njit(cache=True)
def _move(p: _Plan, place: int) -> int:
    """Move the steps of a place to where they have twice the room; return by how much."""
    old, new, used = p.places[place, V_FIRST], p.scalars[C_STEPS], p.places[place, V_USED]
    for i in range(used):
        _copy(p.steps, old + i, new + i)
    p.places[place, V_FIRST] = new
    p.places[place, V_ROOM] *= 2
    p.scalars[C_STEPS] += p.places[place, V_ROOM]
    return int(new - old)


@njit(cache=True)
def _join(p: _Plan, place: int, low: int, high: int) -> None:
    """Join the steps from `low` to `high` with the one before where as much is free."""
    first = p.places[place, V_FIRST]
    last = first + p.places[place, V_USED]
    kept = max(low - 1, first)
    for k in range(kept + 1, last):
        cores, memory = p.steps[k, X_CORES], p.steps[k, X_MEMORY]
        if k <= high and cores == p.steps[kept, X_CORES] and memory == p.steps[kept, X_MEMORY]:
            continue
        kept += 1
        if kept == k and k > high:
            return
        _copy(p.steps, k, kept)
    p.places[place, V_USED] = kept + 1 - first
