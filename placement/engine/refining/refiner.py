"""Refines a timetable: moves single tasks between leases and Lambda, some leases at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import Compiled, Ints
from placement.engine.node_times import NodeTimes
from placement.engine.refining.decoding import S_END, S_IN, S_START, Times, new_times
from placement.engine.refining.layout import Layout, new_layout
from placement.engine.refining.parts import refine
from placement.engine.refining.problem import K_VCPUS, Problem, problem_of, types_worth_launching
from placement.engine.replay import replayed
from placement.engine.side_by_side import all_of
from placement.engine.timetable import NO_WORKER, Timetable

# How often tasks are taken up in one refinement, in all tries together: per task, and at the most.
TIMES_PER_TASK, MOST_TAKEN_UP = 300_000, 80_000_000
# Graphs of more tasks begin with less of it, down to so much per task.
MANY_TASKS, FEWEST_PER_TASK = 380, 500
# A thorough refinement begins with all of it, and may come to so many times that.
THOROUGH = 16
# So much of it goes to all timetables, the rest to so many of them that are gone on with.
FIRST = 0.2
KEPT = 2
# As much as all before is spent again where the last of it made the best cheaper by this part.
WORTH_MORE = 0.0015
# A layout that is dearer than the best by more than this part gives way to a copy of the best.
FAR_BEHIND = 0.05
# What a change may cost more at first and in the end, in boots of the cheapest node.
HOT_BOOTS, COLD_BOOTS = 0.25, 0.02


@dataclass(frozen=True, slots=True)
class Effort:
    """How often tasks are taken up before that has to pay, and at the most."""

    first: int
    most: int

    @classmethod
    def usual(cls, tasks: int) -> Effort:
        """Return what takes seconds for a graph of so many tasks."""
        most = min(TIMES_PER_TASK * tasks, MOST_TAKEN_UP)
        first = most * min(1.0, (MANY_TASKS / tasks) ** 6)
        return cls(max(FEWEST_PER_TASK * tasks, int(first)), most)

    @classmethod
    def thorough(cls, tasks: int) -> Effort:
        """Return what takes minutes."""
        first = min(TIMES_PER_TASK * tasks, MOST_TAKEN_UP)
        return cls(first, THOROUGH * first)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A problem, its types of nodes as columns of all, and the number of each."""

    arrays: Problem
    kinds: Ints
    number: dict[int, int]


@dataclass(slots=True, eq=False)
class _Drawn:
    """A timetable as a layout, with its times and cost."""

    problem: Problem
    layout: Layout
    times: Times
    usd: float = np.inf

    @classmethod
    def of(cls, problem: _Numbered, table: Timetable) -> _Drawn:
        """Draw a timetable."""
        types = np.array([problem.number[int(each)] for each in table.node_type], dtype=np.int64)
        place = np.where(table.node == NO_WORKER, -1 - table.size, table.node)
        layout = new_layout(problem.arrays, place, types)
        times = new_times(problem.arrays, len(layout.kind))
        times.tasks[:, S_START], times.tasks[:, S_END] = table.start_ms, table.end_ms
        times.tasks[:, S_IN] = table.in_ms
        return cls(problem.arrays, layout, times)

    def refine(self, taken_up: int, heats_usd: tuple[float, float], seed: int) -> None:
        """Refine it in place, with so much effort."""
        self.usd = refine(self.problem, self.layout, self.times, taken_up, *heats_usd, seed)

    def become(self, other: _Drawn) -> None:
        """Make it a copy of another one of the same problem."""
        self.layout = Layout(*(each.copy() for each in other.layout))
        self.times = Times(*(each.copy() for each in other.times))
        self.usd = other.usd

    @property
    def node_vcpus(self) -> int:
        """How large its nodes are: the power of two near the mean by their vCPUs."""
        vcpus = self.problem.kinds[self.layout.kind[self.layout.tasks_on > 0], K_VCPUS]
        return round(math.log2((vcpus**2).sum() / vcpus.sum())) if len(vcpus) else NO_WORKER


