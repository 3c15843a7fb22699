"""HEFT: the paper's ranks, examples by hand, and a slow second version as oracle."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placement.engine.compiled import NEVER, compile_graph
from placement.engine.listscheduler import T_PREDS, Work, pack
from placement.engine.policies.heft import (
    ANYWHERE,
    ON_LAMBDA,
    ON_NODES,
    P_NODE,
    P_START,
    Cluster,
    _mean_times,
    _plan,
    heft,
    upward_ranks,
)
from placement.engine.policies.sizes import cheapest_sizes, fastest_sizes
from placement.engine.schedule import _graph_json, make_schedule
from placement.engine.simulator import play_assignment
from placement.engine.taskgraph import Task, TaskGraph
from placement.engine.timetable import NO_WORKER
from tests.checker.check_schedule import check
from tests.checker.model import Model
from tests.checker.tasks import Need, schedule_graph
from tests.unit.brute_force import books_of
from tests.unit.graphs import MIB, graph_of, task_graphs
from tests.unit.tiny_books import book_classes

# The compiled code is compiled by the first example.
quiet = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PRICES, BOOK = book_classes()
BOOKS = books_of(PRICES, BOOK)
N2, H4 = 0, 1  # columns of the node types of the tiny books
NAMES = {N2: ("ray", "n2"), H4: ("hpc", "h4")}
UP_MS = 21_000  # when a Ray node is up that was launched when the run started


def cluster_of(kinds: Sequence[int]) -> Cluster:
    return Cluster(np.array(kinds, dtype=np.int64), np.full(len(kinds), 1000, dtype=np.int64))


def anywhere(tasks: int, place: int = ANYWHERE) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.full(tasks, place, dtype=np.int64)


def work_of(graph: TaskGraph) -> Work:
    return pack(compile_graph(graph, PRICES, BOOK).arrays)


# ranks

# The ten-task example of the paper: figure 2 (edges with what they cost), table 1 (what tasks cost
# on three processors), and the ranks of table 2.
EDGES = {
    (1, 2): 18, (1, 3): 12, (1, 4): 9, (1, 5): 11, (1, 6): 14,
    (2, 8): 19, (2, 9): 16, (3, 7): 23, (4, 8): 27, (4, 9): 23,
    (5, 9): 13, (6, 8): 15, (7, 10): 17, (8, 10): 11, (9, 10): 13,
}  # fmt: skip
COSTS = [
    (14, 16, 9), (13, 19, 18), (11, 13, 19), (13, 8, 17), (12, 13, 10),
    (13, 16, 9), (7, 15, 11), (5, 11, 14), (18, 12, 20), (21, 7, 16),
]  # fmt: skip
RANKS = [108.000, 77.000, 80.000, 80.000, 69.000, 63.333, 42.667, 35.667, 44.333, 14.667]


def test_the_ranks_of_the_papers_example() -> None:
    rows = [[(i, c) for (i, k), c in EDGES.items() if k == j] for j in range(1, 11)]
    ranks = upward_ranks(
        np.cumsum([0, *(len(row) for row in rows)]),
        np.array([i - 1 for row in rows for i, _ in row]),
        np.array([sum(costs) / 3 for costs in COSTS]),
        np.array([float(c) for row in rows for _, c in row]),
    )
    assert list(ranks) == pytest.approx(RANKS, abs=5e-4)


@quiet
@given(task_graphs(), st.lists(st.sampled_from((N2, H4)), min_size=1, max_size=5))
def test_mean_times_are_those_over_all_places(graph: TaskGraph, kinds: list[int]) -> None:
    w = work_of(graph)
    slow = Slow(graph, kinds)
    some, counts = np.unique(np.array(kinds), return_counts=True)
    work, bring = _mean_times(w, some, counts, anywhere(len(graph.tasks)), fastest_sizes(w))
    edges = iter(bring)
    for j, task in enumerate(graph.tasks):
        assert work[j] == pytest.approx(float(slow.mean_work(j)))
        for i in task.predecessors:
            assert next(edges) == pytest.approx(float(slow.mean_bring(i, j)))


# plans


class Slow:
    """HEFT once more, slow and simple, by the checker's model: tries every moment in turn."""

    def __init__(self, graph: TaskGraph, kinds: Sequence[int]) -> None:
        told = schedule_graph(_graph_json(graph))
        self.graph, self.kinds, self.model = graph, kinds, Model(BOOKS, told)
        self.needs = [told.needs[task.id] for task in graph.tasks]
        self.lambda_ms = work_of(graph).lambda_ms
        self.there: list[dict[str, int]] = [{} for _ in kinds]
        self.placed: dict[int, tuple[int, int, int]] = {}  # place, start and end by task

    def fits(self, task: int, node: int) -> bool:
        need, kind = self.needs[task], BOOKS.nodes[NAMES[self.kinds[node]][1]]
        return need.cores <= kind.vcpus and need.memory_bytes <= self.model.node_room_bytes(kind)

    def fastest_ms(self, task: int) -> int | None:
        least = int(self.lambda_ms[task].min())
        return None if least >= NEVER else least + self.model.init_ms

    def node_ms(self, task: int, node: int, missing: Sequence[str]) -> tuple[int, int]:
        platform, name = NAMES[self.kinds[node]]
        moved = self.model.node_moves_ms(self.needs[task], missing, BOOKS.nodes[name])
        start_ms = self.model.task_start_ms[platform]
        return moved[0], start_ms + sum(moved) + self.model.node_compute_ms(self.needs[task])

    def mean_work(self, task: int) -> Fraction:
        made = {file for one in self.needs for file in one.outputs}
        given = [file for file in self.needs[task].inputs if file not in made]
        times = [
            self.node_ms(task, node, given)[1]
            for node in range(len(self.kinds))
            if self.fits(task, node)
        ]
        away = self.fastest_ms(task)
        if away is not None:
            times.append(away + self.model.gap_ms)
        return Fraction(sum(times), max(1, len(times)))

    def mean_bring(self, before: int, task: int) -> Fraction:
        files = [file for file in self.needs[task].inputs if file in self.needs[before].outputs]
        nodes = [node for node in range(len(self.kinds)) if self.fits(task, node)]
        places = len(nodes) + (self.fastest_ms(task) is not None)
        if not nodes:
            return Fraction(0)
        total = sum(self.node_ms(task, node, files)[0] for node in nodes)
        return Fraction(total, places) * (1 - Fraction(1, len(self.kinds)))

    def plan(self, order: Sequence[int], where: Sequence[int]) -> None:
        for task in order:
            before = self.graph.tasks[task].predecessors
            ready = max([self.model.run_start_ms, *(self.placed[one][2] for one in before)])
            found = []
            if where[task] & ON_NODES:
                found = [self.on_node(task, node, ready) for node in range(len(self.kinds))]
            if where[task] & ON_LAMBDA:
                found.append(self.on_lambda(task, ready))
            best = min((each for each in found if each), key=lambda run: (run[2], run[0]))
            self.settle(task, *best)

    def on_lambda(self, task: int, ready: int) -> tuple[int, int, int] | None:
        ms = self.fastest_ms(task)
        if ms is None:
            return None
        slots = int(BOOKS.value("lambda_concurrency"))
        earliest, place = ready + self.model.gap_ms, len(self.kinds)
        ends = [end for _, end in self.of(place)]
        for start in sorted({earliest, *(end for end in ends if end > earliest)}):
            if all(self.used(place, at)[2] < slots for at in self.moments(place, start, ms)):
                return place, start, start + ms
        raise AssertionError("there is always room at the end")

    def on_node(self, task: int, node: int, ready: int) -> tuple[int, int, int] | None:
        if not self.fits(task, node):
            return None
        platform, _ = NAMES[self.kinds[node]]
        earliest = max(ready, self.model.run_start_ms + self.model.boot_ms[platform])
        need, files = self.needs[task], self.there[node]
        # First as if all were there that ever comes; then twice with what is there at the start.
        ms = self.node_ms(task, node, [f for f in need.inputs if f not in files])[1]
        if any(f in files for f in need.inputs):
            ms = self.node_ms(task, node, [])[1]
        start = self.first_gap(need, node, earliest, ms)
        for _ in range(2):
            missing = [f for f in need.inputs if files.get(f, NEVER) > start]
            ms = self.node_ms(task, node, missing)[1]
            start = self.first_gap(need, node, start, ms)
        missing = [f for f in need.inputs if files.get(f, NEVER) > start]
        return node, start, start + ms

    def first_gap(self, need: Need, node: int, earliest: int, ms: int) -> int:
        kind = BOOKS.nodes[NAMES[self.kinds[node]][1]]
        room = self.model.node_room_bytes(kind)
        for start in sorted({earliest, *(e for _, e in self.of(node) if e > earliest)}):
            used = [self.used(node, at) for at in self.moments(node, start, ms)]
            if all(
                cores + need.cores <= kind.vcpus and memory + need.memory_bytes <= room
                for cores, memory, _ in used
            ):
                return start
        raise AssertionError("there is always room at the end")

    def of(self, place: int) -> list[tuple[int, int]]:
        return [(start, end) for at, start, end in self.placed.values() if at == place]

    def moments(self, place: int, start: int, ms: int) -> list[int]:
        """Return the moments of an interval at which something begins; none if it is empty."""
        begins = (begin for begin, _ in self.of(place) if start < begin < start + ms)
        return [start, *begins] if ms else []

    def used(self, place: int, when: int) -> tuple[int, int, int]:
        there = [
            self.needs[task]
            for task, (at, start, end) in self.placed.items()
            if at == place and start <= when < end
        ]
        return sum(n.cores for n in there), sum(n.memory_bytes for n in there), len(there)

    def settle(self, task: int, place: int, start: int, end: int) -> None:
        if place < len(self.kinds):
            need, files = self.needs[task], self.there[place]
            missing = [f for f in need.inputs if files.get(f, NEVER) > start]
            start_ms = self.model.task_start_ms[NAMES[self.kinds[place]][0]]
            brought = start + start_ms + self.node_ms(task, place, missing)[0]
            for file, since in [
                *((file, brought) for file in need.inputs),
                *((file, end) for file in need.outputs),
            ]:
                files[file] = min(since, files.get(file, NEVER))
        self.placed[task] = (place, start, end)


