"""Packs tasks onto as few nodes as their deadlines allow: best fit, by what each costs more.

Tasks are taken up in the order of their latest starts. Each goes where it costs least among the
places at which it ends by its own deadline: on a node that there is, behind other tasks, which is
held for longer then; on a node of its own; or on Lambda. So nodes are filled before others are
launched, and tasks go where their files are. Where no place is in time, it is the soonest.

Complexity: O(t v (c + f)) for t tasks, v nodes of c vCPUs, and f files per task.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from placement.engine.compiled import NEVER, Ints
from placement.engine.jit import bare, njit
from placement.engine.listscheduler import (
    K_BOOT,
    K_MEMORY,
    K_USD_PER_MS,
    K_VCPUS,
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
from placement.engine.simulator import Assignment
from placement.engine.timetable import NO_WORKER
from placement.engine.transfers import new_table, put_there


class _Packed(NamedTuple):
    """What has been packed so far.

    Nodes: `kind`; `span` (v, 2), the first start and the last end in ms; `free` (v, c), from when
    on each slot is free. Tasks: `end_ms`, `node` or `size` of Lambda. `there`: files on nodes.
    """

    kind: Ints
    span: Ints
    free: Ints
    end_ms: Ints
    node: Ints
    size: Ints
    there: Ints


class _Place(NamedTuple):
    """Where a task could go: a node, a type to launch, or a size of Lambda (else NO_WORKER)."""

    node: int
    kind: int
    size: int
    start_ms: int
    end_ms: int
    usd: float


def packed(w: Work, deadlines: Ints, starts: Ints, kinds: Ints, dearer: float) -> Assignment:
    """Return an assignment of all tasks to nodes of some types and to Lambda.

    `deadlines` and `starts` (t): by when each task should end, and start at the latest (ms);
    `kinds`: the columns of the types that may be launched. A node of its own counts as the part of
    its vCPUs that the task takes, because others will share it. `dearer`: how many times its price
    a call of Lambda counts, so that nodes that are almost in hand are filled.
    """
    n, vcpus = len(deadlines), int(w.kinds[kinds, K_VCPUS].max())
    order = np.argsort(starts, kind="stable")
    done = _Packed(
        kind=np.full(n, NO_WORKER, dtype=np.int64),
        span=np.zeros((n, 2), dtype=np.int64),
        free=np.zeros((n, vcpus), dtype=np.int64),
        end_ms=np.zeros(n, dtype=np.int64),
        node=np.full(n, NO_WORKER, dtype=np.int64),
        size=np.full(n, NO_WORKER, dtype=np.int64),
        there=new_table(len(w.links)),
    )
    count = _pack(w, done, order, deadlines, kinds, dearer)
    priority = np.empty(n, dtype=np.int64)
    priority[order] = np.arange(n)
    kind = done.kind[:count].copy()
    launch = done.span[:count, 0] - w.kinds[kind, K_BOOT].astype(np.int64)
    return Assignment(done.node, done.size, priority, kind, launch)


@njit(cache=True)
def _pack(w: Work, done: _Packed, order: Ints, deadlines: Ints, kinds: Ints, dearer: float) -> int:
    """Give every task its place; return how many nodes there are then."""
    count = 0
    for task in order:
        ready, by = int(w.limits[L_START]), int(deadlines[task])
        for k in range(w.tasks[task, T_PREDS], w.tasks[task + 1, T_PREDS]):
            ready = max(ready, done.end_ms[w.links[k]])
        best = _Place(NO_WORKER, NO_WORKER, NO_WORKER, 0, NEVER, np.inf)
        for node in range(count):
            place = _behind_others(w, done, task, node, ready)
            if _better(place, best, by):
                best = place
        for kind in kinds:
            place = _on_its_own(w, done, task, kind, ready)
            if _better(place, best, by):
                best = place
        for size in range(w.lambda_ms.shape[1]):
            place = _on_lambda(w, task, size, ready, dearer)
            if _better(place, best, by):
                best = place
        done.end_ms[task], done.size[task] = best.end_ms, best.size
        if best.size == NO_WORKER:
            node = count if best.node == NO_WORKER else best.node
            count = max(count, node + 1)
            _put(w, done, task, node, best)
    return count


@bare
def _better(place: _Place, other: _Place, by_ms: int) -> bool:
    """Whether a place is cheaper than another and in time, or sooner where neither is."""
    in_time = place.end_ms <= by_ms
    if in_time != (other.end_ms <= by_ms):
        return in_time
    if in_time and place.usd != other.usd:
        return place.usd < other.usd
    return place.end_ms < other.end_ms


@bare
def _nowhere() -> _Place:
    return _Place(NO_WORKER, NO_WORKER, NO_WORKER, 0, NEVER, np.inf)


@bare
def _slots(w: Work, task: int, kind: int) -> int:
    """Return how many of a node's vCPUs a task takes: its cores, or what its memory is worth."""
    vcpus = int(w.kinds[kind, K_VCPUS])
    of_memory = int(np.ceil(w.tasks[task, T_MEMORY] * vcpus / w.kinds[kind, K_MEMORY]))
    return min(vcpus, max(int(w.tasks[task, T_CORES]), of_memory))


