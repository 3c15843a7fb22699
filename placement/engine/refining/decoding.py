"""Turns drafts into times: every task as early as its predecessors and its node's slots allow.

Then every lease is begun as late as its tasks can still end when they did, and the tasks are taken
up once more: so a lease is not held for a first task that could as well come later. Both passes are
those of double justification (Valls, Ballestin, Quintanilla 2005, doi:10.1016/j.ejor.2004.04.008),
by lease.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from placement.engine.compiled import NEVER, Ints
from placement.engine.jit import bare, njit
from placement.engine.refining.problem import (
    D_ALL,
    D_IN,
    D_SLOTS,
    F_AT_ONCE,
    F_DISK_USD,
    F_GET_S,
    F_GET_USD,
    F_IMAGE_GB,
    K_BOOT,
    K_START,
    K_VCPUS,
    L_GAP,
    L_LAST,
    L_MINIMUM,
    L_START,
    ON_LAMBDA,
    ON_NODES,
    T_GROUP,
    T_INS,
    T_OUTS,
    T_OWN_BYTES,
    T_OWN_DISK,
    T_OWN_FILES,
    T_OWN_PARTS,
    T_PREDS,
    T_SUCCS,
    Problem,
)
from placement.engine.timetable import NO_WORKER
from placement.engine.transfers import moving_ms


class Draft(NamedTuple):
    """Where some tasks run, their part of the graph, and in which order they are taken up.

    `order` (m) has every task of the part after its predecessors, `position` (t) is its inverse and
    NO_WORKER for all other tasks; `place` (t) is a lease or, from -1 downwards, a size of Lambda;
    `kind` (l) a lease's type; `tasks_on` (l) the number of its tasks; `leases` those of the part.
    All tasks of a lease belong to one part.
    """

    order: Ints
    position: Ints
    place: Ints
    kind: Ints
    tasks_on: Ints
    leases: Ints


class Times(NamedTuple):
    """What decoding works with, and what comes of it; whole ms.

    `tasks` (t, columns S_*): those outside of a part stay as they are, and S_DUE is when a task has
    to end for them; `before` (t, c) the tasks that held its slots before it; `leases` (l, columns
    N_*); `free` and `last` (l, v): from when on a slot is free, and whose it was last; `there`
    (slots, 3) a hash table of files on leases: key, since when, and in which pass it was noted;
    `used` (g, 2) likewise, `outside` (g, 2) how many tasks outside the part are on Lambda, and on
    nodes; `passes` (2) how many there were, and the mask of the part of the table that is in use.
    """

    tasks: Ints
    before: Ints
    leases: Ints
    free: Ints
    last: Ints
    there: Ints
    used: Ints
    outside: Ints
    passes: Ints


S_START, S_IN, S_END, S_DUE, S_LATEST = range(5)
N_OPENS, N_FIRST, N_LAST, N_BYTES = range(4)


def new_times(p: Problem, leases: int) -> Times:
    """Return room for the times of a problem with so many leases."""
    n = len(p.tasks) - 1
    vcpus = int(p.kinds[:, K_VCPUS].max(initial=1))
    most = int(np.where(p.on_kind[:, :, D_ALL] < NEVER, p.on_kind[:, :, D_SLOTS], 1).max(initial=1))
    slots = _table_size(len(p.links))
    return Times(
        tasks=np.zeros((n, 5), dtype=np.int64),
        before=np.full((n, most), NO_WORKER, dtype=np.int64),
        leases=np.zeros((leases, 4), dtype=np.int64),
        free=np.zeros((leases, vcpus), dtype=np.int64),
        last=np.zeros((leases, vcpus), dtype=np.int64),
        there=np.zeros((slots, 3), dtype=np.int64),
        used=np.zeros(p.use_usd.shape, dtype=np.int64),
        outside=np.zeros(p.use_usd.shape, dtype=np.int64),
        passes=np.array([0, slots - 1], dtype=np.int64),
    )


@njit(cache=True)
def _table_size(entries: int) -> int:
    slots = 16
    while slots < 2 * entries:
        slots *= 2
    return slots


@njit(cache=True)
def prepare(p: Problem, draft: Draft, times: Times) -> None:
    """Make times ready for a part: what is due for the tasks outside, and room for its files."""
    entries = 0
    for task in draft.order:
        due = p.limits[L_LAST]
        for k in range(p.tasks[task, T_SUCCS], p.tasks[task + 1, T_SUCCS]):
            after = p.links[k]
            if draft.position[after] == NO_WORKER:
                gap_ms = p.limits[L_GAP] if draft.place[after] < 0 else 0
                due = min(due, times.tasks[after, S_START] - gap_ms)
        times.tasks[task, S_DUE] = due
        for column in (T_INS, T_OUTS):
            entries += p.tasks[task + 1, column] - p.tasks[task, column]
    times.passes[1] = _table_size(entries) - 1


@bare
def decode(p: Problem, draft: Draft, times: Times) -> float:
    """Set the times of a draft and return its cost (USD), infinite where a task ends too late."""
    for lease in draft.leases:
        times.leases[lease, N_OPENS] = 0
    usd = forwards(p, draft, times)
    if np.isfinite(usd):
        backwards(p, draft, times, True)
        usd = forwards(p, draft, times)
    return usd


@bare
def forwards(p: Problem, draft: Draft, times: Times) -> float:
    """Take the tasks up in their order, each as early as it can; return what all costs (USD).

    Infinite, and broken off, where a task ends too late.
    """
    times.passes[0] += 1
    now = times.passes[0]
    _clear(p, draft, times)
    usd = 0.0
    for task in draft.order:
        start = p.limits[L_START]
        for k in range(p.tasks[task, T_PREDS], p.tasks[task + 1, T_PREDS]):
            start = max(start, times.tasks[p.links[k], S_END])
        lease = draft.place[task]
        if lease < 0:
            start += p.limits[L_GAP]
            end = start + p.lambda_ms[task, -1 - lease]
            usd += p.lambda_usd[task, -1 - lease]
            times.tasks[task, S_IN] = 0
        else:
            kind = draft.kind[lease]
            vcpus, slots = p.kinds[kind, K_VCPUS], p.on_kind[task, kind, D_SLOTS]
            start = max(start, times.leases[lease, N_OPENS])
            slot = NO_WORKER
            if slots == 1:
                slot = _free_slot(times.free, lease, vcpus, start)
                start = max(start, times.free[lease, slot])
                times.before[task, 0] = times.last[lease, slot]
            else:
                start = _take_slots(times, lease, vcpus, task, slots, start)
            in_ms, parts = _bring(p, times, task, lease, kind, start, now)
            end = start + p.on_kind[task, kind, D_ALL] - p.on_kind[task, kind, D_IN] + in_ms
            since = start + p.kinds[kind, K_START] + in_ms
            brought = _note(p, times, T_INS, task, lease, since, now)
            made = _note(p, times, T_OUTS, task, lease, end, now)
            times.leases[lease, N_BYTES] += p.tasks[task, T_OWN_DISK] + brought + made
            times.leases[lease, N_FIRST] = min(times.leases[lease, N_FIRST], start)
            times.leases[lease, N_LAST] = max(times.leases[lease, N_LAST], end)
            times.tasks[task, S_IN] = in_ms
            if slots == 1:
                times.free[lease, slot], times.last[lease, slot] = end, task
            else:
                _give_slots(times, lease, vcpus, task, slots, end)
            usd += parts * p.figures[F_GET_USD] + p.put_usd[task]
        times.tasks[task, S_START], times.tasks[task, S_END] = start, end
        if end > times.tasks[task, S_DUE]:
            return np.inf
    return usd + _used_usd(p, draft, times, now) + _leases_usd(p, draft, times)


@bare
def _clear(p: Problem, draft: Draft, times: Times) -> None:
    for lease in draft.leases:
        if draft.tasks_on[lease] > 0:
            kind = draft.kind[lease]
            for slot in range(p.kinds[kind, K_VCPUS]):
                times.free[lease, slot], times.last[lease, slot] = 0, NO_WORKER
            times.leases[lease, N_BYTES] = times.leases[lease, N_LAST] = 0
            times.leases[lease, N_FIRST] = NEVER
            booted = p.limits[L_START] + p.kinds[kind, K_BOOT]
            times.leases[lease, N_OPENS] = max(times.leases[lease, N_OPENS], booted)


@bare
def _free_slot(free: Ints, lease: int, vcpus: int, ready: int) -> int:
    """Return the slot, of those that are free by then, that was so last; else the next to be.

    So the others stay free for tasks that come in between.
    """
    best, best_since, soonest, soonest_since = NO_WORKER, -1, 0, NEVER
    for slot in range(vcpus):
        since = free[lease, slot]
        if best_since < since <= ready:
            best, best_since = slot, since
        if since < soonest_since:
            soonest, soonest_since = slot, since
    return soonest if best == NO_WORKER else best


@bare
def _take_slots(times: Times, lease: int, vcpus: int, task: int, slots: int, ready: int) -> int:
    """Return when a task can have several slots, those free soonest; note who held them before."""
    for at in range(slots):
        soonest = NO_WORKER
        for slot in range(vcpus):
            mine = times.last[lease, slot] == task
            if not mine and (
                soonest == NO_WORKER or times.free[lease, slot] < times.free[lease, soonest]
            ):
                soonest = slot
        ready = max(ready, times.free[lease, soonest])
        times.before[task, at] = times.last[lease, soonest]
        times.last[lease, soonest] = task
    return ready


@bare
def _give_slots(times: Times, lease: int, vcpus: int, task: int, slots: int, end: int) -> None:
    left = slots
    for slot in range(vcpus):
        if left > 0 and times.last[lease, slot] == task:
            times.free[lease, slot] = end
            left -= 1


@bare
def _bring(
    p: Problem, times: Times, task: int, lease: int, kind: int, start: int, now: int
) -> tuple[int, int]:
    """Return how long bringing what a task lacks on a lease takes (ms), and its requests."""
    first, last = p.tasks[task, T_INS], p.tasks[task + 1, T_INS]
    lacking, size, parts = 0, 0, 0
    for k in range(first, last):
        file = p.links[k]
        at = _slot(times, lease * p.files.shape[0] + file, now)
        if times.there[at, 2] != now or times.there[at, 1] > start:
            lacking += 1
            size += p.files[file, 0]
            parts += p.files[file, 1]
    in_ms = p.on_kind[task, kind, D_IN]
    if lacking < last - first:
        count, rate = lacking + p.tasks[task, T_OWN_FILES], p.rates[task, kind]
        size += p.tasks[task, T_OWN_BYTES]
        in_ms = moving_ms(count, size, p.figures[F_GET_S], p.figures[F_AT_ONCE], rate)
    return in_ms, parts + p.tasks[task, T_OWN_PARTS]


@bare
def _slot(times: Times, key: int, now: int) -> int:
    """Return where a key is, or has room, among those that were noted in this pass."""
    mask = times.passes[1]
    # Fibonacci hashing, as in transfers.py.
    at = (key * 0x9E3779B97F4A7C15 >> 17) & mask
    while times.there[at, 2] == now and times.there[at, 0] != key:
        at = (at + 1) & mask
    return int(at)


@bare
def _note(
    p: Problem, times: Times, column: int, task: int, lease: int, since: int, now: int
) -> int:
    """Note that a task's files are on a lease from some moment on; return the bytes of new ones."""
    size, there = 0, times.there
    for k in range(p.tasks[task, column], p.tasks[task + 1, column]):
        file = p.links[k]
        key = lease * p.files.shape[0] + file
        at = _slot(times, key, now)
        if there[at, 2] == now:
            there[at, 1] = min(there[at, 1], since)
        else:
            there[at, 0], there[at, 1], there[at, 2] = key, since, now
            size += p.files[file, 0]
    return size