@quiet
@given(
    task_graphs(most_tasks=10),
    st.lists(st.sampled_from((N2, H4)), min_size=1, max_size=4),
    st.sampled_from((ON_NODES, ANYWHERE)),
)
def test_the_plan_is_that_of_a_slow_second_version(
    graph: TaskGraph, kinds: list[int], place: int
) -> None:
    # On the larger type every task fits.
    kinds = [*kinds, H4]
    w, cluster = work_of(graph), cluster_of(kinds)
    where, sizes = anywhere(len(graph.tasks), place), fastest_sizes(w)
    some, counts = np.unique(cluster.node_type, return_counts=True)
    ranks = upward_ranks(
        w.tasks[:, T_PREDS].copy(), w.links, *_mean_times(w, some, counts, where, sizes)
    )
    order = np.argsort(-ranks, kind="stable")
    plan = _plan(w, order, cluster.node_type, cluster.launch_ms, where, sizes)
    slow = Slow(graph, kinds)
    slow.plan([int(task) for task in order], [int(each) for each in where])
    expected = [slow.placed[task] for task in range(len(graph.tasks))]
    assert [int(start) for start in plan[:, P_START]] == [start for _, start, _ in expected]
    assert [int(node) for node in plan[:, P_NODE]] == [
        NO_WORKER if place == len(kinds) else place for place, _, _ in expected
    ]


