"""A plan of a task graph as an outcome: its lines, its steps, and what is done when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from placement.books import BookStamp, PlatformBook, PriceBook
from placement.engine.candidates import Candidate, StepPlan
from placement.engine.planner import GraphPlan
from placement.engine.schedule import Schedule, TaskRun
from placement.engine.steps import StepRun, step_runs
from reporting.comparing.activity import (
    BUCKETS,
    MOST_STEPS,
    MOST_WORKERS,
    Activity,
    State,
    StepActivity,
    Stretch,
    WorkerActivity,
    WorkerState,
    coverage,
    spans_of,
)
from reporting.comparing.outcome import Alternative, Book, Bound, Outcome, Place, StepOutcome
from reporting.comparing.schedule_lines import schedule_lines
from reporting.plan_text import MS_PER_S, clause_text, goal_text
from reporting.planned import Asked

type _Phase = Literal["startup", "transfer", "compute"]  # states of tasks and of workers


def outcome_of_schedule(
    name: str,
    policy: str,
    asked: Asked,
    schedule: Schedule,
    prices: PriceBook,
    book: PlatformBook,
    steps: Sequence[StepPlan] = (),
) -> Outcome:
    """Return what a policy's schedule comes to; `steps` brings what else was considered."""
    runs = step_runs(schedule)
    candidates = {step.run.step: step.candidates for step in steps}
    return Outcome(
        name=name,
        basis="estimate",
        workflow=asked.graph.name,
        policy=policy,
        goal=goal_text(asked),
        makespan_s=schedule.makespan_ms / MS_PER_S,
        lines=schedule_lines(schedule, prices, book),
        steps=tuple(_step(run, candidates.get(run.step, ())) for run in runs if run.tasks),
        tells_idle=True,
        books=tuple(book_of(stamp) for stamp in asked.books),
        assumptions=asked.graph.assumptions,
        activity=activity_of(schedule),
    )


def bound_of(plan: GraphPlan) -> Bound:
    """Return a plan's bounds in USD and seconds."""
    return Bound(plan.bound.cost_usd, plan.bound.makespan_ms / MS_PER_S)


def book_of(stamp: BookStamp) -> Book:
    """Return which book it is, for whoever reads the outcome."""
    return Book(stamp.name, stamp.date, stamp.region)


def _step(run: StepRun, candidates: Sequence[Candidate]) -> StepOutcome:
    return StepOutcome(
        step=run.step,
        tasks=run.tasks,
        places=tuple(Place(part.platform, part.size, part.tasks) for part in run.parts),
        elapsed_s=(run.end_ms - run.start_ms) / MS_PER_S,
        alternatives=tuple(_alternative(each) for each in candidates),
    )


def _alternative(candidate: Candidate) -> Alternative:
    return Alternative(
        place=f"{candidate.platform} {candidate.size}".rstrip(),
        time_s=None if candidate.time_ms is None else candidate.time_ms / MS_PER_S,
        usd=candidate.usd,
        chosen=candidate.tasks > 0,
        why=clause_text(candidate.why) if candidate.why else "",
    )


def activity_of(schedule: Schedule) -> Activity:
    """Draw all tasks of a schedule together by step, and its dearest or busiest workers."""
    bucket_s = max(schedule.makespan_ms, 1) / MS_PER_S / BUCKETS
    steps = _step_activities(schedule, bucket_s)
    busiest = sorted(steps, key=lambda step: -sum(map(sum, step.tasks.values())))
    shown = {step.step for step in busiest[:MOST_STEPS]}
    workers = _worker_activities(schedule, bucket_s)
    return Activity(
        bucket_s,
        tuple(step for step in steps if step.step in shown),
        workers,
        len(steps) - len(shown),
        len(schedule.workers) - len(workers),
    )


def _step_activities(schedule: Schedule, bucket_s: float) -> list[StepActivity]:
    """Return what the tasks of each step do; one waits from its last input to its start."""
    ends_ms: list[int] = [0] * len(schedule.graph.tasks)
    for run in schedule.tasks:
        ends_ms[run.task] = run.end_ms
    stretches: list[dict[State, list[Stretch]]] = [defaultdict(list) for _ in schedule.graph.groups]
    for run in schedule.tasks:
        task = schedule.graph.tasks[run.task]
        ready_ms = max((ends_ms[before] for before in task.predecessors), default=0)
        into = stretches[task.group]
        into["waiting"].append((ready_ms / MS_PER_S, run.start_ms / MS_PER_S))
        for state, stretch in _phases(run):
            into[state].append(stretch)
    return [
        StepActivity(
            group.name, {state: coverage(found, bucket_s) for state, found in by_state.items()}
        )
        for group, by_state in zip(schedule.graph.groups, stretches, strict=True)
        if by_state
    ]


def _phases(run: TaskRun) -> list[tuple[_Phase, Stretch]]:
    """Return what a task does when; all of its transfer is drawn before its computing."""
    found: list[tuple[_Phase, Stretch]] = []
    at_ms = run.start_ms
    parts: tuple[tuple[_Phase, int], ...] = (
        ("startup", run.startup_ms),
        ("transfer", run.transfer_ms),
        ("compute", run.compute_ms),
    )
    for phase, part_ms in parts:
        if part_ms > 0:
            found.append((phase, (at_ms / MS_PER_S, (at_ms + part_ms) / MS_PER_S)))
        at_ms += part_ms
    return found


def _worker_activities(schedule: Schedule, bucket_s: float) -> tuple[WorkerActivity, ...]:
    """Return the workers that cost most, or of those that cost nothing themselves are up longest.

    They come in the order in which they are launched.
    """
    most = sorted(
        schedule.workers, key=lambda each: (-each.usd, each.launch_ms - each.release_ms, each.id)
    )[:MOST_WORKERS]
    doing: dict[str, dict[WorkerState, list[Stretch]]] = {
        each.id: defaultdict(list) for each in most
    }
    for run in schedule.tasks:
        if run.worker in doing:
            for state, stretch in _phases(run):
                doing[run.worker][state].append(stretch)
    for each in most:
        if each.platform != "lambda":  # an environment starts with its first task
            boot = (each.launch_ms / MS_PER_S, each.ready_ms / MS_PER_S)
            doing[each.id]["startup"].append(boot)
    return tuple(
        WorkerActivity(
            each.id,
            f"{each.platform} {each.type}",
            spans_of(
                (each.launch_ms / MS_PER_S, each.release_ms / MS_PER_S), doing[each.id], bucket_s
            ),
        )
        for each in sorted(most, key=lambda each: (each.launch_ms, each.id))
    )
