"""The changes that the annealing tries: to where tasks run, and to the order they are taken up in.

Leases are to tasks what vehicles are to customers with time windows: the moves are those of vehicle
routing, relocate, swap, and the exchange of tails (Braysy and Gendreau 2005,
doi:10.1287/trsc.1030.0056). Each returns whether it changed anything.
"""

from __future__ import annotations

import numpy as np

from placement.engine.compiled import NEVER
from placement.engine.jit import bare
from placement.engine.refining.decoding import Draft
from placement.engine.refining.problem import D_ALL, T_GROUP, T_PREDS, T_SUCCS, Problem
from placement.engine.timetable import NO_WORKER

# How often each move is made: what is left over up to 1 gives a small lease up.
_RELOCATE, _REORDER, _SWAP, _EXCHANGE = 0.38, 0.10, 0.14, 0.18
_RETYPE, _SPLIT, _JOIN = 0.06, 0.05, 0.05
# Where a task is relocated to: a lease of its own, Lambda at its cheapest, Lambda at any size; else
# where another task is.
_OWN, _CHEAPEST, _ANY_SIZE = 0.12, 0.06, 0.04
# Which other task: a predecessor, a successor, one near in the order; else any.
_BEFORE, _AFTER, _NEXT = 0.25, 0.15, 0.30
_REORDER_TOO = 0.3  # of relocated tasks
_NEARBY = 0.5  # of moves in the order
_BOTH_WAYS = 0.5  # of exchanges of tails
_OTHER_TYPE = 0.5  # of leases that are joined
_NEAR = 8  # places in the order that a move nearby goes at most
_AROUND = 30  # places in the order in which another task is looked for
_MOST_DISSOLVED = 12  # tasks of a lease that is given up
_CHANCES = 4  # to find another lease for one of them


@bare
def change(p: Problem, draft: Draft) -> bool:
    """Make one random change."""
    task = draft.order[np.random.randint(0, draft.order.shape[0])]
    place, left = draft.place[task], np.random.random()
    if left < _RELOCATE:
        return _relocate(p, draft, task)
    left -= _RELOCATE
    if left < _REORDER:
        return _reorder(p, draft, task)
    left -= _REORDER
    if left < _SWAP:
        return _swap(p, draft, task)
    return place >= 0 and _change_lease(p, draft, task, left - _SWAP)


@bare
def _change_lease(p: Problem, draft: Draft, task: int, left: float) -> bool:
    """Make a change to a task's lease: which one, `left` says."""
    place, changed = draft.place[task], False
    if left < _EXCHANGE:
        changed = _exchange_tails(p, draft, task)
    elif left < _EXCHANGE + _RETYPE:
        changed = _retype(p, draft, place, p.tasks[task, T_GROUP])
    elif left < _EXCHANGE + _RETYPE + _SPLIT:
        changed = _split(draft, task)
    elif left < _EXCHANGE + _RETYPE + _SPLIT + _JOIN:
        changed = _join(p, draft, task)
    else:
        changed = _dissolve(p, draft, place)
    return changed


@bare
def _fits(p: Problem, draft: Draft, task: int, place: int) -> bool:
    if place < 0:
        return bool(p.lambda_ms[task, -1 - place] < NEVER)
    kind = draft.kind[place]
    return bool(kind != NO_WORKER and p.on_kind[task, kind, D_ALL] < NEVER)


@bare
def _put(draft: Draft, task: int, place: int) -> None:
    if draft.place[task] >= 0:
        draft.tasks_on[draft.place[task]] -= 1
    if place >= 0:
        draft.tasks_on[place] += 1
    draft.place[task] = place


@bare
def _relocate(p: Problem, draft: Draft, task: int) -> bool:
    """Move a task to a lease of its own, to Lambda, or to another's lease."""
    chance, place = np.random.random(), draft.place[task]
    if chance < _OWN:
        place = _own_lease(p, draft, task)
    elif chance < _OWN + _CHEAPEST:
        place = -1 - np.argmin(p.lambda_usd[task])
    elif chance < _OWN + _CHEAPEST + _ANY_SIZE:
        place = -1 - np.random.randint(0, p.lambda_ms.shape[1])
    else:
        place = max(place, draft.place[_other(p, draft, task)])
    if place == draft.place[task] or not _fits(p, draft, task, place):
        return False
    _put(draft, task, place)
    if np.random.random() < _REORDER_TOO:
        _reorder(p, draft, task)
    return True


@bare
def _own_lease(p: Problem, draft: Draft, task: int) -> int:
    """Return an empty lease of a random type for a task, or where it is if there is none."""
    kind = _random_kind(p, p.tasks[task, T_GROUP])
    if kind == NO_WORKER or p.on_kind[task, kind, D_ALL] >= NEVER:
        return int(draft.place[task])
    return _new_lease(draft, kind, draft.place[task])


@bare
def _new_lease(draft: Draft, kind: int, otherwise: int) -> int:
    for lease in draft.leases:
        if draft.tasks_on[lease] == 0:
            draft.kind[lease] = kind
            return int(lease)
    return otherwise


@bare
def _random_kind(p: Problem, group: int) -> int:
    count = 0
    while count < p.choices.shape[1] and p.choices[group, count] != NO_WORKER:
        count += 1
    return int(p.choices[group, np.random.randint(0, count)]) if count > 0 else NO_WORKER


