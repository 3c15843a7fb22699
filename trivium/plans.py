"""Plans task graphs for the command line: reads, plans, prints. Slow to import (numba, scipy)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numba.core import event
from rich.console import RenderableType

from control.catalogue import load_workflow as load_catalogued
from placement.books import PlatformBook, PriceBook
from placement.engine.candidates import StepPlan, step_plans
from placement.engine.compiled import to_ms
from placement.engine.from_run import graph_of_run
from placement.engine.from_workflow import MACHINE
from placement.engine.front import front
from placement.engine.planner import OURS, GraphPlan, Planner
from placement.engine.policies import check_policy
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.read import read_graph
from placement.engine.schedule import Schedule
from placement.engine.starts import MOST_TASKS
from placement.engine.taskgraph import TaskGraph
from placement.workflow import Objective
from placement.workflow_file import load_workflow
from reporting.comparing.from_plan import bound_of, outcome_of_schedule
from reporting.comparing.front import Point, judged
from reporting.comparing.outcome import Outcome
from reporting.comparing.page import front_page, plan_page
from reporting.comparing.words import front_sentence
from reporting.plan_json import comparison_json, front_json, plan_json
from reporting.plan_table import comparison_table, front_table, plan_table
from reporting.plan_text import MS_PER_S, ms_text, plan_headline
from reporting.planned import Asked, Comparison, Front, Planned
from reporting.report import Report
from trivium.books import chosen_books
from trivium.comparing import Outputs
from trivium.console import out, print_json, say, talk
from trivium.wanted import Wanted
from trivium.work_done import work_done
from trivium.writing import write_text

FOUND, NOT_FOUND = 0, 1  # exit codes

type Steps = Sequence[StepPlan]


@dataclass(frozen=True, slots=True)
class PlanFiles:
    """Files to be written beside what is printed of a plan; None: not asked for."""

    schedule: Path | None
    html: Path | None


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
        return Asked(self.graph, goal, wanted.seed, books, tuple(from_file), wanted.thorough)

    def planner(self, *, thorough: bool) -> Planner:
        """Return a planner for the graph."""
        return Planner(self.graph, self.prices, self.book, thorough=thorough)

    def outcome(
        self, name: str, policy: str, asked: Asked, schedule: Schedule, steps: Steps = ()
    ) -> Outcome:
        """Return what a schedule comes to."""
        return outcome_of_schedule(name, policy, asked, schedule, self.prices, self.book, steps)

    def outcome_of_plan(
        self, name: str, asked: Asked, policy: str, plan: GraphPlan, steps: Steps = ()
    ) -> Outcome:
        """Return what a plan comes to, and what no placement can go below."""
        outcome = self.outcome(name, policy, asked, plan.schedule, steps)
        return replace(outcome, bound=bound_of(plan))

    def compared(
        self, asked: Asked, policy: str, planner: Planner, schedule: Schedule, *, explained: bool
    ) -> Outcome:
        """Return what a policy's schedule comes to, as one side of a comparison."""
        steps: Steps = ()
        if explained:
            steps = step_plans(
                planner.compiled, schedule, asked.goal, policy, self.prices, self.book
            )
        return self.outcome(policy, policy, asked, schedule, steps)

    def explained(
        self, asked: Asked, policy: str, planner: Planner, found: GraphPlan, *, account: bool
    ) -> Planned:
        """Return a plan with its steps and their candidates, and its account where it is wanted.

        Of 100,000 tasks the account takes seconds.
        """
        steps = step_plans(
            planner.compiled, found.schedule, found.goal, policy, self.prices, self.book
        )
        if not account:
            return Planned(asked, policy, found, steps)
        outcome = self.outcome_of_plan(policy, asked, policy, found, steps)
        return Planned(asked, policy, found, steps, outcome)


def read(path: Path, uploads: Mapping[str, tuple[int, ...]]) -> Source:
    """Read a trace or a workflow file. Raises UserError: one sentence."""
    prices, book = chosen_books()
    graph = read_graph(path, book, uploads)
    if graph.machine != MACHINE:
        return Source(graph, "cost", None, prices, book)
    workflow = load_workflow(path.read_text("utf-8-sig"), path.name)
    return Source(graph, workflow.objective, workflow.deadline_s, prices, book)


def what_if(
    report: Report, name: str, wanted: Wanted, policies: Sequence[str], *, explained: bool
) -> list[Outcome]:
    """Return what a run would have come to under other policies; say which have no plan.

    Raises UserError: the report does not tell enough of the run.
    """
    prices, book = chosen_books()
    workflow = load_catalogued(report.workflow)
    graph = graph_of_run(workflow, report.uploads, work_done(report, workflow), book)
    objective: Objective = "time" if report.objective == "time" else "cost"
    source = Source(graph, objective, None, prices, book)
    found = outcomes_of(source, wanted, policies, explained=explained)
    return [replace(each, name=f"{name} {each.policy}".strip(), basis="what-if") for each in found]


def check_policies(names: Iterable[str]) -> None:
    """Refuse policies that do not exist. Raises UserError: one sentence."""
    _, book = chosen_books()
    for name in names:
        check_policy(name, book)


