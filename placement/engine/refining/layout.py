"""Where all tasks of a graph are while it is refined, and which tasks each lease has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from placement.engine.compiled import Ints
from placement.engine.jit import bare, njit
from placement.engine.refining.problem import ON_LAMBDA, ON_NODES, T_GROUP, Problem
from placement.engine.timetable import NO_WORKER

# Leases that a part may launch besides those that it has.
SPARE = 8


class Layout(NamedTuple):
    """The places of tasks (t), and the leases (l), of which some are free to be used.

    `place`, `kind` and `tasks_on` as in `Draft`; `first` (l) and `following` (t) link the tasks of
    a lease; `uses` (g, 2) counts each group's tasks on Lambda and on nodes; `free` lists the unused
    leases, `free_count` (1) how many.
    """

    place: Ints
    kind: Ints
    tasks_on: Ints
    first: Ints
    following: Ints
    uses: Ints
    free: Ints
    free_count: Ints


def new_layout(p: Problem, place: Ints, kind: Ints) -> Layout:
    """Return a layout of tasks at places, with room for more leases."""
    n, used = len(place), len(kind)
    leases = used + n // 2 + SPARE
    layout = Layout(
        place=place.astype(np.int64),
        kind=np.concatenate([kind, np.full(leases - used, NO_WORKER)]).astype(np.int64),
        tasks_on=np.zeros(leases, dtype=np.int64),
        first=np.zeros(leases, dtype=np.int64),
        following=np.zeros(n, dtype=np.int64),
        uses=np.zeros(p.use_usd.shape, dtype=np.int64),
        free=np.zeros(leases, dtype=np.int64),
        free_count=np.zeros(1, dtype=np.int64),
    )
    settle(p, layout)
    return layout


@njit(cache=True)
def settle(p: Problem, layout: Layout) -> None:
    """Make everything follow from the places."""
    every = np.arange(layout.place.shape[0])
    layout.tasks_on[:] = 0
    layout.first[:] = NO_WORKER
    for task in every:
        if layout.place[task] >= 0:
            layout.tasks_on[layout.place[task]] += 1
    link(layout, every)
    layout.uses[:] = 0
    count_uses(p, layout, every, 1)
    unused = np.flatnonzero(layout.tasks_on == 0)[::-1]
    layout.free[: unused.shape[0]] = unused
    layout.free_count[0] = unused.shape[0]


@bare
def count_uses(p: Problem, layout: Layout, tasks: Ints, by: int) -> None:
    """Count tasks in, or, by -1, out of the uses of their groups."""
    for task in tasks:
        side = ON_LAMBDA if layout.place[task] < 0 else ON_NODES
        layout.uses[p.tasks[task, T_GROUP], side] += by


@bare
def link(layout: Layout, tasks: Ints) -> None:
    """Link all tasks of some leases, of which none are linked yet."""
    for task in tasks:
        lease = layout.place[task]
        if lease >= 0:
            layout.following[task] = layout.first[lease]
            layout.first[lease] = task
