"""The simulator: plays a run through whose every task already has its place.

All policies that decide beforehand are judged by it, so that they differ in what they decide and in
nothing else. It goes from event to event in the order of time:

- A node starts the ready tasks that are assigned to it in the order of their priorities, each as
  soon as enough of its vCPUs and memory are free. A task may overtake tasks before it that are not
  ready yet, and never one that is ready and lacks room.
- A task on Lambda is ready one gap between states after its last predecessor. Ready tasks start in
  the order of their priorities while the account's concurrency lasts: in an environment of their
  function that is idle, else in a new one where the function may still add one in these ten
  seconds. A task whose function may not is overtaken by tasks of other functions.
- Files that are on a node when a task starts there are not brought again.

Complexity: O(t log t + e + f) for t tasks, e edges and f entries in lists of files.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from placement.engine.compiled import NEVER, Ints
from placement.engine.jit import njit
from placement.engine.listscheduler import (
    K_BOOT,
    K_MEMORY,
    K_START,
    K_VCPUS,
    L_CONCURRENCY,
    L_END,
    L_GAP,
    L_INIT,
    L_RAMP,
    L_START,
    RAMP_MS,
    T_CORES,
    T_INS,
    T_MEMORY,
    T_OUTS,
    T_PREDS,
    T_SUCCS,
    Work,
    missing_inputs,
    times_on_node,
)
from placement.engine.timetable import NO_WORKER, Timetable
from placement.engine.transfers import is_there, new_table, put_there


@dataclass(frozen=True, slots=True)
class Assignment:
    """A place for every task (t), and the nodes (v) that there are.

    A task goes to `node[t]`, or, where that is NO_WORKER, to Lambda at `size[t]`. Of tasks that
    wait for the same place the one with the smallest `priority` comes first, of equals the one
    that is first in the graph. `whole_run`: all nodes are kept until the last task of the run has
    ended; otherwise each until its own last task has, and a node without tasks is not launched.
    """

    node: Ints
    size: Ints
    priority: Ints
    node_type: Ints
    launch_ms: Ints
    whole_run: bool = False


@dataclass(frozen=True, slots=True)
class Simulated:
    """A timetable, and what of its cost does not stand in it.

    `get_requests`: what tasks on nodes fetch, in requests; `disk_bytes`: the files on each node.
    """

    table: Timetable
    get_requests: int
    disk_bytes: Ints


def play_assignment(w: Work, assignment: Assignment) -> Simulated:
    """Return what an assignment leads to, with the figures that its cost needs.

    Raises ValueError where a task is assigned to a place that cannot run it.
    """
    _check(w, assignment)
    nodes = len(assignment.node_type)
    queue = np.where(assignment.node == NO_WORKER, nodes + assignment.size, assignment.node)
    order = np.argsort(assignment.priority, kind="stable")
    s = _play(w, queue, order, assignment.node_type, assignment.launch_ms)
    return _with_leases(w, assignment, s)


def _check(w: Work, assignment: Assignment) -> None:
    node, size = assignment.node, assignment.size
    on_node, called = np.flatnonzero(node != NO_WORKER), np.flatnonzero(size != NO_WORKER)
    fits = np.zeros(len(node), dtype=np.bool_)
    fits[called] = w.lambda_ms[called, size[called]] < NEVER
    fits[on_node] = w.fits[on_node, assignment.node_type[node[on_node]]]
    if not fits.all():
        raise ValueError(f"task {int(np.argmin(fits))} is assigned to a place that cannot run it")


def _with_leases(w: Work, assignment: Assignment, s: _State) -> Simulated:
    on_node = assignment.node != NO_WORKER
    kinds, launch, ends = assignment.node_type, assignment.launch_ms, s.tasks[:, S_END].copy()
    last = np.full(len(kinds), -1, dtype=np.int64)
    np.maximum.at(last, assignment.node[on_node], ends[on_node])
    kept = last >= 0
    if assignment.whole_run:
        kept[:] = True
        last[:] = ends.max()
    ready = launch + w.kinds[kinds, K_BOOT].astype(np.int64)
    node = np.full(len(on_node), NO_WORKER, dtype=np.int64)
    node[on_node] = (np.cumsum(kept) - 1)[assignment.node[on_node]]
    table = Timetable(
        start_ms=s.tasks[:, S_START].copy(),
        startup_ms=s.tasks[:, S_STARTUP].copy(),
        in_ms=s.tasks[:, S_IN].copy(),
        end_ms=ends,
        node=node,
        size=np.where(on_node, NO_WORKER, assignment.size),
        node_type=kinds[kept],
        launch_ms=launch[kept],
        release_ms=np.maximum(last, ready)[kept],
        makespan_ms=int(ends.max() + w.limits[L_END]),
    )
    return Simulated(table, int(s.scalars[C_GETS]), s.nodes[kept, N_DISK])


class _State(NamedTuple):
    """What the simulator keeps while it plays.

    `scalars` (C_*), `tasks` (t, S_*), `nodes` (v, N_*). `order`: tasks by priority, and S_TURN a
    task's position in it. Queues, one per node and then one per Lambda size, are binary heaps of
    such positions: queue q is `heap[queues[q, 0]]` and `queues[q, 1] - 1` entries after it.
    `changed`: the first C_CHANGED are nodes for which something changed in this moment.
    `functions` (s, F_*); `cold_starts` (s, ramp): when the last of them were, as a ring; `table`:
    which file is on which node.
    """

    scalars: Ints
    tasks: Ints
    nodes: Ints
    order: Ints
    heap: Ints
    queues: Ints
    changed: Ints
    functions: Ints
    cold_starts: Ints
    table: Ints


C_ON_LAMBDA, C_GETS, C_CHANGED, C_LAMBDA_CHANGED = range(4)
S_START, S_STARTUP, S_IN, S_END, S_QUEUE, S_TURN, S_WAITS_FOR = range(7)
N_KIND, N_UP, N_CORES, N_MEMORY, N_DISK, N_CHANGED = range(6)
# Idle environments, cold starts so far, and when a function that may not grow is looked at again.
F_IDLE, F_COLD, F_WAKE = range(3)

# An event is a moment, what it is, and which task or node it is about.
type Events = list[tuple[int, int, int]]
_ENDED, _READY, _UP, _WAKE = range(4)


@njit(cache=True)
def _play(w: Work, queue: Ints, order: Ints, kinds: Ints, launch: Ints) -> _State:
    """Play the run through; `queue` of every task, tasks in the `order` of their priorities."""
    s = _new_state(w, queue, order, kinds, launch)
    events = [(s.nodes[node, N_UP], _UP, node) for node in range(kinds.shape[0])]
    heapq.heapify(events)
    for task in range(queue.shape[0]):
        if s.tasks[task, S_WAITS_FOR] == 0:
            _wait_for_state(w, s, events, task, w.limits[L_START])
    while len(events) > 0:
        now = events[0][0]
        while len(events) > 0 and events[0][0] == now:
            _, what, which = heapq.heappop(events)
            _take_note(w, s, events, what, which, now)
        for k in range(s.scalars[C_CHANGED]):
            node = s.changed[k]
            s.nodes[node, N_CHANGED] = 0
            if s.nodes[node, N_UP] <= now:
                _start_on_node(w, s, events, node, now)
        if s.scalars[C_LAMBDA_CHANGED] > 0:
            _start_on_lambda(w, s, events, now)
        s.scalars[C_CHANGED] = s.scalars[C_LAMBDA_CHANGED] = 0
    return s


@njit(cache=True)
def _new_state(w: Work, queue: Ints, order: Ints, kinds: Ints, launch: Ints) -> _State:
    n, v, sizes = queue.shape[0], kinds.shape[0], w.lambda_ms.shape[1]
    tasks, nodes = np.zeros((n, 7), np.int64), np.zeros((v, 6), np.int64)
    queues = np.zeros((v + sizes, 2), np.int64)
    for turn in range(n):
        tasks[order[turn], S_TURN] = turn
    for task in range(n):
        tasks[task, S_QUEUE] = queue[task]
        tasks[task, S_WAITS_FOR] = w.tasks[task + 1, T_PREDS] - w.tasks[task, T_PREDS]
        if queue[task] + 1 < v + sizes:
            queues[queue[task] + 1, 0] += 1
    for each in range(1, v + sizes):
        queues[each, 0] += queues[each - 1, 0]
    for node in range(v):
        kind = kinds[node]
        nodes[node, N_KIND] = kind
        nodes[node, N_UP] = launch[node] + int(w.kinds[kind, K_BOOT])
        nodes[node, N_CORES] = int(w.kinds[kind, K_VCPUS])
        nodes[node, N_MEMORY] = int(w.kinds[kind, K_MEMORY])
    return _State(
        np.zeros(4, np.int64),
        tasks,
        nodes,
        order,
        np.empty(n, np.int64),
        queues,
        np.empty(v, np.int64),
        np.zeros((sizes, 3), np.int64),
        np.full((sizes, max(1, w.limits[L_RAMP])), -NEVER, np.int64),
        new_table(w.links.shape[0] - w.tasks[0, T_INS]),
    )


@njit(cache=True)
def _wait_for_state(w: Work, s: _State, events: Events, task: int, now: int) -> None:
    """Make a task ready whose last predecessor has just ended."""
    gap = w.limits[L_GAP] if s.tasks[task, S_QUEUE] >= s.nodes.shape[0] else 0
    heapq.heappush(events, (now + gap, _READY, task))


@njit(cache=True)
def _take_note(w: Work, s: _State, events: Events, what: int, which: int, now: int) -> None:
    """Take note of an event, and of the place for which it changes something."""
    if what == _WAKE:
        s.scalars[C_LAMBDA_CHANGED] = 1
        return
    queue = which if what == _UP else s.tasks[which, S_QUEUE]
    if what == _READY:
        _push(s.heap, s.queues, queue, s.tasks[which, S_TURN])
    elif what == _ENDED:
        if queue < s.nodes.shape[0]:
            s.nodes[queue, N_CORES] += w.tasks[which, T_CORES]
            s.nodes[queue, N_MEMORY] += w.tasks[which, T_MEMORY]
        else:
            s.scalars[C_ON_LAMBDA] -= 1
            s.functions[queue - s.nodes.shape[0], F_IDLE] += 1
        for k in range(w.tasks[which, T_SUCCS], w.tasks[which + 1, T_SUCCS]):
            later = w.links[k]
            s.tasks[later, S_WAITS_FOR] -= 1
            if s.tasks[later, S_WAITS_FOR] == 0:
                _wait_for_state(w, s, events, later, now)
    if queue >= s.nodes.shape[0]:
        s.scalars[C_LAMBDA_CHANGED] = 1
    elif s.nodes[queue, N_CHANGED] == 0:
        s.nodes[queue, N_CHANGED] = 1
        s.changed[s.scalars[C_CHANGED]] = queue
        s.scalars[C_CHANGED] += 1


# queues; functions that are called often get only the arrays that they need


@njit(cache=True)
def _first(heap: Ints, queues: Ints, queue: int) -> int:
    """Return the turn of a queue's first task; NEVER: it is empty."""
    return int(heap[queues[queue, 0]]) if queues[queue, 1] > 0 else NEVER


