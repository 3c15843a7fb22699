"""Which tasks make a part: some leases that exchange data, or that are up at the same time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from placement.engine.compiled import Ints
from placement.engine.jit import bare, njit
from placement.engine.refining.decoding import S_END, S_START, Times
from placement.engine.refining.layout import Layout
from placement.engine.refining.problem import T_PREDS, T_SUCCS, Problem
from placement.engine.timetable import NO_WORKER

# Tasks of a part: so many, now and then twice as many, or four or eight times.
_TASKS, _SIZES, _TWICE = 12, 4, 0.12
# Two leases make a part also where they have more tasks, up to so many.
_MOST_TASKS = 1_000
# How often the tasks of a part are near each other in the graph; else they are so in time.
_BY_GRAPH = 0.5
# How many tasks are looked at for each that a part is to have.
_LOOKS_PER_TASK = 20
_EARLIER = 0.5


class Near(NamedTuple):
    """Room for a part, and what is needed to find one.

    `members` (t) and `leases` (t); all tasks in the order of their middles `by_time` (t), and each
    one's place there, `rank` (t); a `queue` (t) of tasks that were `seen` (t).
    """

    members: Ints
    leases: Ints
    by_time: Ints
    rank: Ints
    queue: Ints
    seen: Ints


@njit(cache=True)
def room_for_parts(n: int) -> Near:
    """Return room for parts of a graph of n tasks."""
    return Near(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.zeros(n, np.int64),
    )


@njit(cache=True)
def sort_by_time(near: Near, times: Times) -> None:
    """Note the order of all tasks in time."""
    middles = times.tasks[:, S_START] + times.tasks[:, S_END]
    near.by_time[:] = np.argsort(middles, kind="mergesort")
    near.rank[near.by_time] = np.arange(middles.shape[0])


@njit(cache=True)
def choose_part(p: Problem, layout: Layout, position: Ints, near: Near) -> tuple[int, int]:
    """Put together a part that has some task in it; return its number of tasks and of leases.

    They are the first ones of `near.members` and `near.leases`; the members' positions, that were
    NO_WORKER, are marked.
    """
    wanted = _TASKS
    for _ in range(_SIZES - 1):
        if np.random.random() < _TWICE:
            wanted *= 2
    first = np.random.randint(0, layout.place.shape[0])
    if np.random.random() < _BY_GRAPH:
        count = _next_in_graph(p, near, first, _LOOKS_PER_TASK * wanted)
    else:
        count = _next_in_time(near, first, _LOOKS_PER_TASK * wanted)
    tasks, held, places = 0, 0, 0
    for other in near.queue[:count]:
        if position[other] != NO_WORKER:
            continue
        lease = layout.place[other]
        more = layout.tasks_on[lease] if lease >= 0 else 1
        most = _MOST_TASKS if places == 1 else wanted
        if places == 0 or tasks + more <= most:
            tasks = _take(layout, position, other, near.members, tasks)
            places += 1
            if lease >= 0:
                near.leases[held] = lease
                held += 1
        if tasks >= wanted and places > 1:
            break
    return tasks, held


@njit(cache=True)
def _next_in_graph(p: Problem, near: Near, first: int, most: int) -> int:
    """Queue tasks that are connected with one, those few steps away first, else at random."""
    near.queue[0], near.seen[first] = first, 1
    begun, count = 0, 1
    while begun < count and begun < most:
        # One ring after the other, each in a random order.
        ring_ends = count
        np.random.shuffle(near.queue[begun:ring_ends])
        for at in range(begun, ring_ends):
            task = near.queue[at]
            for column in (T_PREDS, T_SUCCS):
                for k in range(p.tasks[task, column], p.tasks[task + 1, column]):
                    other = p.links[k]
                    if near.seen[other] == 0:
                        near.seen[other] = 1
                        near.queue[count] = other
                        count += 1
        begun = ring_ends
    for at in range(count):
        near.seen[near.queue[at]] = 0
    return min(count, most)


@bare
def _next_in_time(near: Near, first: int, most: int) -> int:
    """Queue tasks whose middles lie around a task's middle, from there on outwards."""
    n = near.rank.shape[0]
    low, high, count = near.rank[first], near.rank[first] + 1, 0
    while count < min(n, most):
        if high >= n or (low >= 0 and np.random.random() < _EARLIER):
            near.queue[count] = near.by_time[low]
            low -= 1
        else:
            near.queue[count] = near.by_time[high]
            high += 1
        count += 1
    return count


@bare
def _take(layout: Layout, position: Ints, task: int, members: Ints, count: int) -> int:
    """Add a task, and all others on its lease; return how many there are then."""
    if layout.place[task] < 0:
        members[count], position[task] = task, count
        return count + 1
    each = layout.first[layout.place[task]]
    while each != NO_WORKER:
        members[count], position[each] = each, count
        count += 1
        each = layout.following[each]
    return count
