"""Refines a layout part by part: large neighbourhood search with small neighbourhoods.

A part is some leases with all their tasks, and tasks on Lambda among them; it is annealed while all
other tasks stay where and when they are (Shaw 1998, doi:10.1007/3-540-49481-2_30). A try costs as
much as the part has tasks, so small parts bring most for the time. Between rounds all leases move
in time, so that the tasks outside bound a part elsewhere.
"""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import Ints
from placement.engine.jit import njit
from placement.engine.refining.annealing import anneal, assign
from placement.engine.refining.decoding import (
    N_FIRST,
    N_OPENS,
    S_START,
    Draft,
    Times,
    backwards,
    decode,
    forwards,
    prepare,
)
from placement.engine.refining.layout import SPARE, Layout, count_uses, link, settle
from placement.engine.refining.neighbours import choose_part, room_for_parts, sort_by_time
from placement.engine.refining.problem import Problem
from placement.engine.timetable import NO_WORKER

# Tries for every task of a part, each time that it is annealed, and what they may take up in all.
_TRIES_PER_TASK = 6
_MOST_TAKEN_UP = 200_000
# A graph of so few tasks is first annealed as a whole, with this part of the effort.
_WHOLE_TASKS, _WHOLE = 128, 0.6


@njit(cache=True)
def refine(
    p: Problem,
    layout: Layout,
    times: Times,
    taken_up: int,
    hot_usd: float,
    cold_usd: float,
    seed: int,
) -> float:
    """Refine a layout and its times, and return what it costs (USD).

    `taken_up` is how often tasks are taken up in all tries together. `times` has the tasks' starts
    and ends. Infinite, and nothing is changed, where some task would end too late.
    """
    np.random.seed(seed)
    n, spent = layout.place.shape[0], 0
    drafts = (_room(layout), _room(layout), _room(layout))
    usd = justify(p, layout, drafts[0], times, 0.0)
    if not np.isfinite(usd):
        return usd
    if n <= _WHOLE_TASKS:
        tries = int(_WHOLE * taken_up) // n
        every, leases = np.arange(n), np.flatnonzero(layout.tasks_on > 0)
        spent += _anneal_part(p, layout, times, every, leases, drafts, tries, hot_usd, cold_usd)
        usd = justify(p, layout, drafts[0], times, 0.0)
    kept, kept_tasks, near = _room(layout), times.tasks.copy(), room_for_parts(n)
    while spent < taken_up:
        justify(p, layout, drafts[0], times, np.random.random())
        sort_by_time(near, times)
        in_round = 0
        while in_round < n and spent < taken_up:
            tasks, held = choose_part(p, layout, drafts[0].position, near)
            members, leases = near.members[:tasks], near.leases[:held]
            tries = max(1, min(_TRIES_PER_TASK * tasks, _MOST_TAKEN_UP // tasks))
            spent += _anneal_part(
                p, layout, times, members, leases, drafts, tries, hot_usd, cold_usd
            )
            in_round += tasks
        now_usd = justify(p, layout, drafts[0], times, 0.0)
        if now_usd < usd:
            usd = now_usd
            kept.place[:], kept.kind[:] = layout.place, layout.kind
            kept_tasks[:] = times.tasks
    layout.place[:], layout.kind[:], times.tasks[:] = kept.place, kept.kind, kept_tasks
    settle(p, layout)
    return usd


@njit(cache=True)
def justify(p: Problem, layout: Layout, room: Draft, times: Times, late: float) -> float:
    """Move all leases in time, from as early as they can (0) to as late (1); return the cost (USD).

    Infinite, and nothing moved, where some task would end too late then. `room` lends positions.
    """
    leases = np.flatnonzero(layout.tasks_on > 0)
    draft = _draft(layout, room, times, np.arange(layout.place.shape[0]), leases)
    before = times.tasks.copy()
    times.outside[:] = 0
    prepare(p, draft, times)
    usd = decode(p, draft, times)
    if np.isfinite(usd) and late > 0:
        earliest = times.leases[leases, N_FIRST].copy()
        backwards(p, draft, times, False)
        for at in range(leases.shape[0]):
            latest = times.leases[leases[at], N_OPENS]
            times.leases[leases[at], N_OPENS] = earliest[at] + int((latest - earliest[at]) * late)
        usd = forwards(p, draft, times)
    if not np.isfinite(usd):
        times.tasks[:] = before
    room.position[:] = NO_WORKER
    return usd


@njit(cache=True)
def _room(layout: Layout) -> Draft:
    """Return a draft of no tasks, with room for all."""
    none = np.empty(0, np.int64)
    return Draft(
        none,
        np.full(layout.place.shape[0], NO_WORKER),
        layout.place.copy(),
        layout.kind.copy(),
        layout.tasks_on.copy(),
        none,
    )


@njit(cache=True)
def _draft(layout: Layout, room: Draft, times: Times, tasks: Ints, leases: Ints) -> Draft:
    """Return tasks, in ascending order, and leases of a layout as a draft."""
    order = tasks[np.argsort(times.tasks[tasks, S_START], kind="mergesort")]
    for at in range(order.shape[0]):
        room.position[order[at]] = at
    return Draft(order, room.position, layout.place, layout.kind, layout.tasks_on, leases)


@njit(cache=True)
def _like(draft: Draft, room: Draft) -> Draft:
    return Draft(
        draft.order.copy(), room.position, room.place, room.kind, room.tasks_on, draft.leases
    )


@njit(cache=True)
def _anneal_part(
    p: Problem,
    layout: Layout,
    times: Times,
    members: Ints,
    held: Ints,
    drafts: tuple[Draft, Draft, Draft],
    tries: int,
    hot_usd: float,
    cold_usd: float,
) -> int:
    """Anneal a part and take over what comes of it; return how often tasks were taken up."""
    spare = min(layout.free_count[0], SPARE, members.shape[0])
    layout.free_count[0] -= spare
    at = layout.free_count[0]
    leases = np.concatenate((held, layout.free[at : at + spare]))
    count_uses(p, layout, members, -1)
    times.outside[:] = layout.uses
    draft = _draft(layout, drafts[0], times, np.sort(members), leases)
    trial, best = _like(draft, drafts[1]), _like(draft, drafts[2])
    assign(best, draft)
    prepare(p, draft, times)
    before = times.tasks[members]
    usd = anneal(p, draft, trial, best, times, tries, hot_usd, cold_usd)
    if not np.isfinite(usd):
        times.tasks[members] = before
    for task in members:
        draft.position[task] = trial.position[task] = best.position[task] = NO_WORKER
    count_uses(p, layout, members, 1)
    for lease in leases:
        layout.first[lease] = NO_WORKER
        if layout.tasks_on[lease] == 0:
            layout.free[layout.free_count[0]] = lease
            layout.free_count[0] += 1
    link(layout, members)
    return int(tries * members.shape[0])