@bare
def _behind_others(w: Work, done: _Packed, task: int, node: int, ready: int) -> _Place:
    kind = done.kind[node]
    if not w.fits[task, kind]:
        return _nowhere()
    slots, vcpus = _slots(w, task, kind), int(w.kinds[kind, K_VCPUS])
    booted = int(w.limits[L_START] + w.kinds[kind, K_BOOT])
    start = max(ready, booted, _free_from(done.free, node, vcpus, slots))
    lacking, size, _ = missing_inputs(w, done.there, task, node, start)
    end = start + times_on_node(w, task, kind, lacking, size)[1]
    longer_ms = max(0, done.span[node, 0] - start) + max(0, end - done.span[node, 1])
    usd = longer_ms * w.kinds[kind, K_USD_PER_MS] * slots / vcpus
    return _Place(node, NO_WORKER, NO_WORKER, start, end, usd)


@bare
def _on_its_own(w: Work, done: _Packed, task: int, kind: int, ready: int) -> _Place:
    if not w.fits[task, kind]:
        return _nowhere()
    boot = int(w.kinds[kind, K_BOOT])
    start = max(ready, int(w.limits[L_START]) + boot)
    lacking, size, _ = missing_inputs(w, done.there, task, NO_WORKER, start)
    end = start + times_on_node(w, task, kind, lacking, size)[1]
    share = _slots(w, task, kind) / w.kinds[kind, K_VCPUS]
    usd = (boot + end - start) * w.kinds[kind, K_USD_PER_MS] * share
    return _Place(NO_WORKER, kind, NO_WORKER, start, end, usd)


@bare
def _on_lambda(w: Work, task: int, size: int, ready: int, dearer: float) -> _Place:
    if w.lambda_ms[task, size] >= NEVER:
        return _nowhere()
    start = ready + int(w.limits[L_GAP])
    end = start + int(w.limits[L_INIT] + w.lambda_ms[task, size])
    usd = dearer * (w.lambda_usd[task, size] + w.lambda_init_usd[size])
    return _Place(NO_WORKER, NO_WORKER, size, start, end, usd)


@bare
def _free_from(free: Ints, node: int, vcpus: int, slots: int) -> int:
    """Return from when on (ms) so many slots of a node are free."""
    if slots == 1:
        return int(free[node, :vcpus].min())
    for slot in range(vcpus):
        sooner, not_later = 0, 0
        for other in range(vcpus):
            sooner += free[node, other] < free[node, slot]
            not_later += free[node, other] <= free[node, slot]
        if sooner < slots <= not_later:
            return int(free[node, slot])
    return NEVER


@bare
def _put(w: Work, done: _Packed, task: int, node: int, place: _Place) -> None:
    """Put a task on a node, a new one where the place has a type to launch."""
    if place.kind != NO_WORKER:
        done.kind[node] = place.kind
        done.span[node, 0] = place.start_ms
    kind, files = done.kind[node], w.files.shape[0]
    done.node[task] = node
    for _ in range(_slots(w, task, kind)):
        soonest = 0
        for slot in range(int(w.kinds[kind, K_VCPUS])):
            if done.free[node, slot] < done.free[node, soonest]:
                soonest = slot
        done.free[node, soonest] = place.end_ms
    done.span[node, 0] = min(done.span[node, 0], place.start_ms)
    done.span[node, 1] = max(done.span[node, 1], place.end_ms)
    lacking, size, _ = missing_inputs(w, done.there, task, node, place.start_ms)
    brought = place.start_ms + times_on_node(w, task, kind, lacking, size)[0]
    for k in range(w.tasks[task, T_INS], w.tasks[task + 1, T_INS]):
        put_there(done.there, files, node, w.links[k], brought)
    for k in range(w.tasks[task, T_OUTS], w.tasks[task + 1, T_OUTS]):
        put_there(done.there, files, node, w.links[k], place.end_ms)
