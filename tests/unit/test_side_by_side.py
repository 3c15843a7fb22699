"""Work on threads: results in order, errors raised, plans the same however many there are."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest

from placement.engine.planner import Planner
from placement.engine.policies.goal import Goal
from placement.engine.side_by_side import all_of
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.workflow import PLATFORMS
from tests.unit.graphs import MIB
from tests.unit.tiny_books import book_classes

PRICES, BOOK = book_classes()


def test_results_stand_in_the_order_of_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 2)
    second_is_done = threading.Event()

    def first() -> str:
        assert second_is_done.wait(timeout=60)
        return "first"

    def second() -> str:
        second_is_done.set()
        return "second"

    assert all_of([first, second]) == ["first", "second"]


def test_an_error_of_a_job_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        all_of([partial(divmod, 1, 1), partial(divmod, 1, 0)])


def test_a_single_job_needs_no_thread() -> None:
    assert all_of([threading.current_thread]) == [threading.current_thread()]


def test_a_plan_is_the_same_on_one_processor_and_on_many(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [
        Task(
            f"t{number}",
            0,
            20.0 + number,
            1,
            100 * MIB,
            (),
            (),
            (number - 1,) if number % 3 else (),
        )
        for number in range(9)
    ]
    graph = TaskGraph("chains", "", tuple(tasks), (Group("g", "map", PLATFORMS),), (), (), ())
    plans = []
    for processors in (1, 3):
        monkeypatch.setattr(os, "process_cpu_count", lambda processors=processors: processors)
        planner = Planner(graph, PRICES, BOOK)
        schedule = planner.schedule("trivium", Goal("cost", 2 * planner.shortest_makespan_ms))
        plans.append(schedule.to_json())  # type: ignore[union-attr]
    assert plans[0] == plans[1]