@bare
def _other(p: Problem, draft: Draft, task: int) -> int:
    """Return a task of the part: a predecessor, a successor, one near in the order, or any."""
    chance, n = np.random.random(), draft.order.shape[0]
    column = NO_WORKER
    if chance < _BEFORE:
        column = T_PREDS
    elif chance < _BEFORE + _AFTER:
        column = T_SUCCS
    elif chance < _BEFORE + _AFTER + _NEXT:
        at = draft.position[task] + np.random.randint(-_AROUND, _AROUND + 1)
        return int(draft.order[min(n - 1, max(0, at))])
    if column != NO_WORKER:
        first, last = p.tasks[task, column], p.tasks[task + 1, column]
        if last > first:
            other = p.links[first + np.random.randint(0, last - first)]
            if draft.position[other] != NO_WORKER:
                return int(other)
    return int(draft.order[np.random.randint(0, n)])


@bare
def _reorder(p: Problem, draft: Draft, task: int) -> bool:
    """Move a task in the order, between its predecessors and its successors."""
    here = draft.position[task]
    first, last = 0, draft.order.shape[0] - 1
    for k in range(p.tasks[task, T_PREDS], p.tasks[task + 1, T_PREDS]):
        first = max(first, draft.position[p.links[k]] + 1)
    for k in range(p.tasks[task, T_SUCCS], p.tasks[task + 1, T_SUCCS]):
        if draft.position[p.links[k]] != NO_WORKER:
            last = min(last, draft.position[p.links[k]] - 1)
    if np.random.random() < _NEARBY:
        first, last = max(first, here - _NEAR), min(last, here + _NEAR)
    to = np.random.randint(first, last + 1)
    step = 1 if to > here else -1
    for at in range(here, to, step):
        draft.order[at] = draft.order[at + step]
        draft.position[draft.order[at]] = at
    draft.order[to], draft.position[task] = task, to
    return bool(to != here)


@bare
def _swap(p: Problem, draft: Draft, task: int) -> bool:
    """Let two tasks that are near each other in the order change places."""
    at = draft.position[task] + np.random.randint(-_AROUND, _AROUND + 1)
    other = draft.order[min(draft.order.shape[0] - 1, max(0, at))]
    here, there = draft.place[task], draft.place[other]
    if here == there or not _fits(p, draft, task, there) or not _fits(p, draft, other, here):
        return False
    draft.place[task], draft.place[other] = there, here
    return True


@bare
def _exchange_tails(p: Problem, draft: Draft, task: int) -> bool:
    """Move all that follows on a lease to another one, and half of the time that one's in turn."""
    here, there = draft.place[task], draft.place[_other(p, draft, task)]
    if there < 0 or here == there:
        return False
    both = np.random.random() < _BOTH_WAYS
    tail = draft.order[draft.position[task] :]
    for each in tail:
        place = draft.place[each]
        if place == here and not _fits(p, draft, each, there):
            return False
        if both and place == there and not _fits(p, draft, each, here):
            return False
    for each in tail:
        place = draft.place[each]
        if place == here:
            _put(draft, each, there)
        elif both and place == there:
            _put(draft, each, here)
    return True


@bare
def _retype(p: Problem, draft: Draft, lease: int, group: int) -> bool:
    """Give a lease another type."""
    kind = _random_kind(p, group)
    if kind in (NO_WORKER, draft.kind[lease]):
        return False
    for task in draft.order:
        if draft.place[task] == lease and p.on_kind[task, kind, D_ALL] >= NEVER:
            return False
    draft.kind[lease] = kind
    return True


@bare
def _split(draft: Draft, task: int) -> bool:
    """Move a task and all that follow it on its lease to a new lease of the same type."""
    here = draft.place[task]
    there = _new_lease(draft, draft.kind[here], here)
    if there == here:
        return False
    for each in draft.order[draft.position[task] :]:
        if draft.place[each] == here:
            _put(draft, each, there)
    return bool(draft.tasks_on[here] > 0)


@bare
def _join(p: Problem, draft: Draft, task: int) -> bool:
    """Move all of another lease's tasks to a task's lease, half of the time of another type then.

    Where two leases are one, a type that costs more and brings files faster may be worth it.
    """
    here, there = draft.place[task], draft.place[_other(p, draft, task)]
    if there < 0 or here == there:
        return False
    kind = draft.kind[here]
    if np.random.random() < _OTHER_TYPE:
        kind = _random_kind(p, p.tasks[task, T_GROUP])
    for each in draft.order:
        place = draft.place[each]
        if place in (here, there) and (kind == NO_WORKER or p.on_kind[each, kind, D_ALL] >= NEVER):
            return False
    for each in draft.order:
        if draft.place[each] == there:
            _put(draft, each, here)
    draft.kind[here] = kind
    return True


@bare
def _dissolve(p: Problem, draft: Draft, lease: int) -> bool:
    """Spread the tasks of a small lease over others."""
    if draft.tasks_on[lease] > _MOST_DISSOLVED:
        return False
    for task in draft.order:
        if draft.place[task] != lease:
            continue
        for _ in range(_CHANCES):
            other = draft.place[_other(p, draft, task)]
            if other >= 0 and other != lease and _fits(p, draft, task, other):
                _put(draft, task, other)
                break
    return True
