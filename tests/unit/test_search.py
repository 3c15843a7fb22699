"""The search for cheap schedules: all that it finds is right, in time, repeatable, never dearer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from placement.engine.compiled import compile_graph
from placement.engine.retiming import retimed
from placement.engine.schedule import Schedule, make_schedule
from placement.engine.search import Found, Search, to_timetable
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.engine.timetable import NO_WORKER, Timetable
from placement.workflow import PLATFORMS
from tests.checker.check_schedule import check
from tests.unit.brute_force import books_of, pareto
from tests.unit.graphs import MIB, task_graphs
from tests.unit.tiny_books import book_classes

# The compiled code is compiled by the first example.
quiet = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PRICES, BOOK = book_classes()


def same_tasks(count: int, seconds: float, after: tuple[tuple[int, ...], ...] = ()) -> TaskGraph:
    """Make a graph of like tasks without files; `after` names each one's predecessors."""
    before = after or ((),) * count
    return TaskGraph(
        "like",
        "paper",
        tuple(Task(f"t{n}", 0, seconds, 1, 100 * MIB, (), (), before[n]) for n in range(count)),
        (Group("g", "map", PLATFORMS),),
        (),
        (),
        (),
    )


class Engine:
    """The engine on one graph, with the tiny books."""

    def __init__(self, graph: TaskGraph) -> None:
        self.graph = graph
        self.compiled = compile_graph(graph, PRICES, BOOK)
        self.search = Search(self.compiled)
        self.search.tries = 120

    def schedule(self, table: Timetable) -> Schedule:
        return make_schedule(self.compiled, table, PRICES, BOOK)

    def cheapest(self, deadline_ms: int, seed: int = 0) -> Found:
        return self.search.cheapest(deadline_ms, seed)

    def violations(self, table: Timetable) -> list[str]:
        written = json.loads(json.dumps(self.schedule(table).to_json()))
        return check(None, written, books_of(PRICES, BOOK))


def feasible(engine: Engine) -> bool:
    """Whether the soonest schedule exists: some drawn tasks fit nowhere."""
    return engine.search.soonest().makespan_ms < 1 << 50


@quiet
@given(task_graphs(), st.floats(1.0, 6.0))
def test_every_schedule_found_passes_the_independent_checker(
    graph: TaskGraph, stretch: float
) -> None:
    engine = Engine(graph)
    assume(feasible(engine))
    assert engine.violations(engine.search.soonest()) == []
    deadline = int(engine.search.soonest().makespan_ms * stretch)
    found = to_timetable(engine.compiled, engine.cheapest(deadline).played)
    assert engine.violations(found) == []
    moved = retimed(engine.compiled, found, max(deadline, found.makespan_ms))
    assert engine.violations(moved) == []


@quiet
@given(task_graphs(), st.floats(1.0, 6.0))
def test_retiming_keeps_the_deadline_and_is_never_dearer(graph: TaskGraph, stretch: float) -> None:
    engine = Engine(graph)
    assume(feasible(engine))
    deadline = int(engine.search.soonest().makespan_ms * stretch)
    found = engine.cheapest(deadline)
    assume(found.late_ms == 0)
    table = to_timetable(engine.compiled, found.played)
    moved = retimed(engine.compiled, table, deadline)
    assert moved.makespan_ms <= deadline
    assert engine.schedule(moved).usd <= engine.schedule(table).usd


@settings(quiet, max_examples=8)
@given(task_graphs(most_tasks=3))
def test_no_schedule_found_beats_the_exhaustive_search(graph: TaskGraph) -> None:
    engine = Engine(graph)
    assume(feasible(engine) and all(task.cores == 1 for task in graph.tasks))
    front = pareto(
        graph,
        PRICES,
        BOOK,
        lambda_kinds=[(size.memory_mb, size.arch) for size in engine.compiled.lambda_sizes],
        node_kinds=[(kind.platform, kind.name) for kind in engine.compiled.node_types],
        max_nodes=len(graph.tasks),
    )
    for best in front:
        found = engine.cheapest(best.makespan_ms)
        table = to_timetable(engine.compiled, found.played)
        as_fast = [each for each in front if each.makespan_ms <= table.makespan_ms]
        assert as_fast, "faster than the fastest"
        assert engine.schedule(table).usd >= min(each.cost_usd for each in as_fast)


def test_the_same_seed_gives_the_same_schedule() -> None:
    graph = same_tasks(12, 7.0)
    first, second = (Engine(graph).cheapest(90_000, seed=3) for _ in range(2))
    for name in first.played._fields:
        assert np.array_equal(getattr(first.played, name), getattr(second.played, name))


def test_one_node_does_one_after_the_other_where_time_allows_it() -> None:
    engine = Engine(same_tasks(4, 60.0))
    found = to_timetable(engine.compiled, engine.cheapest(10_000_000).played)
    assert len(found.node_type) == 1
    assert (found.node != NO_WORKER).all()


def test_what_must_begin_before_a_node_can_be_up_goes_to_lambda() -> None:
    engine = Engine(same_tasks(1, 3.0))
    soonest = engine.search.soonest()
    assert soonest.node.tolist() == [NO_WORKER]
    assert soonest.start_ms.tolist() == [1_100]  # the run's start and one gap between states


def test_a_deadline_that_no_schedule_keeps_is_reported_as_lateness() -> None:
    engine = Engine(same_tasks(2, 3.0, ((), (0,))))
    shortest = engine.search.soonest().makespan_ms
    assert engine.cheapest(shortest).late_ms == 0
    assert engine.cheapest(shortest - 500).late_ms > 0


@pytest.mark.parametrize("gap_s", [1.0, 5.0])
def test_a_node_is_held_without_a_gap_where_its_first_task_can_wait(gap_s: float) -> None:
    # On one node: a task that could start at once, and one that waits for something on Lambda.
    engine = Engine(same_tasks(3, 4.0, ((), (), (1,))))
    ms = 2_000 + 100  # at twice the reference speed, and its start
    boot = 20_000
    first = 1_000 + boot
    away = first + 10_000
    second = away + 4_500 + int(gap_s * 1000)
    table = Timetable(
        start_ms=np.array([first, away, second]),
        startup_ms=np.array([100, 500, 100]),
        in_ms=np.zeros(3, dtype=np.int64),
        end_ms=np.array([first + ms, away + 4_500, second + ms]),
        node=np.array([0, NO_WORKER, 0]),
        size=np.array([NO_WORKER, size_for(engine, 4096), NO_WORKER]),
        node_type=np.array([node_type(engine, "n2")]),
        launch_ms=np.array([first - boot]),
        release_ms=np.array([second + ms]),
        makespan_ms=second + ms + 1_000,
    )
    moved = retimed(engine.compiled, table, table.makespan_ms)
    assert moved.release_ms[0] - moved.start_ms[0] < 3 * ms
    assert engine.violations(moved) == []


def size_for(engine: Engine, memory_mb: int) -> int:
    sizes = [size.memory_mb for size in engine.compiled.lambda_sizes]
    return sizes.index(memory_mb)


def node_type(engine: Engine, name: str) -> int:
    return [kind.name for kind in engine.compiled.node_types].index(name)
