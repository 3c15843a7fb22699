"""The candidates of every step: each platform and size, and why those that were not chosen lost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from placement.books import PlatformBook, PriceBook
from placement.engine.clause import Clause
from placement.engine.compiled import Compiled
from placement.engine.judge import Judge
from placement.engine.places import Place, Places
from placement.engine.policies.goal import Goal
from placement.engine.schedule import Schedule
from placement.engine.steps import Part, StepRun, step_runs
from placement.workflow import Platform

_USD_STEP = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One platform and size for a step.

    `time_ms` is the step's longest task there, start-up included; a node that is launched boots
    for `boot_ms` before. `usd` is all of the step's tasks there, each by itself: in a cold
    environment, or on a node that is used in full. Both are None where not all tasks fit. `tasks`
    is how many of them the schedule has put there, at `paid_usd` with their share of the nodes.
    `why` says why not all of them fit, or why
    another place was chosen, or what is to be said of this one.
    """

    platform: Platform
    size: str
    tasks: int
    feasible: bool
    time_ms: int | None
    boot_ms: int
    usd: Decimal | None
    paid_usd: Decimal
    why: Clause | None


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A step of a plan, and the candidates that it had."""

    run: StepRun
    candidates: tuple[Candidate, ...]


def step_plans(
    compiled: Compiled,
    schedule: Schedule,
    goal: Goal,
    policy: str,
    prices: PriceBook,
    book: PlatformBook,
) -> tuple[StepPlan, ...]:
    """Return the steps of a policy's schedule, each with all its candidates."""
    places = Places(compiled, prices, book)
    judge = Judge(compiled, schedule, goal, policy, prices, book)
    return tuple(
        StepPlan(run, _candidates(group, run, places, judge) if run.tasks else ())
        for group, run in enumerate(step_runs(schedule))
    )


def _candidates(group: int, run: StepRun, places: Places, judge: Judge) -> tuple[Candidate, ...]:
    chosen = {(part.platform, part.size): part for part in run.parts}
    there = places.of(group, chosen)
    why = judge.why(group, places.tasks(group), run, there)
    return tuple(
        _candidate(place, chosen.get((place.platform, place.size)), clause)
        for place, clause in zip(there, why, strict=True)
    )


def _candidate(place: Place, part: Part | None, why: Clause | None) -> Candidate:
    feasible = place.misfit is None
    return Candidate(
        platform=place.platform,
        size=place.size,
        tasks=part.tasks if part else 0,
        feasible=feasible,
        time_ms=int(place.ms.max()) if feasible else None,
        boot_ms=place.boot_ms,
        usd=Decimal(float(place.usd.sum())).quantize(_USD_STEP) if feasible else None,
        paid_usd=part.usd if part else Decimal(0),
        why=why,
    )
