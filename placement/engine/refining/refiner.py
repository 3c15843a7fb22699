"""Refines a timetable: moves single tasks between leases and Lambda, some leases at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import Compiled, Ints
from placement.engine.node_times import NodeTimes
from placement.engine.refining.decoding import S_END, S_IN, S_START, Times, new_times
from placement.engine.refining.layout import Layout, new_layout
from placement.engine.refining.parts import refine
from placement.engine.refining.problem import Problem, problem_of, types_worth_launching
from placement.engine.replay import replayed
from placement.engine.timetable import NO_WORKER, Timetable

# How often tasks are taken up in one refinement, in all tries together: per task, and at the most.
TIMES_PER_TASK, MOST_TAKEN_UP = 120_000, 5_000_000
# This part of it is for all timetables, the rest for the best of them.
FIRST = 0.2
# So many timetables are returned: by their account, the second may be the cheaper one.
KEPT = 2
# What a change may cost more at first and in the end, in boots of the cheapest node.
HOT_BOOTS, COLD_BOOTS = 0.25, 0.02


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A problem, its types of nodes as columns of all, and the number of each."""

    arrays: Problem
    kinds: Ints
    number: dict[int, int]


@dataclass(slots=True)
class _Drawn:
    """A timetable as a layout, with its times and cost."""

    layout: Layout
    times: Times
    usd: float

    @classmethod
    def of(cls, problem: _Numbered, table: Timetable) -> _Drawn:
        types = np.array([problem.number[int(each)] for each in table.node_type], dtype=np.int64)
        place = np.where(table.node == NO_WORKER, -1 - table.size, table.node)
        layout = new_layout(problem.arrays, place, types)
        times = new_times(problem.arrays, len(layout.kind))
        times.tasks[:, S_START], times.tasks[:, S_END] = table.start_ms, table.end_ms
        times.tasks[:, S_IN] = table.in_ms
        return cls(layout, times, np.inf)


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

    def refined(self, tables: Sequence[Timetable], deadline_ms: int, seed: int) -> list[Timetable]:
        """Return what becomes of some timetables, the best one first; none if nothing does.

        Each is refined a little, and the one that is cheapest then with all the effort that is
        left. The same arguments give the same timetables. They may cost more than those given, by
        what the model of a draft leaves out: Lambda environments that are warm, and an MPI
        cluster's head node and file system.
        """
        tables = [table for table in tables if len(table.node_type)]
        if not tables:
            return []
        taken_up = min(MOST_TAKEN_UP, TIMES_PER_TASK * len(tables[0].start_ms))
        problem = self._problem(tables, deadline_ms)
        drawn = [_Drawn.of(problem, table) for table in tables]
        heats_usd = HOT_BOOTS * self._boot_usd, COLD_BOOTS * self._boot_usd
        for each in drawn:
            first = int(FIRST * taken_up) // len(drawn)
            each.usd = refine(problem.arrays, each.layout, each.times, first, *heats_usd, seed)
        drawn.sort(key=lambda each: each.usd)
        best = drawn[0]
        if np.isinf(best.usd):
            return []
        rest = int((1 - FIRST) * taken_up)
        best.usd = refine(problem.arrays, best.layout, best.times, rest, *heats_usd, seed)
        made = [self._timetable(problem, each, deadline_ms) for each in drawn[:KEPT]]
        return [table for table in made if table is not None]

    def _problem(self, tables: Sequence[Timetable], deadline_ms: int) -> _Numbered:
        found = {int(column) for table in tables for column in table.node_type}
        found.update(column for row in self._choices for column in row)
        kinds = np.array(sorted(found), dtype=np.int64)
        number = {int(column): at for at, column in enumerate(kinds)}
        arrays = problem_of(
            self._compiled,
            self._times,
            kinds,
            [[number[column] for column in row] for row in self._choices],
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
