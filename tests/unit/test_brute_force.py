"""The exhaustive search over tiny task graphs: cases on paper, and what must hold of any front."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.books import PlatformBook, default_books
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.workflow import PLATFORMS, Kind, Platform
from tests.checker.check_schedule import check
from tests.unit.brute_force import Found, books_of, pareto
from tests.unit.tiny_books import FIGURES, book_classes

MIB = 1 << 20
SMALL, LARGE = (512, "x86_64"), (4096, "x86_64")
RAY, HPC = ("ray", "n2"), ("hpc", "h4")
PRICES, PLATFORM_BOOK = book_classes()


def graph(
    *tasks: tuple[float, list[str], list[int]],
    kind: Kind = "map",
    platforms: tuple[tuple[Platform, ...], ...] = (PLATFORMS,),
    cores: int = 1,
    megabytes: int = 0,
) -> TaskGraph:
    """Make a graph of (seconds, inputs, predecessors); each group of `platforms` has one task.

    The last group has all that follow.
    """
    names = sorted({name for _, inputs, _ in tasks for name in inputs})
    return TaskGraph(
        name="tiny",
        machine="paper",
        tasks=tuple(
            Task(
                id=f"t{place}",
                group=min(place, len(platforms) - 1),
                runtime_s=seconds,
                cores=cores,
                memory_bytes=100 * MIB,
                inputs=tuple(names.index(name) for name in inputs),
                outputs=(),
                predecessors=tuple(before),
            )
            for place, (seconds, inputs, before) in enumerate(tasks)
        ),
        groups=tuple(Group(f"g{n}", kind, allowed) for n, allowed in enumerate(platforms)),
        file_names=tuple(names),
        file_bytes=(megabytes * 10**6,) * len(names),
        assumptions=(),
    )


def with_figures(book: PlatformBook, **figures: float) -> PlatformBook:
    changed = dict(book.figures)
    for name, value in figures.items():
        old = changed[name]
        changed[name] = type(old)(Decimal(str(value)), old.unit, old.source, old.date)
    return PlatformBook(
        book.stamp,
        changed,
        book.profile_defaults,
        book.lambda_memory_mb,
        book.instances,
        book.lambda_sizes,
        book.ray_types,
        book.hpc_types,
        book.hpc_head_type,
    )


def solve(
    tasks: TaskGraph, book: PlatformBook = PLATFORM_BOOK, **choices: Any
) -> tuple[Found, ...]:
    """Solve with the tiny books; all that is found must pass the checker."""
    front = pareto(tasks, PRICES, book, **choices)
    for found in front:
        assert check(None, found.schedule, books_of(PRICES, book)) == []
    return front


def points(front: tuple[Found, ...]) -> list[tuple[int, Decimal]]:
    return [(found.makespan_ms, found.cost_usd) for found in front]


def rows(found: Found, part: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in found.schedule[part]}


def test_one_task_takes_the_small_function_for_money_and_the_large_one_for_time() -> None:
    # 4 s: 0.5 + 8 s at half a vCPU or 0.5 + 4 s at two, of which it uses one; from 1.1, and 1 s
    # after it. A node would be ready at 21. A run of one step in one part costs 0.0189, the call
    # 0.0002 and its states 0.002; there are 4.25 GB-s and as many of /tmp, or 18 and 2.25.
    front = solve(graph((4, [], [])), lambda_kinds=[SMALL, LARGE], node_kinds=[RAY])
    assert points(front) == [
        (6600, Decimal("0.018") + Decimal("0.000225") + Decimal("0.0211")),
        (10600, Decimal("0.00425") + Decimal("0.000425") + Decimal("0.0211")),
    ]


def test_waiting_for_a_warm_environment_saves_a_cold_start() -> None:
    # Half a second at 0.5 GB, with as much /tmp: 0.00025 + 0.000025.
    front = solve(graph((4, [], []), (4, [], [])), lambda_kinds=[SMALL])
    assert [found.makespan_ms for found in front] == [10_600, 18_600]
    assert front[0].cost_usd - front[1].cost_usd == Decimal("0.000275")


def test_waiting_for_a_file_that_another_task_brings_saves_requests() -> None:
    # 200 MB at 20 MB/s in 40 parts: both bring it by 31.11 and end at 34.11, or the second starts
    # then and needs 0.1 s more. Two nodes cost more than one and save nothing.
    tasks = graph((6, ["x"], []), (6, ["x"], []), megabytes=200)
    front = solve(tasks, node_kinds=[RAY])
    assert [found.makespan_ms for found in front] == [35_110, 35_210]
    assert front[0].cost_usd - front[1].cost_usd == 40 * Decimal("0.0003")
    assert [len(found.schedule["workers"]) for found in front] == [1, 1]


def test_three_tasks_on_two_cores_wait_or_take_a_second_node() -> None:
    # Boot until 21, then 0.1 + 40 s each; the leases last 60.1 s or 100.2 s, with 10 GB each.
    tasks = graph((80, [], []), (80, [], []), (80, [], []))
    front = solve(tasks, node_kinds=[RAY])
    assert [found.makespan_ms for found in front] == [62_100, 102_200]
    leases = [Decimal("120.2"), Decimal("100.2")]
    usd_per_s = Decimal("0.001") + Decimal("0.0001")
    assert front[0].cost_usd - front[1].cost_usd == (leases[0] - leases[1]) * usd_per_s


def test_a_node_is_launched_so_that_it_is_ready_when_its_predecessor_on_lambda_has_ended() -> None:
    # Lambda: 1.1 + 0.5 + 40 s; the node boots for 20 s.
    tasks = graph((20, [], []), (20, [], [0]), platforms=(("lambda",), ("ray",)))
    (found,) = solve(tasks, lambda_kinds=[SMALL], node_kinds=[RAY])
    (node,) = (row for row in found.schedule["workers"] if row["platform"] == "ray")
    assert (node["launch_s"], node["ready_s"], node["release_s"]) == (21.6, 41.6, 51.7)


def test_a_lease_begins_late_where_its_first_task_can_wait_for_the_second() -> None:
    # t2 waits for t1, until 1.1 + 0.5 + 80 on Lambda; t0 takes 10.1 s of the 81.6 before it.
    tasks = graph(
        (20, [], []), (40, [], []), (20, [], [0, 1]), platforms=(("ray",), ("lambda",), ("ray",))
    )
    (found,) = solve(tasks, lambda_kinds=[SMALL], node_kinds=[RAY], max_nodes=1)
    (node,) = (row for row in found.schedule["workers"] if row["platform"] == "ray")
    assert (node["launch_s"], node["ready_s"], node["release_s"]) == (51.5, 71.5, 91.7)
    assert rows(found, "tasks")["t0"]["end_s"] == rows(found, "tasks")["t2"]["start_s"] == 81.6


def test_an_mpi_program_runs_on_hpc_only() -> None:
    tasks = graph((20, [], []), kind="mpi", cores=4)
    (found,) = solve(tasks, lambda_kinds=[LARGE], node_kinds=[RAY, HPC])
    assert rows(found, "tasks")["t0"]["platform"] == "hpc"
    assert solve(tasks, lambda_kinds=[LARGE], node_kinds=[RAY]) == ()


def test_where_one_task_may_run_on_lambda_at_a_time_they_follow_each_other() -> None:
    book = with_figures(PLATFORM_BOOK, lambda_concurrency=1)
    tasks = graph((4, [], []), (4, [], []))
    (found,) = solve(tasks, book, lambda_kinds=[SMALL])
    # 1.1 + 0.5 + 8 + 8, and 1 s after it: in one environment, since a second one would be slower.
    assert found.makespan_ms == 18_600


def test_new_environments_wait_where_too_many_would_start() -> None:
    book = with_figures(PLATFORM_BOOK, lambda_scale_per_10_s=1)
    tasks = graph((4, [], []), (4, [], []))
    assert [found.makespan_ms for found in solve(tasks, book, lambda_kinds=[SMALL])] == [18_600]
    longer = graph((10, [], []), (10, [], []))
    # A second environment may start at 11.1; the first one is free at 21.6.
    fronts = [found.makespan_ms for found in solve(longer, book, lambda_kinds=[SMALL])]
    assert fronts == [32_600, 42_600]


@pytest.mark.parametrize(("name", "value"), [("lambda_timeout_s", 8.4), ("lambda_tmp_mb", 9)])
def test_what_no_function_can_run_has_no_plan(name: str, value: float) -> None:
    tasks = graph((4, ["x"], []), megabytes=10)
    assert solve(tasks, lambda_kinds=[SMALL])
    assert solve(tasks, with_figures(PLATFORM_BOOK, **{name: value}), lambda_kinds=[SMALL]) == ()


@st.composite
def graphs(draw: st.DrawFn) -> TaskGraph:
    """Up to four tasks with files among them, the kind of numbers that real books meet."""
    count = draw(st.integers(1, 4))
    megabytes = st.integers(0, 400)
    tasks = []
    for place in range(count):
        before = draw(st.sets(st.integers(0, place - 1))) if place else set()
        reads = draw(st.sets(st.sampled_from(sorted(before)))) if before else set()
        whole = draw(st.sampled_from([(), (0,)]))
        tasks.append(
            Task(
                id=f"t{place}",
                group=draw(st.integers(0, 1)),
                runtime_s=draw(st.integers(0, 300_000)) / 1000,
                cores=draw(st.sampled_from([1, 1, 2])),
                memory_bytes=draw(st.sampled_from([0, 300, 1000, 1700])) * MIB,
                inputs=(*whole, *(maker + 1 for maker in sorted(reads))),
                outputs=(place + 1,),
                predecessors=tuple(sorted(before)),
            )
        )
    return TaskGraph(
        name="drawn",
        machine="",
        tasks=tuple(tasks),
        groups=(Group("a", "map", PLATFORMS), Group("b", "map", PLATFORMS)),
        file_names=("x", *(f"f{place}" for place in range(count))),
        file_bytes=tuple(draw(megabytes) * 10**6 for _ in range(count + 1)),
        assumptions=(),
    )


FUNCTIONS = [(1769, "arm64"), (3538, "x86_64")]
NODES = [("ray", "c7g.medium"), ("ray", "c7i.large")]


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_every_front_is_one_and_all_its_plans_pass_the_checker(tasks: TaskGraph) -> None:
    prices, book = default_books()
    front = pareto(tasks, prices, book, lambda_kinds=FUNCTIONS, node_kinds=NODES)
    for found in front:
        assert check(None, found.schedule, books_of(prices, book)) == []
        assert found.cost_usd == Decimal(found.schedule["cost_usd"])
    for faster, slower in pairwise(front):
        assert faster.makespan_ms < slower.makespan_ms
        assert faster.cost_usd > slower.cost_usd


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_one_more_choice_never_worsens_a_front(tasks: TaskGraph) -> None:
    prices, book = default_books()
    few = pareto(tasks, prices, book, lambda_kinds=FUNCTIONS[:1], node_kinds=NODES[:1], max_nodes=1)
    many = pareto(tasks, prices, book, lambda_kinds=FUNCTIONS, node_kinds=NODES)
    for point in few:
        assert any(
            other.makespan_ms <= point.makespan_ms and other.cost_usd <= point.cost_usd
            for other in many
        )


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_the_fastest_plan_lies_between_the_longest_chain_and_one_task_after_another(
    tasks: TaskGraph,
) -> None:
    prices, book = default_books()
    front = pareto(tasks, prices, book, lambda_kinds=[(10240, "x86_64")])
    around_ms = 1000 * (book.value("run_start_s") + book.value("run_end_s"))
    chain: list[float] = []
    for task in tasks.tasks:
        before = max((chain[each] for each in task.predecessors), default=0)
        chain.append(before + 1000 * task.runtime_s)
    # At most five files of 400 MB move for a task, each in less than 6 s.
    in_a_row = sum(1000 * task.runtime_s + 30_000 for task in tasks.tasks)
    assert max(chain) <= front[0].makespan_ms - around_ms <= in_a_row


def test_the_tiny_books_are_those_of_the_hand_made_schedules() -> None:
    read = books_of(*book_classes())
    assert {name: float(value) for name, value in read.figures.items()} == FIGURES