@njit(cache=True)
def _push(heap: Ints, queues: Ints, queue: int, turn: int) -> None:
    base, at = queues[queue, 0], queues[queue, 1]
    queues[queue, 1] += 1
    while at > 0 and heap[base + (at - 1) // 2] > turn:
        heap[base + at] = heap[base + (at - 1) // 2]
        at = (at - 1) // 2
    heap[base + at] = turn


@njit(cache=True)
def _pop(heap: Ints, queues: Ints, queue: int) -> None:
    """Take the first task out of a queue."""
    queues[queue, 1] -= 1
    base, length = queues[queue, 0], queues[queue, 1]
    moved, at, below = heap[base + length], 0, 1
    while below < length:
        if below + 1 < length and heap[base + below + 1] < heap[base + below]:
            below += 1
        if moved <= heap[base + below]:
            break
        heap[base + at] = heap[base + below]
        at, below = below, 2 * below + 1
    heap[base + at] = moved


# starts


@njit(cache=True)
def _start_on_node(w: Work, s: _State, events: Events, node: int, now: int) -> None:
    """Start on a node what is ready and has room, in the order of the priorities."""
    kind = s.nodes[node, N_KIND]
    while s.queues[node, 1] > 0:
        task = s.order[s.heap[s.queues[node, 0]]]
        cores, memory = w.tasks[task, T_CORES], w.tasks[task, T_MEMORY]
        if s.nodes[node, N_CORES] < cores or s.nodes[node, N_MEMORY] < memory:
            return
        _pop(s.heap, s.queues, node)
        count, size, parts = missing_inputs(w, s.table, task, node, now)
        in_ms, ms = times_on_node(w, task, kind, count, size)
        start_ms = int(w.kinds[kind, K_START])
        s.tasks[task, S_START], s.tasks[task, S_STARTUP] = now, start_ms
        s.tasks[task, S_IN], s.tasks[task, S_END] = in_ms, now + ms
        s.scalars[C_GETS] += parts
        s.nodes[node, N_CORES] -= cores
        s.nodes[node, N_MEMORY] -= memory
        for k in range(w.tasks[task, T_INS], w.tasks[task + 1, T_INS]):
            s.nodes[node, N_DISK] += _kept(
                s.table, w.files, node, w.links[k], now + start_ms + in_ms
            )
        for k in range(w.tasks[task, T_OUTS], w.tasks[task + 1, T_OUTS]):
            s.nodes[node, N_DISK] += _kept(s.table, w.files, node, w.links[k], now + ms)
        heapq.heappush(events, (now + ms, _ENDED, task))


@njit(cache=True)
def _kept(table: Ints, files: Ints, node: int, file: int, since: int) -> int:
    """Keep a file on a node from some moment on; return by how many bytes that fills its disk."""
    new = not is_there(table, files.shape[0], node, file, NEVER)
    put_there(table, files.shape[0], node, file, since)
    return int(files[file, 0]) if new else 0


@njit(cache=True)
def _start_on_lambda(w: Work, s: _State, events: Events, now: int) -> None:
    """Start on Lambda what may start now, in the order of the priorities."""
    while s.scalars[C_ON_LAMBDA] < w.limits[L_CONCURRENCY]:
        size = _next_size(s, events, now)
        if size == NO_WORKER:
            return
        queue = s.nodes.shape[0] + size
        task = s.order[s.heap[s.queues[queue, 0]]]
        _pop(s.heap, s.queues, queue)
        if s.functions[size, F_IDLE] > 0:
            s.functions[size, F_IDLE] -= 1
        else:
            s.tasks[task, S_STARTUP] = w.limits[L_INIT]
            s.cold_starts[size, s.functions[size, F_COLD] % s.cold_starts.shape[1]] = now
            s.functions[size, F_COLD] += 1
        s.scalars[C_ON_LAMBDA] += 1
        end = now + s.tasks[task, S_STARTUP] + w.lambda_ms[task, size]
        s.tasks[task, S_START], s.tasks[task, S_END] = now, end
        heapq.heappush(events, (end, _ENDED, task))


@njit(cache=True)
def _next_size(s: _State, events: Events, now: int) -> int:
    """Return the size whose first task comes next of those that may start; NO_WORKER: none.

    A function that may not grow now is looked at again as soon as it may.
    """
    sizes, ring = s.cold_starts.shape
    best, best_turn = NO_WORKER, NEVER
    for size in range(sizes):
        turn = _first(s.heap, s.queues, s.nodes.shape[0] + size)
        if turn >= best_turn:
            continue
        opens = s.cold_starts[size, s.functions[size, F_COLD] % ring] + RAMP_MS
        if s.functions[size, F_IDLE] > 0 or opens <= now:
            best, best_turn = size, turn
        elif s.functions[size, F_WAKE] < opens:
            s.functions[size, F_WAKE] = opens
            heapq.heappush(events, (opens, _WAKE, size))
    return best
