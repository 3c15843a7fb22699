"""A comparison as JSON, with its published JSON Schema, and as a CSV file of all its lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from placement.account import decimal_text
from reporting.comparing.difference import Difference, StepDifference, difference
from reporting.comparing.outcome import Basis, Kind, Outcome, StepOutcome, usd_by_step
from reporting.comparing.plan_file import PlanBook, PlanBound, PlanItem, items_json
from reporting.comparing.words import cautions, sentence
from reporting.report import Amount, Count, Name, Seconds, Usd
from reporting.schema import SIGNED_DECIMAL, published_schema

SignedUsd = Annotated[Decimal, WithJsonSchema(SIGNED_DECIMAL)]
_CSV_HEAD = (
    *("outcome", "basis", "workflow", "policy", "step", "kind", "service", "what"),
    *("quantity", "unit", "unit_usd", "usd"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for one


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComparedPlace(_Part):
    """So many tasks on one platform and size."""

    platform: Name
    size: str
    tasks: Count


class ComparedStep(_Part):
    """One step of an outcome; `estimate` is what was expected of one that was measured."""

    step: Name
    tasks: Count
    places: tuple[ComparedPlace, ...]
    elapsed_s: Seconds
    usd: Usd
    estimate: Amount | None


class ComparedOutcome(_Part):
    """One run, plan or policy; `basis` says what its figures are."""

    name: Name
    basis: Basis
    workflow: Name
    policy: Name
    goal: str
    makespan_s: Seconds
    cost_usd: Usd
    tells_idle: bool
    estimate: Amount | None
    bound: PlanBound | None
    books: tuple[PlanBook, ...]
    assumptions: tuple[str, ...]
    note: str
    steps: tuple[ComparedStep, ...]
    items: tuple[PlanItem, ...]


class KindChange(_Part):
    """What one kind of cost comes to on both sides; `change_usd` is `usd` less `base_usd`."""

    kind: Kind
    service: Name
    base_usd: Usd
    usd: Usd
    change_usd: SignedUsd


class StepChange(_Part):
    """What a step costs on both sides, and whether it moved; null: what belongs to no step."""

    step: Name | None
    base_usd: Usd
    usd: Usd
    change_usd: SignedUsd
    moved: bool
    resized: bool


class Change(_Part):
    """How an outcome stands to the first one: both lists add up to `change_usd` exactly."""

    name: Name
    sentence: Name
    change_usd: SignedUsd
    change_s: float
    tells_idle: bool
    kinds: tuple[KindChange, ...]
    steps: tuple[StepChange, ...]


class ComparisonFile(_Part):
    """What `trivium compare A B ... --json` prints; all stand beside the first outcome."""

    version: Literal[1]
    outcomes: tuple[ComparedOutcome, ...]
    changes: tuple[Change, ...]
    cautions: tuple[str, ...]


def comparison_file_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Write outcomes and how each stands to the first."""
    base, *others = outcomes
    return {
        "version": 1,
        "outcomes": [_outcome_json(each) for each in outcomes],
        "changes": [_change_json(difference(base, each)) for each in others],
        "cautions": cautions(outcomes),
    }


def comparison_schema_text() -> str:
    """Write the JSON Schema as it is published in `reporting/comparison.schema.json`."""
    return published_schema(ComparisonFile)


def comparison_csv(outcomes: Sequence[Outcome]) -> str:
    """Write a row for each line of each outcome; the amounts of an outcome add up to its cost."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEAD)
    for each in outcomes:
        of = (each.name, each.basis, each.workflow, each.policy)
        for line in each.lines:
            words = (*of, line.step or "", line.kind, line.service, line.what)
            amounts = [decimal_text(value) for value in (line.quantity, line.unit_usd, line.usd)]
            writer.writerow(
                [*map(_cell, words), amounts[0], _cell(line.unit), amounts[1], amounts[2]]
            )
    return text.getvalue()


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    by_step = usd_by_step(outcome)
    estimate, bound = outcome.estimate, outcome.bound
    return {
        "name": outcome.name,
        "basis": outcome.basis,
        "workflow": outcome.workflow,
        "policy": outcome.policy,
        "goal": outcome.goal,
        "makespan_s": outcome.makespan_s,
        "cost_usd": decimal_text(outcome.usd),
        "tells_idle": outcome.tells_idle,
        "estimate": _amount_json(estimate.seconds, estimate.usd) if estimate else None,
        "bound": bound and {"cost_usd": decimal_text(bound.usd), "makespan_s": bound.seconds},
        "books": [
            {"name": book.name, "date": book.date, "region": book.region} for book in outcome.books
        ],
        "assumptions": list(outcome.assumptions),
        "note": outcome.note,
        "steps": [_step_json(step, by_step.get(step.step, Decimal(0))) for step in outcome.steps],
        "items": items_json(outcome.lines),
    }


def _step_json(step: StepOutcome, usd: Decimal) -> dict[str, Any]:
    estimate = step.estimate
    return {
        "step": step.step,
        "tasks": step.tasks,
        "places": [
            {"platform": each.platform, "size": each.size, "tasks": each.tasks}
            for each in step.places
        ],
        "elapsed_s": step.elapsed_s,
        "usd": decimal_text(usd),
        "estimate": _amount_json(estimate.seconds, estimate.usd) if estimate else None,
    }


def _amount_json(seconds: float, usd: Decimal) -> dict[str, Any]:
    return {"seconds": seconds, "usd": decimal_text(usd)}


def _change_json(found: Difference) -> dict[str, Any]:
    return {
        "name": found.other.name,
        "sentence": sentence(found),
        "change_usd": decimal_text(found.usd),
        "change_s": round(found.other.makespan_s - found.base.makespan_s, 6),
        "tells_idle": found.tells_idle,
        "kinds": [
            {
                "kind": part.kind,
                "service": part.service,
                **_both_json(part.base_usd, part.other_usd),
            }
            for part in found.kinds
        ],
        "steps": [_step_change_json(step) for step in found.steps],
    }


def _step_change_json(step: StepDifference) -> dict[str, Any]:
    return {
        "step": step.step,
        **_both_json(step.base_usd, step.other_usd),
        "moved": step.moved,
        "resized": step.resized,
    }


def _both_json(base_usd: Decimal, usd: Decimal) -> dict[str, str]:
    return {
        "base_usd": decimal_text(base_usd),
        "usd": decimal_text(usd),
        "change_usd": decimal_text(usd - base_usd),
    }
