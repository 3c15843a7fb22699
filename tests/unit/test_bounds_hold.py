"""The lower bounds lie below all that the exhaustive search and the engine find."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from placement.engine.bound import CostBound
from placement.engine.compiled import compile_graph
from placement.engine.retiming import retimed
from placement.engine.schedule import make_schedule
from placement.engine.search import Search, to_timetable
from placement.engine.taskgraph import TaskGraph
from tests.unit.brute_force import pareto
from tests.unit.graphs import task_graphs
from tests.unit.tiny_books import book_classes

quiet = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PRICES, BOOK = book_classes()


@settings(quiet, max_examples=8)
@given(task_graphs(most_tasks=3))
def test_no_point_of_the_exhaustive_front_is_below_a_bound(graph: TaskGraph) -> None:
    compiled = compile_graph(graph, PRICES, BOOK)
    front = pareto(
        graph,
        PRICES,
        BOOK,
        lambda_kinds=[(size.memory_mb, size.arch) for size in compiled.lambda_sizes],
        node_kinds=[(kind.platform, kind.name) for kind in compiled.node_types],
        max_nodes=len(graph.tasks),
    )
    assume(front)
    bound = CostBound(graph, PRICES, BOOK)
    for point in front:
        assert bound.cost(point.makespan_ms) <= point.cost_usd
        assert bound.time(point.cost_usd) <= point.makespan_ms


@settings(quiet, max_examples=15)
@given(task_graphs(most_tasks=12), st.floats(1.0, 8.0))
def test_nothing_that_the_search_finds_is_below_a_bound(graph: TaskGraph, stretch: float) -> None:
    compiled = compile_graph(graph, PRICES, BOOK)
    search = Search(compiled)
    search.tries = 150
    assume(search.soonest().makespan_ms < 1 << 50)
    deadline = int(search.soonest().makespan_ms * stretch)
    table = to_timetable(compiled, search.cheapest(deadline, 0).played)
    found = make_schedule(
        compiled, retimed(compiled, table, max(deadline, table.makespan_ms)), PRICES, BOOK
    )
    bound = CostBound(graph, PRICES, BOOK)
    assert bound.cost(found.makespan_ms) <= found.usd
    assert bound.time(found.usd, known_ms=found.makespan_ms) <= found.makespan_ms


@settings(quiet, max_examples=10)
@given(task_graphs(most_tasks=6))
def test_more_time_never_raises_the_bound_on_cost_above_a_schedule_that_has_less(
    graph: TaskGraph,
) -> None:
    compiled = compile_graph(graph, PRICES, BOOK)
    search = Search(compiled)
    assume(search.soonest().makespan_ms < 1 << 50)
    soonest = make_schedule(compiled, search.soonest(), PRICES, BOOK)
    bound = CostBound(graph, PRICES, BOOK)
    for stretch in (1.0, 1.5, 3.0, 10.0):
        assert bound.cost(int(soonest.makespan_ms * stretch)) <= soonest.usd
