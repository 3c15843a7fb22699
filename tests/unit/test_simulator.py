"""The simulator: its schedules are right, nothing waits without a reason, and ties are settled."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placement.books import PlatformBook
from placement.engine.compiled import NEVER, Compiled, compile_graph
from placement.engine.listscheduler import pack
from placement.engine.policies.costing import Costing
from placement.engine.schedule import make_schedule
from placement.engine.simulator import Assignment, play_assignment
from placement.engine.tally import tallied
from placement.engine.taskgraph import Task, TaskGraph
from placement.engine.timetable import NO_WORKER, Timetable
from tests.checker.check_schedule import check
from tests.unit.brute_force import books_of
from tests.unit.graphs import MIB, graph_of, task_graphs
from tests.unit.tiny_books import book_classes

# The compiled code is compiled by the first example.
quiet = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PRICES, BOOK = book_classes()
N2, H4 = 0, 1  # columns of the node types of the tiny books
NODE_START_MS, RUN_START_MS, BOOT_MS, GAP_MS, INIT_MS = 100, 1000, 20_000, 100, 500
UP_MS = RUN_START_MS + BOOT_MS


def task(
    name: str,
    seconds: float,
    *,
    cores: int = 1,
    after: tuple[int, ...] = (),
    inputs: tuple[int, ...] = (),
    memory: int = 100,
) -> Task:
    """Make a task; it computes twice as fast on a node as on Lambda."""
    return Task(name, 0, seconds, cores, memory * MIB, inputs, (), after)


def with_figures(**figures: float) -> PlatformBook:
    changed = {
        name: replace(BOOK.figures[name], value=Decimal(str(value)))
        for name, value in figures.items()
    }
    return replace(BOOK, figures={**BOOK.figures, **changed})


def on_nodes(graph: TaskGraph, node: list[int], kinds: list[int], **more: Any) -> Assignment:
    n = len(graph.tasks)
    return assignment(node, [NO_WORKER] * n, kinds, **more)


def on_lambda(sizes: list[int], **more: Any) -> Assignment:
    return assignment([NO_WORKER] * len(sizes), sizes, [], **more)


def assignment(
    node: list[int],
    size: list[int],
    kinds: list[int],
    *,
    priority: list[int] | None = None,
    whole_run: bool = False,
) -> Assignment:
    return Assignment(
        node=np.array(node, dtype=np.int64),
        size=np.array(size, dtype=np.int64),
        priority=np.array(priority or range(len(node)), dtype=np.int64),
        node_type=np.array(kinds, dtype=np.int64),
        launch_ms=np.full(len(kinds), RUN_START_MS, dtype=np.int64),
        whole_run=whole_run,
    )


def simulate(compiled: Compiled, given_assignment: Assignment) -> Timetable:
    return play_assignment(pack(compiled.arrays), given_assignment).table


def played(graph: TaskGraph, given_assignment: Assignment, book: PlatformBook = BOOK) -> Timetable:
    """Play an assignment through, and have the schedule checked."""
    compiled = compile_graph(graph, PRICES, book)
    table = simulate(compiled, given_assignment)
    assert violations(compiled, table, book) == []
    return table


def violations(compiled: Compiled, table: Timetable, book: PlatformBook = BOOK) -> list[str]:
    schedule = make_schedule(compiled, table, PRICES, book).to_json()
    return check(None, json.loads(json.dumps(schedule)), books_of(PRICES, book))


def starts(table: Timetable) -> list[int]:
    return [int(each) for each in table.start_ms]


# any assignment


@st.composite
def assignments(draw: st.DrawFn) -> tuple[TaskGraph, Assignment]:
    """Draw a graph and a place for each of its tasks that can run it."""
    graph = draw(task_graphs(most_tasks=12))
    a = compile_graph(graph, PRICES, BOOK).arrays
    kinds = draw(st.lists(st.sampled_from((N2, H4)), max_size=4))
    node, size = [], []
    for each in range(len(graph.tasks)):
        places = [(at, NO_WORKER) for at, kind in enumerate(kinds) if a.node_ok[each, kind]]
        places += [(NO_WORKER, int(s)) for s in np.flatnonzero(a.lambda_ms[each] < NEVER)]
        if not places:
            kinds.append(H4)
            places = [(len(kinds) - 1, NO_WORKER)]
        place = draw(st.sampled_from(places))
        node.append(place[0])
        size.append(place[1])
    n = len(graph.tasks)
    priority = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return graph, assignment(node, size, kinds, priority=priority)


@quiet
@given(assignments())
def test_a_schedule_passes_the_checker(drawn: tuple[TaskGraph, Assignment]) -> None:
    played(*drawn)


@quiet
@given(assignments())
def test_a_task_starts_when_it_becomes_ready_or_when_its_place_changes(
    drawn: tuple[TaskGraph, Assignment],
) -> None:
    graph, given_assignment = drawn
    table = played(graph, given_assignment)
    for each, one in enumerate(graph.tasks):
        node = int(table.node[each])
        ready = max([RUN_START_MS, *(int(table.end_ms[t]) for t in one.predecessors)])
        ready += GAP_MS if node == NO_WORKER else 0
        there = [t for t in range(len(graph.tasks)) if t != each and table.node[t] == node]
        moments = {ready, *(int(table.end_ms[t]) for t in there)}
        if node == NO_WORKER:
            moments |= {int(table.start_ms[t]) + 10_000 for t in there}
        else:
            moments.add(int(table.launch_ms[node]) + compiled_boot(table, node))
        assert int(table.start_ms[each]) in moments


def compiled_boot(table: Timetable, node: int) -> int:
    return {N2: BOOT_MS, H4: 30_000}[int(table.node_type[node])]


@quiet
@given(assignments())
def test_no_ready_task_overtakes_another_on_its_node(
    drawn: tuple[TaskGraph, Assignment],
) -> None:
    graph, given_assignment = drawn
    table = played(graph, given_assignment)
    n = len(graph.tasks)
    ready = [
        max([RUN_START_MS, *(int(table.end_ms[t]) for t in graph.tasks[each].predecessors)])
        for each in range(n)
    ]
    turn = [(int(given_assignment.priority[each]), each) for each in range(n)]
    for first in range(n):
        for other in range(n):
            together = table.node[first] == table.node[other] != NO_WORKER
            if together and turn[first] < turn[other] and ready[first] <= table.start_ms[other]:
                assert table.start_ms[first] <= table.start_ms[other]


@quiet
@given(assignments())
def test_the_fast_cost_is_the_exact_cost(drawn: tuple[TaskGraph, Assignment]) -> None:
    graph, given_assignment = drawn
    compiled = compile_graph(graph, PRICES, BOOK)
    run = play_assignment(pack(compiled.arrays), given_assignment)
    exact = make_schedule(compiled, run.table, PRICES, BOOK).usd
    assert Costing(compiled, PRICES, BOOK).usd(run) == pytest.approx(float(exact), rel=1e-9)
    again = tallied(compiled, run.table)
    assert again.get_requests == run.get_requests
    assert again.disk_bytes.tolist() == run.disk_bytes.tolist()


# nodes


def test_a_node_takes_tasks_as_soon_as_it_is_up_and_has_room() -> None:
    graph = graph_of(task("a", 8), task("b", 4), task("c", 2))
    table = played(graph, on_nodes(graph, [0, 0, 0], [N2]))
    assert starts(table) == [UP_MS, UP_MS, UP_MS + NODE_START_MS + 2000]


def test_of_waiting_tasks_the_smallest_priority_comes_first_of_equals_the_first_in_the_graph() -> (
    None
):
    graph = graph_of(*(task(name, 2, cores=2) for name in "abcd"))
    table = played(graph, on_nodes(graph, [0] * 4, [N2], priority=[5, 5, 9, 1]))
    ms = NODE_START_MS + 1000
    assert starts(table) == [UP_MS + ms, UP_MS + 2 * ms, UP_MS + 3 * ms, UP_MS]


def test_a_task_overtakes_one_that_is_not_ready() -> None:
    graph = graph_of(task("a", 20), task("b", 2, after=(0,)), task("c", 2))
    table = played(graph, on_nodes(graph, [0, 0, 0], [N2], priority=[0, 1, 2]))
    assert starts(table)[2] == UP_MS < starts(table)[1]


def test_a_task_does_not_overtake_one_that_lacks_room() -> None:
    graph = graph_of(task("a", 20), task("wide", 2, cores=2), task("c", 2))
    table = played(graph, on_nodes(graph, [0, 0, 0], [N2]))
    a_ends = UP_MS + NODE_START_MS + 10_000
    assert starts(table) == [UP_MS, a_ends, a_ends + NODE_START_MS + 1000]


def test_memory_is_room_too() -> None:
    graph = graph_of(task("a", 2, memory=600), task("b", 2, memory=600))
    table = played(graph, on_nodes(graph, [0, 0], [N2]))
    assert starts(table)[1] == int(table.end_ms[0])


def test_files_that_are_on_the_node_are_not_brought_again() -> None:
    graph = graph_of(task("a", 2, inputs=(0,)), task("b", 2, inputs=(0,)), files=(10_000_000,))
    apart = played(graph, on_nodes(graph, [0, 1], [N2, N2]))
    after = played(
        graph_of(graph.tasks[0], replace(graph.tasks[1], cores=2), files=(10_000_000,)),
        on_nodes(graph, [0, 0], [N2]),
    )
    assert apart.in_ms.min() > 0
    assert after.in_ms[1] == 0


def test_tasks_that_start_together_both_bring_the_file() -> None:
    graph = graph_of(task("a", 2, inputs=(0,)), task("b", 2, inputs=(0,)), files=(10_000_000,))
    table = played(graph, on_nodes(graph, [0, 0], [N2]))
    assert table.in_ms[0] == table.in_ms[1] > 0


def test_a_node_is_released_when_its_last_task_has_ended() -> None:
    graph = graph_of(task("a", 2), task("b", 20))
    table = played(graph, on_nodes(graph, [0, 1], [N2, N2]))
    assert list(table.release_ms) == list(table.end_ms)


def test_a_cluster_is_kept_until_the_last_task_of_the_run_has_ended() -> None:
    graph = graph_of(task("a", 2), task("b", 20))
    table = played(graph, on_nodes(graph, [0, 1], [N2, N2], whole_run=True))
    assert list(table.release_ms) == [table.end_ms.max()] * 2


def test_only_a_cluster_for_the_whole_run_has_nodes_without_tasks() -> None:
    graph = graph_of(task("a", 2), task("b", 2))
    compiled = compile_graph(graph, PRICES, BOOK)
    by_task = simulate(compiled, on_nodes(graph, [1, 3], [N2, N2, N2, H4]))
    whole = simulate(compiled, on_nodes(graph, [1, 3], [N2, N2, N2, H4], whole_run=True))
    assert (list(by_task.node), list(by_task.node_type)) == ([0, 1], [N2, H4])
    assert (list(whole.node), list(whole.node_type)) == ([1, 3], [N2, N2, N2, H4])


def test_a_cluster_that_nothing_waits_for_is_released_no_sooner_than_it_is_up() -> None:
    graph = graph_of(task("a", 2))
    compiled = compile_graph(graph, PRICES, BOOK)
    table = simulate(compiled, assignment([NO_WORKER], [2], [N2], whole_run=True))
    assert table.end_ms[0] < UP_MS
    assert list(table.release_ms) == [UP_MS]


# Lambda


def test_a_task_on_lambda_waits_for_the_gap_and_for_a_cold_environment() -> None:
    graph = graph_of(task("a", 2), task("b", 2, after=(0,)))
    table = played(graph, on_lambda([2, 2]))
    assert list(table.startup_ms) == [INIT_MS, 0]
    first_ends = RUN_START_MS + GAP_MS + INIT_MS + 2000
    assert starts(table) == [RUN_START_MS + GAP_MS, first_ends + GAP_MS]
    assert list(table.end_ms) == [first_ends, first_ends + GAP_MS + 2000]


def test_environments_of_another_size_are_not_warm_for_a_task() -> None:
    graph = graph_of(task("a", 2), task("b", 2, after=(0,)))
    assert list(played(graph, on_lambda([2, 1])).startup_ms) == [INIT_MS, INIT_MS]


def test_what_exceeds_the_concurrency_waits_by_priority() -> None:
    graph = graph_of(*(task(name, 2) for name in "abcd"))
    table = played(graph, on_lambda([2, 2, 2, 2], priority=[3, 2, 1, 0]))
    begin, ms = RUN_START_MS + GAP_MS, INIT_MS + 2000
    assert starts(table) == [begin + ms, begin + ms, begin, begin]
    assert list(table.startup_ms) == [0, 0, INIT_MS, INIT_MS]


def test_a_function_adds_so_many_environments_in_ten_seconds_and_others_overtake() -> None:
    book = with_figures(lambda_concurrency=100, lambda_scale_per_10_s=2)
    graph = graph_of(*(task(str(n), 30) for n in range(6)))
    table = played(graph, on_lambda([2, 2, 2, 2, 2, 1]), book)
    begin = RUN_START_MS + GAP_MS
    assert starts(table) == [begin, begin, *[begin + 10_000] * 2, begin + 20_000, begin]


def test_a_function_that_may_not_grow_takes_an_environment_that_becomes_free() -> None:
    book = with_figures(lambda_concurrency=100, lambda_scale_per_10_s=1)
    graph = graph_of(task("a", 4), task("b", 4))
    table = played(graph, on_lambda([2, 2]), book)
    assert starts(table)[1] == int(table.end_ms[0])
    assert table.startup_ms[1] == 0


@quiet
@given(assignments())
def test_environments_that_start_in_no_time_are_used_again_too(
    drawn: tuple[TaskGraph, Assignment],
) -> None:
    table = played(*drawn, with_figures(lambda_init_s=0))
    on_lambda_now = table.node == NO_WORKER
    assert not table.startup_ms[on_lambda_now].any()


def test_of_environments_that_start_in_no_time_no_more_are_made_than_run_at_once() -> None:
    graph = graph_of(task("a", 2), task("b", 2), task("c", 2, after=(0, 1)))
    book = with_figures(lambda_init_s=0)
    compiled = compile_graph(graph, PRICES, book)
    schedule = make_schedule(compiled, played(graph, on_lambda([2] * 3), book), PRICES, book)
    workers = [run.worker for run in schedule.tasks]
    assert workers == ["lambda-00001", "lambda-00002", "lambda-00002"]


# mistakes


@pytest.mark.parametrize(
    "wrong",
    [
        on_lambda([0]),  # more memory than 512 MB
        assignment([NO_WORKER], [NO_WORKER], []),
        assignment([0], [NO_WORKER], [N2]),  # more memory than the node has
    ],
)
def test_a_place_that_cannot_run_a_task_is_an_error(wrong: Assignment) -> None:
    compiled = compile_graph(graph_of(task("a", 2, memory=1010)), PRICES, BOOK)
    with pytest.raises(ValueError, match="task 0 is assigned to a place that cannot run it"):
        simulate(compiled, wrong)
