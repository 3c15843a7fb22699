"""Small graphs and schedules that are made by hand, with the tiny books."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from placement.books import PlatformBook
from placement.engine.compiled import Compiled, Ints
from placement.engine.schedule import Schedule, make_schedule
from placement.engine.search import Search
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.engine.timetable import NO_WORKER, Timetable
from placement.workflow import PLATFORMS, Platform
from tests.unit.graphs import MIB
from tests.unit.tiny_books import book_classes

PRICES, BOOK = book_classes()


def graph_of(*tasks: Task, platforms: tuple[tuple[Platform, ...], ...] = (PLATFORMS,)) -> TaskGraph:
    names = sorted({file for task in tasks for file in (*task.inputs, *task.outputs)})
    return TaskGraph(
        "hand",
        "paper",
        tasks,
        tuple(Group(f"g{n}", "map", allowed) for n, allowed in enumerate(platforms)),
        tuple(f"f{file}" for file in names),
        (1_000_000,) * len(names),
        (),
    )


def task(
    name: str,
    seconds: float,
    group: int = 0,
    before: tuple[int, ...] = (),
    cores: int = 1,
    mib: int = 100,
) -> Task:
    return Task(name, group, seconds, cores, mib * MIB, (), (), before)


def run_table(
    compiled: Compiled,
    places: list[tuple[int, int | None, int]],
    nodes: list[tuple[str, int, int]],
) -> Timetable:
    """Make a timetable by hand.

    `places` has (start, node or None, Lambda size) of each task in seconds, `nodes` a type with its
    launch and release in seconds.
    """
    a, names = compiled.arrays, [each.name for each in compiled.node_types]
    kinds = [names.index(kind) for kind, _, _ in nodes]
    startup, took = [], []
    for position, (_, on, size) in enumerate(places):
        init = int(a.limits[3] if on is None else a.task_start_ms[kinds[on]])
        work = a.lambda_ms[position, size] if on is None else a.node_compute_ms[position]
        startup.append(init)
        took.append(init + int(work))
    start = ints(start_s * 1000 for start_s, _, _ in places)
    end = start + ints(took)
    return Timetable(
        start_ms=start,
        startup_ms=ints(startup),
        in_ms=0 * start,
        end_ms=end,
        node=ints(NO_WORKER if on is None else on for _, on, _ in places),
        size=ints(size if on is None else NO_WORKER for _, on, size in places),
        node_type=ints(kinds),
        launch_ms=ints(launch * 1000 for _, launch, _ in nodes),
        release_ms=ints(release * 1000 for _, _, release in nodes),
        makespan_ms=int(end.max()) + compiled.run_end_ms,
    )


def ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)


def by_hand(
    places: list[tuple[int, int | None, int]], nodes: list[tuple[str, int, int]]
) -> Callable[[Compiled, PlatformBook], Schedule]:
    def schedule(compiled: Compiled, book: PlatformBook) -> Schedule:
        return make_schedule(compiled, run_table(compiled, places, nodes), PRICES, book)

    return schedule


def soonest(compiled: Compiled, book: PlatformBook) -> Schedule:
    return make_schedule(compiled, Search(compiled).soonest(), PRICES, book)
