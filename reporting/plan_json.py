"""Plans as JSON: times in seconds, money as decimal strings, gaps as fractions of the bound."""

from __future__ import annotations

from typing import Any

from placement.account import decimal_text
from placement.books import BookStamp
from placement.engine.candidates import Candidate, StepPlan
from placement.engine.planner import GraphPlan
from placement.engine.policies.goal import Infeasible
from placement.engine.schedule import Schedule
from reporting.comparing.plan_file import VERSION, items_json, timeline_json
from reporting.plan_text import MS_PER_S, clause_text, comparison_sentence
from reporting.planned import Asked, Comparison, Front, Planned

_GAP_DIGITS = 9


def plan_json(planned: Planned, planner_s: float) -> dict[str, Any]:
    """Return a plan, or what is known where there is none; `planner_s` is what planning took."""
    plan = planned.plan
    if isinstance(plan, Infeasible):
        outcome = {**_NO_RESULT, "feasible": False, "reason": plan.reason}
    else:
        outcome = {**_result_json(plan), "feasible": True}
    account = planned.outcome
    return {
        "version": VERSION,
        "workflow": planned.asked.graph.name,
        "policy": planned.policy,
        **_goal_json(planned.asked),
        **outcome,
        "assumptions": list(planned.asked.graph.assumptions),
        "books": [_book_json(book) for book in planned.asked.books],
        "steps": [_step_json(step) for step in planned.steps],
        "items": items_json(account.lines if account else ()),
        "timeline": timeline_json(account.activity if account else None),
        "planner_s": round(planner_s, 3),
    }


def front_json(front: Front, planner_s: float) -> dict[str, Any]:
    """Return the points of a front; each deadline leads to the same plan again."""
    return {
        "workflow": front.asked.graph.name,
        "seed": front.asked.seed,
        "thorough": front.asked.thorough,
        "points": [
            {
                "deadline_s": (plan.goal.deadline_ms or 0) / MS_PER_S,
                "seed": plan.seed,
                **_result_json(plan),
            }
            for plan in front.plans
        ],
        "assumptions": list(front.asked.graph.assumptions),
        "books": [_book_json(book) for book in front.asked.books],
        "planner_s": round(planner_s, 3),
    }


def comparison_json(comparison: Comparison, planner_s: float) -> dict[str, Any]:
    """Return what every policy comes to, and the comparison in a sentence."""
    return {
        "workflow": comparison.asked.graph.name,
        **_goal_json(comparison.asked),
        "summary": comparison_sentence(comparison),
        "policies": [
            {"policy": policy, **_outcome_json(outcome)} for policy, outcome in comparison.results
        ],
        "assumptions": list(comparison.asked.graph.assumptions),
        "books": [_book_json(book) for book in comparison.asked.books],
        "planner_s": round(planner_s, 3),
    }


_NO_RESULT = {"makespan_s": None, "cost_usd": None, "bound": None, "gap": None}


def _goal_json(asked: Asked) -> dict[str, Any]:
    goal = asked.goal
    limits: dict[str, Any] = {}
    if goal.deadline_ms is not None:
        limits["deadline_s"] = goal.deadline_ms / MS_PER_S
    if goal.budget_usd is not None:
        limits["budget_usd"] = decimal_text(goal.budget_usd)
    search = {"seed": asked.seed, "thorough": asked.thorough}
    return {"objective": goal.objective, **limits, **search}


def _result_json(plan: GraphPlan) -> dict[str, Any]:
    return {
        **_totals_json(plan.schedule),
        "bound": {
            "cost_usd": decimal_text(plan.bound.cost_usd),
            "makespan_s": plan.bound.makespan_ms / MS_PER_S,
        },
        "gap": {
            "cost": round(plan.cost_gap, _GAP_DIGITS),
            "time": round(plan.time_gap, _GAP_DIGITS),
        },
    }


def _totals_json(schedule: Schedule) -> dict[str, Any]:
    return {
        "makespan_s": schedule.makespan_ms / MS_PER_S,
        "cost_usd": decimal_text(schedule.usd),
    }


def _outcome_json(outcome: Schedule | Infeasible) -> dict[str, Any]:
    if isinstance(outcome, Infeasible):
        return {
            "feasible": False,
            "makespan_s": None,
            "cost_usd": None,
            "reason": outcome.reason,
        }
    return {"feasible": True, **_totals_json(outcome)}


def _step_json(step: StepPlan) -> dict[str, Any]:
    run = step.run
    return {
        "step": run.step,
        "kind": run.kind,
        "tasks": run.tasks,
        "start_s": run.start_ms / MS_PER_S,
        "end_s": run.end_ms / MS_PER_S,
        "usd": decimal_text(run.usd),
        "parts": [
            {
                "platform": part.platform,
                "size": part.size,
                "tasks": part.tasks,
                "usd": decimal_text(part.usd),
            }
            for part in run.parts
        ],
        "candidates": [_candidate_json(each) for each in step.candidates],
    }


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    return {
        "platform": candidate.platform,
        "size": candidate.size or None,
        "tasks": candidate.tasks,
        "chosen": candidate.tasks > 0,
        "feasible": candidate.feasible,
        "time_s": None if candidate.time_ms is None else candidate.time_ms / MS_PER_S,
        "boot_s": candidate.boot_ms / MS_PER_S,
        "usd": None if candidate.usd is None else decimal_text(candidate.usd),
        "why": None if candidate.why is None else clause_text(candidate.why),
    }


def _book_json(book: BookStamp) -> dict[str, str]:
    return {"name": book.name, "date": book.date, "region": book.region}