@quiet
@given(
    task_graphs(most_tasks=10),
    st.integers(0, 3),
    st.sampled_from((ON_NODES, ANYWHERE)),
    st.booleans(),
)
def test_what_heft_assigns_passes_the_checker(
    graph: TaskGraph, nodes: int, place: int, whole_run: bool
) -> None:
    compiled = compile_graph(graph, PRICES, BOOK)
    where = anywhere(len(graph.tasks), place)
    kinds = [*([N2] * nodes), H4]
    assignment = heft(pack(compiled.arrays), cluster_of(kinds), where, whole_run=whole_run)
    table = play_assignment(pack(compiled.arrays), assignment).table
    used = {int(node) for node in table.node}
    if len(used - {NO_WORKER}) == len(table.node_type):
        schedule = make_schedule(compiled, table, PRICES, BOOK).to_json()
        assert check(None, schedule, BOOKS) == []


def test_a_short_task_goes_into_a_gap_before_one_that_was_placed_earlier() -> None:
    """ "last" waits for "away", which takes 30 s on Lambda; "filler" has the lowest rank of all."""
    graph = graph_of(
        Task("away", 0, 60.0, 2, 900 * MIB, (), (), ()),
        Task("last", 0, 10.0, 2, 100 * MIB, (), (), (0,)),
        Task("filler", 0, 2.0, 2, 100 * MIB, (), (), ()),
    )
    where = np.array([ON_LAMBDA, ON_NODES, ON_NODES])
    assignment = heft(work_of(graph), cluster_of([N2]), where, whole_run=False)
    assert list(assignment.node) == [NO_WORKER, 0, 0]
    assert assignment.priority[2] < assignment.priority[1]


