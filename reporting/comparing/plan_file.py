"""The JSON of a plan as `trivium plan --json` writes it, and its published JSON Schema.

Version 2 added `items`, the account by step and kind, and `timeline`; a file of an older version
has too little in it to be compared. Reading ignores fields that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from placement.account import decimal_text
from placement.errors import UserError
from reporting.comparing.activity import (
    Activity,
    Span,
    State,
    StepActivity,
    WorkerActivity,
    WorkerState,
)
from reporting.comparing.outcome import (
    Alternative,
    Book,
    Bound,
    Kind,
    Line,
    Outcome,
    Place,
    StepOutcome,
)
from reporting.report import Count, Name, Quantity, Seconds, Usd
from reporting.schema import published_schema
from reporting.text import seconds_text

VERSION = 2


class _Part(BaseModel):
    """Common to all: frozen; a later version may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PlanItem(_Part):
    """One line of the account: `usd` is about `quantity` times `unit_usd`; null: of no step."""

    step: Name | None
    kind: Kind
    service: Name
    what: Name
    quantity: Quantity
    unit: str
    unit_usd: Usd
    usd: Usd


class PlanPlace(_Part):
    """So many tasks of a step on one platform and size, and what they cost."""

    platform: Name
    size: str
    tasks: Count
    usd: Usd


class PlanCandidate(_Part):
    """A placement that a step could have; null where not all its tasks fit there."""

    platform: Name
    size: str | None
    tasks: Count
    chosen: bool
    feasible: bool
    time_s: Seconds | None
    boot_s: Seconds
    usd: Usd | None
    why: str | None


class PlanStep(_Part):
    """A step from its first task's start to its last one's end, and where its tasks are."""

    step: Name
    kind: str
    tasks: Count
    start_s: Seconds
    end_s: Seconds
    usd: Usd
    parts: tuple[PlanPlace, ...]
    candidates: tuple[PlanCandidate, ...]


class PlanBook(_Part):
    """A dated book that figures come from."""

    name: Name
    date: Name
    region: str | None


class PlanBound(_Part):
    """What no placement can go below: cost at this makespan, makespan at this cost."""

    cost_usd: Usd
    makespan_s: Seconds


class PlanGap(_Part):
    """By which share of the bounds the plan lies above them."""

    cost: float
    time: float


class StepTimeline(_Part):
    """How many of a step's tasks are in each state, in the mean of each bucket."""

    step: Name
    tasks: dict[State, tuple[Seconds, ...]]


class WorkerTimeline(_Part):
    """What a worker mostly does from when to when (seconds)."""

    worker: Name
    place: str
    spans: tuple[tuple[WorkerState, Seconds, Seconds], ...]


class Timeline(_Part):
    """Tasks by step over buckets of `bucket_s` seconds, and the workers that are shown."""

    bucket_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    steps: tuple[StepTimeline, ...]
    workers: tuple[WorkerTimeline, ...]
    hidden_steps: Count
    hidden_workers: Count


class Plan(_Part):
    """A plan, or why there is none; `docs/plan.md` says what each field means."""

    version: Literal[2]
    workflow: Name
    policy: Name
    objective: Literal["cost", "time"]
    deadline_s: Seconds | None = None
    budget_usd: Usd | None = None
    seed: Count
    thorough: bool = False
    feasible: bool
    reason: str | None = None
    makespan_s: Seconds | None
    cost_usd: Usd | None
    bound: PlanBound | None
    gap: PlanGap | None
    assumptions: tuple[str, ...]
    books: tuple[PlanBook, ...]
    steps: tuple[PlanStep, ...]
    items: tuple[PlanItem, ...]
    timeline: Timeline | None
    planner_s: Seconds


def is_plan(data: Mapping[str, Any]) -> bool:
    """Whether JSON is a plan, of whatever version."""
    return {"policy", "feasible", "steps", "planner_s"} <= set(data)


