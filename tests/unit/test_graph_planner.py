"""The planner of task graphs where another policy is ahead of its own search."""

from __future__ import annotations

import random

import pytest

from placement.engine.planner import Planner
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.registry import HEFT
from placement.engine.refining import refiner
from placement.engine.schedule import Schedule
from placement.engine.search import Search, to_timetable
from placement.engine.starts import Starts
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.engine.timetable import Timetable
from placement.workflow import PLATFORMS
from tests.unit.graphs import MIB
from tests.unit.tiny_books import book_classes

PRICES, BOOK = book_classes()


def graph_of(count: int) -> TaskGraph:
    tasks = [Task(f"t{n}", 0, 10.0 + n, 1, 100 * MIB, (), (), ()) for n in range(count)]
    return TaskGraph("many", "", tuple(tasks), (Group("g", "map", PLATFORMS),), (), (), ())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Planner:
    """Return a planner whose search finds nothing that takes less than three times as long."""
    graph = graph_of(12)
    planner = Planner(graph, PRICES, BOOK)
    search = Search(planner.compiled)
    found = search.cheapest(3 * planner.shortest_makespan_ms, 0).played
    table = to_timetable(planner.compiled, found)

    def soonest(_: Search) -> Timetable:
        return table

    monkeypatch.setattr(Search, "soonest", soonest)
    monkeypatch.setattr(Starts, "fastest", None)
    return Planner(graph, PRICES, BOOK)


def scheduled(planner: Planner, policy: str, goal: Goal) -> Schedule:
    found = planner.schedule(policy, goal)
    assert not isinstance(found, Infeasible), found
    return found


def test_least_time_is_no_more_than_another_policys(slow: Planner) -> None:
    other = scheduled(slow, HEFT, Goal("time"))
    assert other.makespan_ms < slow.shortest_makespan_ms
    ours = scheduled(slow, "trivium", Goal("time"))
    assert ours.makespan_ms <= other.makespan_ms


def test_a_deadline_that_another_policy_keeps_is_kept_and_costs_no_more(slow: Planner) -> None:
    other = scheduled(slow, HEFT, Goal("time"))
    ours = scheduled(slow, "trivium", Goal("cost", other.makespan_ms))
    assert ours.makespan_ms <= other.makespan_ms
    assert ours.usd <= other.usd


def test_what_no_policy_keeps_is_said_to_be_too_early_with_the_shortest(slow: Planner) -> None:
    shortest_ms = scheduled(slow, "trivium", Goal("time")).makespan_ms
    found = slow.schedule("trivium", Goal("cost", shortest_ms - 1))
    assert isinstance(found, Infeasible)
    assert f"the shortest takes {shortest_ms / 1000:.3f} s" in str(found.reason)


def chains(seed: int) -> TaskGraph:
    """Return chains of tasks that take from seconds to minutes and hand on a file each."""
    rng, tasks, file_bytes = random.Random(seed), list[Task](), list[int]()  # noqa: S311
    for chain in range(12):
        for place in range(4):
            number = len(tasks)
            made = len(file_bytes)
            file_bytes.append(rng.randrange(1, 2_000) * MIB)
            inputs, before = ((made - 1,), (number - 1,)) if place else ((), ())
            name, seconds = f"c{chain}t{place}", rng.uniform(5, 300)
            tasks.append(Task(name, 0, seconds, 1, 100 * MIB, inputs, (made,), before))
    names = tuple(f"f{number}" for number in range(len(file_bytes)))
    groups = (Group("g", "map", PLATFORMS),)
    return TaskGraph("chains", "", tuple(tasks), groups, names, tuple(file_bytes), ())


def test_a_thorough_plan_is_cheaper_where_the_usual_one_had_little_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if these were thousands of tasks.
    monkeypatch.setattr(refiner, "MANY_TASKS", 3)
    monkeypatch.setattr(refiner, "FEWEST_PER_TASK", 20)
    monkeypatch.setattr(refiner, "TIMES_PER_TASK", 20_000)
    usual, thorough = list[Schedule](), list[Schedule]()
    for seed in range(3):
        graph = chains(seed)
        goal = Goal("cost", 2 * Planner(graph, PRICES, BOOK).shortest_makespan_ms)
        for found, planner in (
            (usual, Planner(graph, PRICES, BOOK)),
            (thorough, Planner(graph, PRICES, BOOK, thorough=True)),
            (thorough, Planner(graph, PRICES, BOOK, thorough=True)),
        ):
            schedule = scheduled(planner, "trivium", goal)
            assert goal.deadline_ms is not None
            assert schedule.makespan_ms <= goal.deadline_ms
            found.append(schedule)
    assert [each.to_json() for each in thorough[::2]] == [each.to_json() for each in thorough[1::2]]
    pairs = list(zip(thorough[::2], usual, strict=True))
    assert all(more.usd <= less.usd for more, less in pairs)
    assert any(more.usd < less.usd for more, less in pairs)