def test_on_one_core_each_independent_task_follows_another() -> None:
    graph = graph_of(*(Task(f"t{n}", 0, 4.0 + n, 2, MIB, (), (), ()) for n in range(5)))
    compiled = compile_graph(graph, PRICES, BOOK)
    where = anywhere(5, ON_NODES)
    work = pack(compiled.arrays)
    assignment = heft(work, cluster_of([N2]), where, whole_run=False)
    table = play_assignment(work, assignment).table
    # The longest first, each with 0.1 s to start it and half its runtime.
    assert sorted(table.start_ms, reverse=True) == list(table.start_ms)
    assert table.end_ms.max() == UP_MS + sum(100 + (4000 + 1000 * n) // 2 for n in range(5))


def test_a_task_follows_its_large_input_to_the_node_that_made_it() -> None:
    """Four tasks make 100 MB each, four read one each; every node has both of two cores busy."""
    made = [Task(f"make{n}", 0, 10.0, 1, MIB, (), (n,), ()) for n in range(4)]
    read = [Task(f"read{n}", 0, 10.0, 1, MIB, (n,), (), (n,)) for n in range(4)]
    graph = graph_of(*made, *read, files=(100_000_000,) * 4)
    w = work_of(graph)
    assignment = heft(w, cluster_of([N2, N2]), anywhere(8, ON_NODES), whole_run=False)
    assert list(assignment.node[:4]) == list(assignment.node[4:])


def test_a_task_without_a_place_is_an_error() -> None:
    graph = graph_of(Task("wide", 0, 1.0, 3, MIB, (), (), ()))
    with pytest.raises(ValueError, match="task 0 fits none of its places"):
        heft(work_of(graph), cluster_of([N2]), anywhere(1, ON_NODES), whole_run=False)


# sizes


def test_of_equally_fast_sizes_the_cheapest_is_the_fastest() -> None:
    """4,096 MB have 2 vCPUs; a task of half a core has no use for more than 512 MB give."""
    graph = graph_of(Task("a", 0, 10.0, 1, 100 * MIB, (), (), ()))
    w = work_of(graph)
    assert fastest_sizes(w)[0] == 2  # 512 MB are half a vCPU
    assert cheapest_sizes(w, cold=True)[0] == 0  # arm64 costs half
    same = w._replace(lambda_ms=np.full_like(w.lambda_ms, 7))
    assert fastest_sizes(same)[0] == 0


def test_a_task_that_no_size_fits_has_none() -> None:
    graph = graph_of(Task("a", 0, 1000.0, 1, MIB, (), (), ()))
    assert (
        list(fastest_sizes(work_of(graph)))
        == list(cheapest_sizes(work_of(graph), cold=True))
        == [-1]
    )
