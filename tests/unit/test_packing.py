"""Packing: what it assigns can be played, keeps deadlines, fills nodes, and follows files."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placement.engine.compiled import Compiled, Ints, compile_graph
from placement.engine.listscheduler import pack
from placement.engine.packing import packed
from placement.engine.packings import Packings
from placement.engine.planner import Planner
from placement.engine.policies.clusters import Clusters
from placement.engine.policies.goal import Goal
from placement.engine.schedule import make_schedule
from placement.engine.search import Search
from placement.engine.simulator import Assignment, play_assignment
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
LOOSE, TIGHT = 50.0, 1.0


def kinds_of(compiled: Compiled) -> Ints:
    ray = [at for at, kind in enumerate(compiled.node_types) if kind.platform == "ray"]
    return np.array(ray, dtype=np.int64)


def packing(compiled: Compiled, stretch: float, dearer: float = 1.0) -> Assignment:
    search = Search(compiled)
    deadline_ms = int(search.soonest().makespan_ms * stretch)
    deadlines = search.slack.deadlines(0.0, deadline_ms)
    starts = search.slack.starts(deadlines, search.slack.node_ms, 0)
    return packed(pack(compiled.arrays), deadlines, starts, kinds_of(compiled), dearer)


def played(compiled: Compiled, assignment: Assignment) -> Timetable:
    return play_assignment(pack(compiled.arrays), assignment).table


def independent(count: int, files: tuple[int, ...] = ()) -> Compiled:
    tasks = [Task(f"t{n}", 0, 10.0, 1, 100 * MIB, files, (), ()) for n in range(count)]
    sizes = tuple(50_000_000 for _ in files)
    names = tuple(f"f{file}" for file in files)
    group = Group("g", "map", PLATFORMS)
    return compile_graph(
        TaskGraph("many", "", tuple(tasks), (group,), names, sizes, ()), PRICES, BOOK
    )


@quiet
@given(task_graphs(), st.sampled_from((TIGHT, 1.3, LOOSE)), st.sampled_from((0.5, 1.0, 4.0)))
def test_what_is_packed_passes_the_checker(graph: TaskGraph, stretch: float, dearer: float) -> None:
    compiled = compile_graph(graph, PRICES, BOOK)
    on_ray = compiled.arrays.node_ok[:, kinds_of(compiled)].any(axis=1)
    somewhere = on_ray | (compiled.arrays.lambda_ms < 1 << 50).any(axis=1)
    if not somewhere.all():
        return
    table = played(compiled, packing(compiled, stretch, dearer))
    schedule = json.loads(json.dumps(make_schedule(compiled, table, PRICES, BOOK).to_json()))
    assert check(None, schedule, books_of(PRICES, BOOK)) == []


def test_with_time_enough_a_node_is_filled_before_another_is_launched() -> None:
    assignment = packing(independent(12), LOOSE, dearer=100.0)
    assert len(assignment.node_type) == 1


def test_the_less_time_there_is_the_more_nodes_there_are() -> None:
    compiled = independent(40)
    counts = [
        len(packing(compiled, stretch, dearer=100.0).node_type) for stretch in (LOOSE, 10.0, 4.0)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_a_task_that_fits_behind_others_in_time_costs_no_second_boot() -> None:
    compiled = independent(2)
    table = played(compiled, packing(compiled, LOOSE, dearer=100.0))
    assert set(table.node) == {0}
    assert NO_WORKER not in table.node


def test_where_lambda_counts_next_to_nothing_all_goes_there() -> None:
    assignment = packing(independent(5), LOOSE, dearer=1e-6)
    assert (assignment.node == NO_WORKER).all()


def test_packings_keep_the_deadline_and_are_repeatable() -> None:
    compiled = independent(30, files=(0,))
    clusters = Clusters(compiled, PRICES, BOOK)
    search = Search(compiled)
    packings = Packings(clusters, search.slack, [kinds_of(compiled).tolist()])
    deadline_ms = 2 * search.soonest().makespan_ms
    tables = packings.in_time(deadline_ms, 0)
    assert tables
    assert all(table.makespan_ms <= deadline_ms for table in tables)
    again = packings.in_time(deadline_ms, 0)
    assert [each.node.tolist() for each in tables] == [each.node.tolist() for each in again]


def test_a_plan_is_no_dearer_than_what_is_packed() -> None:
    compiled = independent(30, files=(0,))
    planner = Planner(compiled.graph, PRICES, BOOK)
    deadline_ms = int(1.5 * planner.shortest_makespan_ms)
    clusters = Clusters(compiled, PRICES, BOOK)
    packings = Packings(clusters, Search(compiled).slack, [kinds_of(compiled).tolist()])
    plan = planner.schedule("trivium", Goal("cost", deadline_ms))
    for table in packings.in_time(deadline_ms, 0):
        assert plan.usd <= make_schedule(compiled, table, PRICES, BOOK).usd  # type: ignore[union-attr]