def plan(
    source: Source,
    wanted: Wanted,
    policy: str,
    files: PlanFiles,
    *,
    all_steps: bool,
    as_json: bool,
) -> int:
    """Plan, print the plan, and write its files; return the exit code."""
    asked = source.asked(wanted)
    with timed() as clock:
        planner = source.planner(thorough=asked.thorough)
        found = planner.plan(policy, asked.goal, asked.seed)
    if isinstance(found, Infeasible):
        planned = Planned(asked, policy, found)
        if as_json:
            print_json(plan_json(planned, clock.seconds))
        else:
            talk.print(plan_headline(planned), style="bold red", markup=False, soft_wrap=True)
        return NOT_FOUND
    account = as_json or files.html is not None
    planned = source.explained(asked, policy, planner, found, account=account)
    _print(
        plan_table(planned, out.width, all_steps=all_steps),
        plan_json(planned, clock.seconds),
        as_json=as_json,
    )
    if files.schedule is not None:
        write_text(files.schedule, json.dumps(found.schedule.to_json()) + "\n")
    if files.html is not None and planned.outcome is not None:
        points, note = _points(planner, asked, policy, found)
        said = plan_headline(planned)
        write_text(files.html, plan_page(planned.outcome, said, points, note))
    say(f"planned in {clock.seconds:.1f} s")
    return FOUND


def _points(
    planner: Planner, asked: Asked, policy: str, found: GraphPlan
) -> tuple[Sequence[Point], str]:
    """Return the plan among those of the front, or why there is none."""
    if len(asked.graph.tasks) > MOST_TASKS:
        return (), f"The front is not worked out for more than {MOST_TASKS:,} tasks."
    say("looking at other deadlines for the page")
    own = Point(policy, found.schedule.makespan_ms / MS_PER_S, found.schedule.usd, "chosen")
    others = [
        Point(_deadline_label(each), time_s, each.schedule.usd)
        for each in front(planner, asked.seed)
        if (time_s := each.schedule.makespan_ms / MS_PER_S, each.schedule.usd)
        != (own.seconds, own.usd)
    ]
    deadline_ms = asked.goal.deadline_ms
    deadline_s = None if deadline_ms is None else deadline_ms / MS_PER_S
    return judged(sorted([own, *others], key=lambda each: each.seconds), deadline_s), ""


def _deadline_label(plan: GraphPlan) -> str:
    """Name a plan of the front by the deadline that it was made for."""
    return f"deadline {ms_text(plan.goal.deadline_ms or 0)}"


def pareto(source: Source, seed: int, html: Path | None, *, thorough: bool, as_json: bool) -> int:
    """Print the front between time and cost, and write its page; return the exit code."""
    with timed() as clock:
        plans = front(source.planner(thorough=thorough), seed)
    books = (source.prices.stamp, source.book.stamp)
    asked = Asked(source.graph, Goal("cost"), seed, books, thorough=thorough)
    found = Front(asked, plans)
    _print(front_table(found), front_json(found, clock.seconds), as_json=as_json)
    if html is not None:
        outcomes = [
            source.outcome_of_plan(
                _deadline_label(each), replace(asked, goal=each.goal), OURS, each
            )
            for each in plans
        ]
        write_text(html, front_page(outcomes, front_sentence(outcomes)))
    say(f"planned in {clock.seconds:.1f} s")
    return FOUND


def compare(
    source: Source, wanted: Wanted, policies: Sequence[str], files: Outputs, *, as_json: bool
) -> int:
    """Print what every policy comes to, and write the files; return the exit code."""
    asked = source.asked(wanted)
    planner = source.planner(thorough=asked.thorough)
    with timed() as clock:
        results = _results(planner, asked, policies)
    comparison = Comparison(asked, tuple(results))
    _print(
        comparison_table(comparison),
        comparison_json(comparison, clock.seconds),
        as_json=as_json,
    )
    explained = files.html is not None
    outcomes = [
        source.compared(asked, policy, planner, each, explained=explained)
        for policy, each in results
        if isinstance(each, Schedule)
    ]
    if outcomes:
        files.write(outcomes)
    say(f"planned in {clock.seconds:.1f} s")
    return FOUND if outcomes else NOT_FOUND


def outcomes_of(
    source: Source, wanted: Wanted, policies: Sequence[str], *, explained: bool
) -> list[Outcome]:
    """Return what every policy that has a plan comes to; say which have none, and why.

    Where it is `explained`, with what else was considered for each step.
    """
    asked, found = source.asked(wanted), []
    planner = source.planner(thorough=asked.thorough)
    with timed():
        results = _results(planner, asked, policies)
    for policy, each in results:
        if isinstance(each, Infeasible):
            talk.print(f"{policy} has no plan: {each.reason}.", style="bold red", markup=False)
        else:
            found.append(source.compared(asked, policy, planner, each, explained=explained))
    return found


def _results(
    planner: Planner, asked: Asked, policies: Sequence[str]
) -> list[tuple[str, Schedule | Infeasible]]:
    results = []
    for policy in policies:
        say(policy)
        results.append((policy, planner.schedule(policy, asked.goal, asked.seed)))
    return results


def _print(table: RenderableType, data: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(data)
    else:
        out.print(table)


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
