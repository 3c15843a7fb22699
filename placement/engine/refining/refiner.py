"""Refines a timetable: moves single tasks between leases and Lambda, some leases at a time.

The annealing takes up all tasks of its problem at every try, so a large graph is refined in parts
(large neighbourhood search, Shaw 1998, doi:10.1007/3-540-49481-2_30): leases that exchange data, or
that are up at the same time, with the tasks on Lambda among them, while all other tasks stay where
and when they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import Compiled, Ints
from placement.engine.node_times import NodeTimes
from placement.engine.refining.annealing import anneal
from placement.engine.refining.decoding import (
    N_FIRST,
    N_OPENS,
    S_END,
    S_IN,
    S_START,
    Draft,
    Times,
    backwards,
    decode,
    forwards,
    new_times,
)
from placement.engine.refining.neighbours import near_in_graph, near_in_time
from placement.engine.refining.problem import (
    Problem,
    part_of,
    problem_of,
    types_worth_launching,
)
from placement.engine.replay import replayed
from placement.engine.timetable import NO_WORKER, Timetable

# Tasks of a part, at the most; a single lease may have more.
PART_TASKS = 1_000
# Larger graphs are left as they are: so many parts would get too few tries each.
MOST_TASKS = 20_000
# Tries for every task of a part, each time that it is annealed, at the most.
TRIES_PER_TASK = 40
# How often tasks are taken up in one refinement, in all tries together: as often as this over the
# square of their number, within limits. A try takes longer the more tasks there are, and more
# tries are needed; beyond a thousand tasks, planning is to stay quick. Small graphs need fewer.
TASKS_TAKEN_UP = 2.0e12
LEAST_TAKEN_UP, MOST_TAKEN_UP = 2e6, 24e6
TIMES_PER_TASK = 120_000
# What a change may cost more at first and in the end, in boots of the cheapest node.
HOT_BOOTS, COLD_BOOTS = 0.25, 0.02
# How often the tasks of a part are near each other in the graph; else they are so in time.
BY_GRAPH = 0.5


@dataclass(slots=True)
class _Layout:
    """Where and when every task runs (t), and the kinds of all leases (l)."""

    place: Ints
    start: Ints
    in_ms: Ints
    end: Ints
    kind: Ints

    def copy(self) -> _Layout:
        return _Layout(
            self.place.copy(), self.start.copy(), self.in_ms.copy(), self.end.copy(), self.kind
        )

    def draft(self, chosen: Ints, leases: Ints, spare: int) -> Draft:
        """Return some tasks and all their leases as a draft, with room for more leases."""
        number = np.full(len(self.kind), NO_WORKER, dtype=np.int64)
        number[leases] = np.arange(len(leases))
        place = self.place[chosen]
        place = np.where(place >= 0, number[np.maximum(place, 0)], place)
        order = np.lexsort((np.arange(len(chosen)), self.start[chosen])).astype(np.int64)
        kind = np.concatenate([self.kind[leases], np.full(spare, NO_WORKER, dtype=np.int64)])
        return Draft(
            order=order,
            position=np.argsort(order).astype(np.int64),
            place=place,
            kind=kind,
            tasks_on=np.bincount(place[place >= 0], minlength=len(kind)).astype(np.int64),
        )

    def take(self, chosen: Ints, leases: Ints, draft: Draft, times: Times) -> None:
        """Take over what became of a draft; leases that are empty now are left out."""
        more = np.arange(len(draft.kind) - len(leases)) + len(self.kind)
        number = np.concatenate([leases, more]).astype(np.int64)
        self.kind = np.concatenate([self.kind, draft.kind[len(leases) :]])
        self.kind[leases] = draft.kind[: len(leases)]
        self.place[chosen] = np.where(
            draft.place >= 0, number[np.maximum(draft.place, 0)], draft.place
        )
        self.start[chosen] = times.tasks[:, S_START]
        self.in_ms[chosen] = times.tasks[:, S_IN]
        self.end[chosen] = times.tasks[:, S_END]
        on_node = self.place >= 0
        used, place = np.unique(self.place[on_node], return_inverse=True)
        self.place[on_node] = place
        self.kind = self.kind[used]


class Refiner:
    """Refines timetables of one graph."""

    def __init__(self, compiled: Compiled, prices: PriceBook, book: PlatformBook) -> None:
        self._compiled, self._prices, self._book = compiled, prices, book
        self._times = NodeTimes(compiled.arrays)
        rates = compiled.arrays.node_usd_per_ms * compiled.arrays.boot_ms
        self._boot_usd = float(rates.min(initial=np.inf))

    @cached_property
    def _choices(self) -> list[list[int]]:
        return types_worth_launching(self._compiled, self._times)

    def refined(
        self, table: Timetable, deadline_ms: int, seed: int, share: float = 1.0
    ) -> Timetable:
        """Return the best timetable found, or the one given where none is.

        `share` is that of the whole effort. The same arguments give the same timetable. It may
        cost more than the one given, by what the model of a draft leaves out: Lambda environments
        that are warm, and an MPI cluster's head node and file system.
        """
        n = len(table.start_ms)
        if n > MOST_TASKS or not len(table.node_type):
            return table
        most = min(MOST_TAKEN_UP, TIMES_PER_TASK * n)
        taken_up = int(share * min(most, max(LEAST_TAKEN_UP, TASKS_TAKEN_UP / n**2)))
        found = {int(y) for y in table.node_type} | {y for row in self._choices for y in row}
        kinds = np.array(sorted(found), dtype=np.int64)
        number = {int(column): at for at, column in enumerate(kinds)}
        p = problem_of(
            self._compiled,
            self._times,
            kinds,
            [[number[column] for column in row] for row in self._choices],
            self._prices,
            self._book,
            deadline_ms - self._compiled.run_end_ms,
        )
        layout = _Layout(
            place=np.where(table.node == NO_WORKER, -1 - table.size, table.node),
            start=table.start_ms.copy(),
            in_ms=table.in_ms.copy(),
            end=table.end_ms.copy(),
            kind=np.array([number[int(column)] for column in table.node_type], dtype=np.int64),
        )
        random = np.random.default_rng(seed)
        if n <= PART_TASKS:
            self._anneal(p, layout, np.arange(n), taken_up // n, random)
        else:
            layout = self._in_parts(p, layout, random, taken_up)
        return self._timetable(table, layout, kinds, deadline_ms) or table

    def _in_parts(
        self, p: Problem, layout: _Layout, random: np.random.Generator, taken_up: int
    ) -> _Layout:
        """Anneal parts until the effort is spent; between rounds, all leases move in time.

        Tasks that stay where they are bound those that move: each round bounds them elsewhere.
        """
        n, spent = len(layout.place), 0
        tries_per_task = max(1, min(TRIES_PER_TASK, taken_up // (n * PART_TASKS)))
        usd, best = _justified(p, layout, 0.0), layout.copy()
        while spent < taken_up:
            _justified(p, layout, float(random.random()))
            in_round = 0
            while in_round < n:
                chosen = _part(p, layout, random)
                tries = tries_per_task * len(chosen)
                self._anneal(p, layout, chosen, tries, random)
                in_round += len(chosen)
                spent += tries * len(chosen)
            now_usd = _justified(p, layout, 0.0)
            if now_usd < usd:
                usd, best = now_usd, layout.copy()
        return best

    def _anneal(
        self,
        p: Problem,
        layout: _Layout,
        chosen: Ints,
        tries: int,
        random: np.random.Generator,
    ) -> None:
        on_node = (layout.place >= 0).astype(np.int64)
        part = part_of(p, chosen, layout.start, layout.end, on_node)
        leases = np.unique(layout.place[chosen])
        leases = leases[leases >= 0]
        draft = layout.draft(chosen, leases, spare=len(chosen))
        times = new_times(part, len(draft.kind))
        hot_usd, cold_usd = HOT_BOOTS * self._boot_usd, COLD_BOOTS * self._boot_usd
        usd = anneal(part, draft, times, tries, hot_usd, cold_usd, int(random.integers(1 << 31)))
        if np.isfinite(usd):
            layout.take(chosen, leases, draft, times)

    def _timetable(
        self, table: Timetable, layout: _Layout, kinds: Ints, deadline_ms: int
    ) -> Timetable | None:
        """Return a layout as a timetable, or None where it breaks a limit that it did not see."""
        a, on_node = self._compiled.arrays, layout.place >= 0
        types = kinds[layout.kind]
        startup = np.full(len(on_node), int(a.limits[3]), dtype=np.int64)
        startup[on_node] = a.task_start_ms[types[layout.place[on_node]]]
        drawn = replace(
            table,
            start_ms=layout.start,
            startup_ms=startup,
            in_ms=layout.in_ms,
            end_ms=layout.end,
            node=np.where(on_node, layout.place, NO_WORKER),
            size=np.where(on_node, NO_WORKER, -1 - layout.place),
            node_type=types,
        )
        return replayed(self._compiled, drawn, layout.start, deadline_ms)


def _part(p: Problem, layout: _Layout, random: np.random.Generator) -> Ints:
    """Return the tasks of some leases and of Lambda that are near each other."""
    first = int(random.integers(len(layout.place)))
    if random.random() < BY_GRAPH:
        order = near_in_graph(p, first, int(random.integers(1 << 31)))
    else:
        order = near_in_time(layout.start, layout.end, first)
    tasks_on = np.bincount(layout.place[layout.place >= 0], minlength=len(layout.kind))
    chosen = np.zeros(len(layout.place), dtype=np.bool_)
    count, taken = 0, set[int]()
    for task in map(int, order):
        lease = int(layout.place[task])
        more = int(tasks_on[lease]) if lease >= 0 else 1
        if lease in taken or (count and count + more > PART_TASKS):
            continue
        if lease >= 0:
            taken.add(lease)
        else:
            chosen[task] = True
        count += more
        if count >= PART_TASKS:
            break
    chosen |= np.isin(layout.place, sorted(taken))
    return np.flatnonzero(chosen)


def _justified(p: Problem, layout: _Layout, late: float) -> float:
    """Move all leases in time, from as early as they can (0) to as late (1); return the cost.

    Infinite, and nothing moved, where some task would end too late then.
    """
    every, leases = np.arange(len(layout.place)), np.arange(len(layout.kind))
    draft = layout.draft(every, leases, spare=0)
    times = new_times(p, len(leases))
    usd = decode(p, draft, times)
    if np.isfinite(usd) and late:
        earliest = times.leases[:, N_FIRST].copy()
        backwards(p, draft, times, False)
        latest = times.leases[:, N_OPENS]
        times.leases[:, N_OPENS] = earliest + ((latest - earliest) * late).astype(np.int64)
        usd = forwards(p, draft, times)
    if np.isfinite(usd):
        layout.start = times.tasks[:, S_START].copy()
        layout.in_ms = times.tasks[:, S_IN].copy()
        layout.end = times.tasks[:, S_END].copy()
    return float(usd)
