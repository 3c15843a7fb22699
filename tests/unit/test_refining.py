"""The refinement: what it returns is right, in time and repeatable, and single tasks are moved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from placement.engine.compiled import Compiled, compile_graph
from placement.engine.policies.costing import Costing
from placement.engine.refining import refiner
from placement.engine.refining.refiner import Refiner
from placement.engine.schedule import Schedule, make_schedule
from placement.engine.search import Search, to_timetable
from placement.engine.tally import tallied
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.engine.timetable import NO_WORKER, Timetable
from placement.workflow import PLATFORMS
from tests.checker.check_schedule import check
from tests.unit.brute_force import books_of
from tests.unit.graphs import MIB, task_graphs
from tests.unit.tiny_books import book_classes

# The compiled code is compiled by the first example.
quiet = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PRICES, BOOK = book_classes()


@pytest.fixture(autouse=True, scope="module")
def little_effort() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refiner, "TIMES_PER_TASK", 2_400)
        yield


def compiled(graph: TaskGraph) -> Compiled:
    return compile_graph(graph, PRICES, BOOK)


def account(graph: Compiled, table: Timetable) -> Schedule:
    return make_schedule(graph, table, PRICES, BOOK)


def violations(graph: Compiled, table: Timetable) -> list[str]:
    schedule = account(graph, table)
    quick_usd = Costing(graph, PRICES, BOOK).usd(tallied(graph, table))
    assert quick_usd == pytest.approx(float(schedule.usd), rel=1e-9)
    written = json.loads(json.dumps(schedule.to_json()))
    return check(None, written, books_of(PRICES, BOOK))


def refine(
    graph: Compiled, tables: list[Timetable], deadline_ms: int, seed: int = 0
) -> list[Timetable]:
    return Refiner(graph, PRICES, BOOK).refined(tables, deadline_ms, seed)


def refined(graph: Compiled, table: Timetable, deadline_ms: int, seed: int = 0) -> Timetable:
    return next(iter(refine(graph, [table], deadline_ms, seed)), table)


def chains(count: int, length: int, seconds: float) -> TaskGraph:
    """Make chains of like tasks without files."""
    tasks = [
        Task(f"c{c}t{t}", 0, seconds, 1, 100 * MIB, (), (), (c * length + t - 1,) if t else ())
        for c in range(count)
        for t in range(length)
    ]
    return TaskGraph("chains", "", tuple(tasks), (Group("g", "map", PLATFORMS),), (), (), ())


def each_on_its_own_node(graph: Compiled) -> Timetable:
    """Place every task of a graph on a node of its own, as soon as its predecessors have ended."""
    search = Search(graph)
    table = search.soonest()
    kind = int(np.flatnonzero(graph.arrays.node_ok.all(axis=0))[0])
    n = len(graph.graph.tasks)
    ms = int(graph.arrays.task_start_ms[kind]) + graph.arrays.node_compute_ms
    boot = int(graph.arrays.boot_ms[kind])
    start, end = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for task, each in enumerate(graph.graph.tasks):
        start[task] = max([graph.run_start_ms + boot, *(end[p] for p in each.predecessors)])
        end[task] = start[task] + ms[task]
    return replace(
        table,
        start_ms=start,
        startup_ms=np.full(n, graph.arrays.task_start_ms[kind]),
        in_ms=np.zeros(n, dtype=np.int64),
        end_ms=end,
        node=np.arange(n),
        size=np.full(n, NO_WORKER),
        node_type=np.full(n, kind),
        launch_ms=start - boot,
        release_ms=end,
        makespan_ms=int(end.max()) + graph.run_end_ms,
    )


@quiet
@given(graph=task_graphs(), stretch=st.sampled_from([1.0, 1.3, 2.0, 5.0]), seed=st.integers(0, 9))
def test_a_refined_schedule_passes_the_independent_checker_and_keeps_the_deadline(
    graph: TaskGraph, stretch: float, seed: int
) -> None:
    small = compiled(graph)
    search = Search(small)
    search.tries = 30
    deadline = int(search.soonest().makespan_ms * stretch)
    assume(deadline < 1 << 50)
    found = search.cheapest(deadline, seed)
    assume(not found.late_ms)
    table = refined(small, to_timetable(small, found.played), deadline, seed)
    assert violations(small, table) == []
    assert table.makespan_ms <= deadline


@quiet
@given(graph=task_graphs(), seed=st.integers(0, 9))
def test_the_same_seed_gives_the_same_timetable(graph: TaskGraph, seed: int) -> None:
    small = compiled(graph)
    table = Search(small).soonest()
    assume(table.makespan_ms < 1 << 40)
    deadline = 2 * table.makespan_ms
    one, other = (refined(small, table, deadline, seed) for _ in range(2))
    assert account(small, one).to_json() == account(small, other).to_json()


def test_tasks_that_each_have_a_node_share_nodes_afterwards() -> None:
    graph = compiled(chains(4, 5, 60.0))
    table = each_on_its_own_node(graph)
    assert violations(graph, table) == []
    better = refined(graph, table, 20 * table.makespan_ms)
    assert violations(graph, better) == []
    assert account(graph, better).usd < account(graph, table).usd / 2
    assert len(better.node_type) < 20


def test_graphs_too_large_to_anneal_as_a_whole_are_refined_in_parts() -> None:
    graph = compiled(chains(24, 8, 60.0))
    table = each_on_its_own_node(graph)
    deadline = 3 * table.makespan_ms
    better = refined(graph, table, deadline)
    assert violations(graph, better) == []
    assert better.makespan_ms <= deadline
    assert account(graph, better).usd < account(graph, table).usd / 2


def test_of_several_schedules_the_cheapest_is_refined_further() -> None:
    graph = compiled(chains(24, 8, 60.0))
    dear = each_on_its_own_node(graph)
    deadline = 3 * dear.makespan_ms
    cheap = refined(graph, dear, deadline)
    found = refine(graph, [dear, cheap], deadline)
    assert [violations(graph, table) for table in found] == [[], []]
    assert account(graph, found[0]).usd <= account(graph, cheap).usd
    assert account(graph, found[0]).usd <= account(graph, found[1]).usd


def test_a_schedule_without_nodes_is_left_as_it_is() -> None:
    graph = compiled(chains(2, 1, 1.0))
    table = Search(graph).soonest()
    assert not len(table.node_type)
    assert refined(graph, table, 10 * table.makespan_ms) is table