@bare
def _used_usd(p: Problem, draft: Draft, times: Times, now: int) -> float:
    """Return what groups cost for where their tasks are; what those outside cause is no matter."""
    usd = 0.0
    for task in draft.order:
        group, side = p.tasks[task, T_GROUP], ON_LAMBDA if draft.place[task] < 0 else ON_NODES
        if times.used[group, side] != now:
            times.used[group, side] = now
            if times.outside[group, side] == 0:
                usd += p.use_usd[group, side]
    return usd


@bare
def _leases_usd(p: Problem, draft: Draft, times: Times) -> float:
    usd = 0.0
    for lease in draft.leases:
        if draft.tasks_on[lease] > 0:
            kind = draft.kind[lease]
            used_ms = times.leases[lease, N_LAST] - times.leases[lease, N_FIRST]
            held_ms = max(p.limits[L_MINIMUM], used_ms + p.kinds[kind, K_BOOT])
            disk_gb = np.ceil(p.figures[F_IMAGE_GB] + times.leases[lease, N_BYTES] / 1e9)
            usd += held_ms * (p.kind_usd[kind] + disk_gb * p.figures[F_DISK_USD])
    return float(usd)


@bare
def backwards(p: Problem, draft: Draft, times: Times, keep_ends: bool) -> None:
    """Find the latest time at which every lease can begin, such that all still end in time.

    If `keep_ends`, no lease ends later than it did.
    """
    for task in draft.order:
        latest, lease = times.tasks[task, S_DUE], draft.place[task]
        if keep_ends and lease >= 0:
            latest = min(latest, times.leases[lease, N_LAST])
        times.tasks[task, S_LATEST] = latest
    for lease in draft.leases:
        times.leases[lease, N_OPENS] = NEVER
    for at in range(draft.order.shape[0] - 1, -1, -1):
        task = draft.order[at]
        lease = draft.place[task]
        start = times.tasks[task, S_LATEST] - times.tasks[task, S_END] + times.tasks[task, S_START]
        if lease >= 0:
            times.leases[lease, N_OPENS] = min(times.leases[lease, N_OPENS], start)
            for slot in range(p.on_kind[task, draft.kind[lease], D_SLOTS]):
                _not_after(times.tasks, times.before[task, slot], start)
        else:
            start -= p.limits[L_GAP]
        for k in range(p.tasks[task, T_PREDS], p.tasks[task + 1, T_PREDS]):
            _not_after(times.tasks, p.links[k], start)


@bare
def _not_after(tasks: Ints, task: int, moment: int) -> None:
    if task != NO_WORKER and tasks[task, S_LATEST] > moment:
        tasks[task, S_LATEST] = moment