class Refiner:
    """Refines timetables of one graph."""

    def __init__(self, compiled: Compiled, prices: PriceBook, book: PlatformBook) -> None:
        self._compiled, self._prices, self._book = compiled, prices, book
        self._times = NodeTimes(compiled.arrays)
        rates = compiled.arrays.node_usd_per_ms * compiled.arrays.boot_ms
        self._boot_usd = float(rates.min(initial=np.inf))

    @cached_property
    def choices(self) -> list[list[int]]:
        """By group, the columns of the types of nodes that may be launched."""
        return types_worth_launching(self._compiled, self._times)

    def refined(
        self,
        tables: Sequence[Timetable],
        deadline_ms: int,
        seed: int,
        part: float = 1.0,
        *,
        thorough: bool = False,
    ) -> list[Timetable]:
        """Return what becomes of some timetables, the best one first; none if nothing does.

        Each is refined a little. The one that is cheapest then, and the cheapest with nodes of
        another size, are gone on with: how cheap a layout can become shows late. The same arguments
        give the same timetables. They may cost more than those given, by what the model of a draft
        leaves out: Lambda environments that are warm, and an MPI cluster's head node and file
        system. `part` is how much there is of the usual effort, or of the `thorough` one.
        """
        tables = [table for table in tables if len(table.node_type)]
        if not tables:
            return []
        effort = (Effort.thorough if thorough else Effort.usual)(len(tables[0].start_ms))
        taken_up = part * effort.first
        problem = self._problem(tables, deadline_ms)
        heats_usd = HOT_BOOTS * self._boot_usd, COLD_BOOTS * self._boot_usd
        drawn = [_Drawn.of(problem, table) for table in tables]
        first = int(FIRST * taken_up) // len(drawn)
        all_of([partial(each.refine, first, heats_usd, seed) for each in drawn])
        kept = _different([each for each in drawn if np.isfinite(each.usd)])
        if not kept:
            return []
        most = int(part * effort.most)
        self._go_on(kept, int((1 - FIRST) * taken_up), most, heats_usd, seed)
        kept.sort(key=lambda each: each.usd)
        made = [self._timetable(problem, each, deadline_ms) for each in kept]
        return [table for table in made if table is not None]

    @staticmethod
    def _go_on(
        drawn: Sequence[_Drawn], taken_up: int, most: int, heats_usd: tuple[float, float], seed: int
    ) -> None:
        """Refine layouts with some effort, and then with as much again while that is worth it."""
        spent, worth_more = 0, True
        while worth_more and taken_up > 0:
            best = min(drawn, key=lambda each: each.usd)
            before_usd = best.usd
            for each in drawn:
                if each.usd > before_usd * (1 + FAR_BEHIND):
                    each.become(best)
            refine = [
                partial(each.refine, taken_up // len(drawn), heats_usd, seed + spent + number)
                for number, each in enumerate(drawn)
            ]
            all_of(refine)
            worth_more = min(each.usd for each in drawn) <= before_usd * (1 - WORTH_MORE)
            spent += taken_up
            taken_up = min(spent, most - spent)

    def _problem(self, tables: Sequence[Timetable], deadline_ms: int) -> _Numbered:
        found = {int(column) for table in tables for column in table.node_type}
        found.update(column for row in self.choices for column in row)
        kinds = np.array(sorted(found), dtype=np.int64)
        number = {int(column): at for at, column in enumerate(kinds)}
        arrays = problem_of(
            self._compiled,
            self._times,
            kinds,
            [[number[column] for column in row] for row in self.choices],
            self._prices,
            self._book,
            deadline_ms - self._compiled.run_end_ms,
        )
        return _Numbered(arrays, kinds, number)

    def _timetable(self, problem: _Numbered, drawn: _Drawn, deadline_ms: int) -> Timetable | None:
        """Return a layout as a timetable, or None where it breaks a limit that it did not see."""
        if np.isinf(drawn.usd):
            return None
        a, tasks, place = self._compiled.arrays, drawn.times.tasks, drawn.layout.place
        on_node = place >= 0
        used, node = np.unique(place[on_node], return_inverse=True)
        types = problem.kinds[drawn.layout.kind[used]]
        startup = np.full(len(on_node), int(a.limits[3]), dtype=np.int64)
        startup[on_node] = a.task_start_ms[types[node]]
        nodes = np.full(len(on_node), NO_WORKER, dtype=np.int64)
        nodes[on_node] = node
        table = Timetable(
            start_ms=tasks[:, S_START].copy(),
            startup_ms=startup,
            in_ms=tasks[:, S_IN].copy(),
            end_ms=tasks[:, S_END].copy(),
            node=nodes,
            size=np.where(on_node, NO_WORKER, -1 - place),
            node_type=types,
            launch_ms=np.zeros(len(used), dtype=np.int64),
            release_ms=np.zeros(len(used), dtype=np.int64),
            makespan_ms=deadline_ms,
        )
        return replayed(self._compiled, table, table.start_ms, deadline_ms)


def _different(drawn: list[_Drawn]) -> list[_Drawn]:
    """Return the cheapest, and the cheapest with nodes of other sizes; at most KEPT."""
    drawn = sorted(drawn, key=lambda each: each.usd)
    found: dict[int, _Drawn] = {}
    for each in drawn:
        found.setdefault(each.node_vcpus, each)
    others = [each for each in drawn if each not in found.values()]
    return [*found.values(), *others][:KEPT]
