"""Plans task graphs for the command line: reads, plans, prints. Slow to import (numba, scipy)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numba.core import event
from rich.console import RenderableType

from placement.books import PlatformBook, PriceBook, default_books
from placement.engine.candidates import step_plans
from placement.engine.compiled import to_ms
from placement.engine.from_workflow import MACHINE
from placement.engine.front import front
from placement.engine.planner import Planner
from placement.engine.policies import check_policy
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.read import read_graph
from placement.engine.schedule import Schedule
from placement.engine.taskgraph import TaskGraph
from placement.errors import UserError
from placement.workflow import Objective
from placement.workflow_file import load_workflow
from reporting.plan_json import comparison_json, front_json, plan_json
from reporting.plan_table import comparison_table, front_table, plan_table
from reporting.plan_text import plan_headline
from reporting.planned import Asked, Comparison, Front, Planned
from trivium.books import chosen_books
from trivium.console import out, say, talk
from trivium.files import replacing
from trivium.planning import Wanted

FOUND, NOT_FOUND = 0, 1  # exit codes


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be planned, and the goal that a workflow file states itself."""

    graph: TaskGraph
    objective: Objective
    deadline_s: float | None
    prices: PriceBook
    book: PlatformBook

    def asked(self, wanted: Wanted) -> Asked:
        """Return what is asked for: the command line's goal, or where it says nothing, the file's.

        With a budget and no objective, time is what counts.
        """
        by_budget: Objective | None = None if wanted.budget_usd is None else "time"
        asked_for = wanted.objective or by_budget
        deadline_s = self.deadline_s if wanted.deadline_s is None else wanted.deadline_s
        goal = Goal(
            asked_for or self.objective,
            None if deadline_s is None else to_ms(deadline_s),
            wanted.budget_usd,
        )
        from_file: list[Literal["objective", "deadline"]] = []
        if asked_for is None and self.objective == "time":  # cost would be the objective anyway
            from_file.append("objective")
        if wanted.deadline_s is None and deadline_s is not None:
            from_file.append("deadline")
        books = (self.prices.stamp, self.book.stamp)
        return Asked(self.graph, goal, wanted.seed, books, tuple(from_file))

    def planner(self) -> Planner:
        """Return a planner for the graph."""
        return Planner(self.graph, self.prices, self.book)


def read(path: Path, uploads: Mapping[str, tuple[int, ...]]) -> Source:
    """Read a trace or a workflow file. Raises UserError: one sentence."""
    prices, book = chosen_books()
    graph = read_graph(path, book, uploads)
    if graph.machine != MACHINE:
        return Source(graph, "cost", None, prices, book)
    workflow = load_workflow(path.read_text("utf-8-sig"), path.name)
    return Source(graph, workflow.objective, workflow.deadline_s, prices, book)


def check_policies(names: Iterable[str]) -> None:
    """Refuse policies that do not exist. Raises UserError: one sentence."""
    _, book = default_books()
    for name in names:
        check_policy(name, book)


def plan(
    source: Source,
    wanted: Wanted,
    policy: str,
    schedule: Path | None,
    *,
    all_steps: bool,
    as_json: bool,
) -> int:
    """Plan, print the plan, and write its schedule; return the exit code."""
    asked = source.asked(wanted)
    with timed() as clock:
        planner = source.planner()
        found = planner.plan(policy, asked.goal, asked.seed)
    if isinstance(found, Infeasible):
        planned = Planned(asked, policy, found)
        if as_json:
            _print_json(plan_json(planned, clock.seconds))
        else:
            talk.print(plan_headline(planned), style="bold red", markup=False, soft_wrap=True)
        return NOT_FOUND
    steps = step_plans(
        planner.compiled, found.schedule, found.goal, policy, source.prices, source.book
    )
    planned = Planned(asked, policy, found, steps)
    _print(
        plan_table(planned, out.width, all_steps=all_steps),
        plan_json(planned, clock.seconds),
        as_json=as_json,
    )
    if schedule is not None:
        _write(schedule, found.schedule)
    say(f"planned in {clock.seconds:.1f} s")
    return FOUND


def pareto(source: Source, seed: int, *, as_json: bool) -> int:
    """Print the front between time and cost; return the exit code."""
    with timed() as clock:
        plans = front(source.planner(), seed)
    asked = Asked(source.graph, Goal("cost"), seed, (source.prices.stamp, source.book.stamp))
    found = Front(asked, plans)
    _print(front_table(found), front_json(found, clock.seconds), as_json=as_json)
    say(f"planned in {clock.seconds:.1f} s")
    return FOUND


def compare(source: Source, wanted: Wanted, policies: Sequence[str], *, as_json: bool) -> int:
    """Print what every policy comes to; return the exit code."""
    asked = source.asked(wanted)
    results: list[tuple[str, Schedule | Infeasible]] = []
    with timed() as clock:
        planner = source.planner()
        for policy in policies:
            say(policy)
            results.append((policy, planner.schedule(policy, asked.goal, asked.seed)))
    comparison = Comparison(asked, tuple(results))
    _print(
        comparison_table(comparison),
        comparison_json(comparison, clock.seconds),
        as_json=as_json,
    )
    say(f"planned in {clock.seconds:.1f} s")
    some = any(isinstance(each, Schedule) for _, each in results)
    return FOUND if some else NOT_FOUND


def _print(table: RenderableType, data: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(data)
    else:
        out.print(table)


def _print_json(data: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def _write(path: Path, schedule: Schedule) -> None:
    try:
        with replacing(path) as file:
            file.write(json.dumps(schedule.to_json()) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    say(f"wrote {path}")


class _Clock:
    """How long planning took."""

    seconds = 0.0


@contextmanager
def timed() -> Iterator[_Clock]:
    """Time what is done inside, and say so where it has to wait for the compiler."""
    clock, begun = _Clock(), time.perf_counter()
    with event.install_listener("numba:compile", _Compiling()):
        yield clock
    clock.seconds = time.perf_counter() - begun


class _Compiling(event.Listener):
    """Says once that something is compiled."""

    said = False

    def on_start(self, _event: Any) -> None:
        if not self.said:
            self.said = True
            say("compiling the scheduler, for up to half a minute; the first time only")

    def on_end(self, _event: Any) -> None:
        pass