def parse_plan(data: Mapping[str, Any], name: str) -> Outcome:
    """Read a plan from its JSON.

    Raises UserError, one sentence that names the file: it is of another version, it holds no
    plan, or a field is wrong.
    """
    version = data.get("version", 1)
    if version != VERSION:
        age = "an older" if isinstance(version, int) and version < VERSION else "another"
        raise UserError(
            f"{name} is a plan of {age} version ({version}, not {VERSION}); "
            "make it anew with `trivium plan FILE --json`."
        )
    try:
        plan = Plan.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{name} is not a valid plan: {where}: {first['msg']}.") from error
    if plan.makespan_s is None or plan.cost_usd is None:
        raise UserError(f"{name} holds no plan to compare: {plan.reason or 'there was none'}.")
    outcome = _outcome(plan, name, plan.makespan_s)
    if outcome.usd != plan.cost_usd:
        raise UserError(
            f"{name} does not add up: its items come to {decimal_text(outcome.usd)} USD, "
            f"its cost_usd is {decimal_text(plan.cost_usd)}."
        )
    return outcome


def _outcome(plan: Plan, name: str, makespan_s: float) -> Outcome:
    goal = [f"least {plan.objective}"]
    if plan.deadline_s is not None:
        goal.append(f"deadline {seconds_text(plan.deadline_s)}")
    if plan.budget_usd is not None:
        goal.append(f"budget ${plan.budget_usd}")
    return Outcome(
        name=name,
        basis="estimate",
        workflow=plan.workflow,
        policy=plan.policy,
        goal=", ".join(goal),
        makespan_s=makespan_s,
        lines=tuple(
            Line(x.step, x.kind, x.service, x.what, x.quantity, x.unit, x.unit_usd, x.usd)
            for x in plan.items
        ),
        steps=tuple(_step(step) for step in plan.steps if step.tasks),
        tells_idle=True,
        books=tuple(Book(book.name, book.date, book.region) for book in plan.books),
        assumptions=plan.assumptions,
        bound=Bound(plan.bound.cost_usd, plan.bound.makespan_s) if plan.bound else None,
        activity=_activity(plan.timeline) if plan.timeline else None,
    )


def _step(step: PlanStep) -> StepOutcome:
    return StepOutcome(
        step=step.step,
        tasks=step.tasks,
        places=tuple(Place(part.platform, part.size, part.tasks) for part in step.parts),
        elapsed_s=round(step.end_s - step.start_s, 3),
        alternatives=tuple(
            Alternative(
                f"{each.platform} {each.size or ''}".rstrip(),
                each.time_s,
                each.usd,
                each.chosen,
                each.why or "",
            )
            for each in step.candidates
        ),
    )


def _activity(timeline: Timeline) -> Activity:
    return Activity(
        timeline.bucket_s,
        tuple(StepActivity(step.step, step.tasks) for step in timeline.steps),
        tuple(
            WorkerActivity(each.worker, each.place, tuple(Span(*span) for span in each.spans))
            for each in timeline.workers
        ),
        timeline.hidden_steps,
        timeline.hidden_workers,
    )


def items_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Write the lines of an account."""
    return [
        {
            "step": line.step,
            "kind": line.kind,
            "service": line.service,
            "what": line.what,
            **_amounts_json(line.quantity, line.unit, line.unit_usd, line.usd),
        }
        for line in lines
    ]


def _amounts_json(quantity: Decimal, unit: str, unit_usd: Decimal, usd: Decimal) -> dict[str, str]:
    return {
        "quantity": decimal_text(quantity),
        "unit": unit,
        "unit_usd": decimal_text(unit_usd),
        "usd": decimal_text(usd),
    }


def timeline_json(activity: Activity | None) -> dict[str, Any] | None:
    """Write what is done when."""
    if activity is None:
        return None
    return {
        "bucket_s": activity.bucket_s,
        "steps": [
            {"step": step.step, "tasks": {state: list(of) for state, of in step.tasks.items()}}
            for step in activity.steps
        ],
        "workers": [
            {
                "worker": each.worker,
                "place": each.place,
                "spans": [[span.state, span.start_s, span.end_s] for span in each.spans],
            }
            for each in activity.workers
        ],
        "hidden_steps": activity.hidden_steps,
        "hidden_workers": activity.hidden_workers,
    }


def plan_schema_text() -> str:
    """Write the JSON Schema of a plan as it is published in `reporting/plan.schema.json`."""
    return published_schema(Plan)
