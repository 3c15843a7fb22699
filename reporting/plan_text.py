"""How plans of task graphs are put into words: figures, clauses, rows of tables, sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from placement.engine.candidates import Candidate
from placement.engine.clause import Clause, Quantity
from placement.engine.policies.goal import Infeasible
from placement.engine.schedule import Schedule
from placement.engine.steps import Part, moved_steps
from reporting.change import amount_text, compared, counted, faster, share_text, than
from reporting.planned import Asked, Comparison, Planned
from reporting.text import MISSING, TIMES, plain, seconds_text, usd_text

MS_PER_S = 1000
FIXED_CLUSTER = "static-ec2"
_TYPES_NAMED = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table of candidates; several that lost alike share one."""

    place: str
    tasks: int
    feasible: bool
    time: str
    usd: str
    why: str


def ms_text(value_ms: float) -> str:
    """Milliseconds as people say them."""
    return seconds_text(value_ms / MS_PER_S)


def gap_text(value: float) -> str:
    """Write a gap to a bound in percent: `3.1 %`."""
    return f"{value * 100:,.1f} %"


def clause_text(*clauses: Clause) -> str:
    """Put a clause into words, or several that differ in their figures only."""
    texts = (
        _between(
            [
                (0.0 if isinstance(each.value, str) else each.value, quantity_text(each))
                for each in figures
            ]
        )
        for figures in zip(*(clause.figures for clause in clauses), strict=True)
    )
    return plain(clauses[0].text.format(*texts))


def quantity_text(quantity: Quantity) -> str:
    """Write a figure with its unit."""
    value = quantity.value
    if isinstance(value, str):
        return value
    match quantity.unit:
        case "ms":
            return ms_text(value)
        case "usd":
            return amount_text(value)
        case "share":
            return share_text(value)
        case "mib":
            return f"{math.ceil(value):,} MB"
        case _:
            return f"{value:,}"


def candidate_rows(candidates: Sequence[Candidate], decimals: int) -> list[Row]:
    """Return the lines of a step's table: candidates that lost alike are told together."""
    several = sum(each.tasks > 0 for each in candidates) > 1
    return [
        _row(list(alike), decimals, several=several)
        for _, alike in groupby(_both_architectures(candidates), key=_likeness)
    ]


def _likeness(candidate: Candidate) -> tuple[object, ...]:
    """Return what candidates must share to share a line; a chosen one has its own."""
    why = candidate.why or Clause("")
    names = tuple(each.value for each in why.figures if each.unit == "name")
    alone = candidate.size if candidate.tasks else _arch(candidate)
    return (candidate.platform, alone, candidate.feasible, why.text, names)


def _arch(candidate: Candidate) -> str:
    return candidate.size.partition(" MB ")[2] if candidate.platform == "lambda" else ""


def _both_architectures(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Leave out the second architecture where the same keeps tasks away from both."""
    told = set()
    for each in candidates:
        told_as = (each.platform, each.size.partition(" MB ")[0], each.why)
        if each.platform == "lambda" and not each.feasible and not each.tasks:
            if told_as in told:
                continue
            told.add(told_as)
        yield each


def _row(alike: list[Candidate], decimals: int, *, several: bool) -> Row:
    first = alike[0]
    words = [clause_text(*(each.why for each in alike if each.why))] if first.why else []
    if first.tasks and several:
        words.insert(0, f"{amount_text(first.paid_usd)} in the plan")
    return Row(
        place=_place_text(alike),
        tasks=first.tasks,
        feasible=first.feasible,
        time=_between([(x.time_ms, ms_text(x.time_ms)) for x in alike if x.time_ms is not None]),
        usd=_between([(x.usd, usd_text(x.usd, decimals)) for x in alike if x.usd is not None]),
        why="; ".join(words),
    )


def _place_text(alike: list[Candidate]) -> str:
    first, last = alike[0], alike[-1]
    if not first.size:
        return first.platform
    if first.platform == "lambda":
        low, high = (each.size.partition(" MB ")[0] for each in (first, last))
        arch = f" {_arch(first)}" if first.feasible or first.tasks else ""
        return f"lambda {low if low == high else f'{low} to {high}'} MB{arch}"
    sizes = first.size if first is last else f"{first.size} to {last.size}"
    return plain(f"{first.platform} {sizes}")


def _between[F: (int, float, Decimal)](figures: Sequence[tuple[F, str]]) -> str:
    """Write the least and the greatest figure, the one that comes first in the list first."""
    if not figures:
        return MISSING
    low, high = min(figures)[1], max(figures)[1]
    if figures[-1] < figures[0]:
        low, high = high, low
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def parts_text(parts: Sequence[Part]) -> str:
    """Say where a step's tasks are: `ray c6g.large`, or each part with its number of tasks."""
    if len(parts) == 1:
        return plain(f"{parts[0].platform} {parts[0].size}")
    return plain(" + ".join(f"{part.tasks:,} {part.platform} {part.size}" for part in parts))


def workers_text(schedule: Schedule) -> str:
    """Say what a run is done with: nodes by type, and how many tasks on Lambda."""
    types = Counter(each.type for each in schedule.workers if each.platform != "lambda")
    calls = sum(run.platform == "lambda" for run in schedule.tasks)
    words = []
    if len(types) > _TYPES_NAMED:
        words.append(f"{types.total():,} nodes of {len(types)} types")
    else:
        words += [f"{number:,} {TIMES} {kind}" for kind, number in sorted(types.items())]
    if calls:
        words.append(f"{counted(calls, 'task')} on lambda")
    return plain(", ".join(words))


def plan_headline(planned: Planned) -> str:
    """Say what a plan comes to, in a sentence a person can repeat."""
    name, plan = plain(planned.asked.graph.name), planned.plan
    if isinstance(plan, Infeasible):
        states = "deadline" in planned.asked.from_file
        which = " with the deadline that its file states" if states else ""
        return f"There is no plan for {name}{which}: {plain(plan.reason)}."
    by_cost = planned.asked.goal.objective == "cost"
    gap = gap_text(plan.cost_gap if by_cost else plan.time_gap)
    least = "least possible cost for its time" if by_cost else "shortest possible time at its cost"
    took = f"{name} with {plain(planned.policy)} {_takes_text(plan.schedule)}"
    return f"{took}: at most {gap} above the {least}."


def goal_text(asked: Asked) -> str:
    """Say what a plan is to reach: `least cost, deadline 5m 00s`."""
    goal = asked.goal
    words = {"objective": f"least {goal.objective}"}
    if goal.deadline_ms is not None:
        words["deadline"] = f"deadline {ms_text(goal.deadline_ms)}"
    if goal.budget_usd is not None:
        words["budget"] = f"budget ${goal.budget_usd}"
    return ", ".join(
        f"{word} (as the file states)" if what in asked.from_file else word
        for what, word in words.items()
    )


def comparison_sentence(comparison: Comparison) -> str:
    """Compare the first policy with the best fixed cluster, or else with the next policy."""
    (policy, ours), *others = comparison.results
    named = dict(others)
    base = FIXED_CLUSTER if FIXED_CLUSTER in named else next(iter(named), None)
    if base is None:
        return f"{_outcome_text(policy, ours)}."
    theirs = named[base]
    if isinstance(ours, Infeasible) and isinstance(theirs, Infeasible):
        return f"Neither {_policy_name(policy)} nor {_policy_name(base)} has a plan."
    if isinstance(ours, Infeasible) or isinstance(theirs, Infeasible):
        return f"{_outcome_text(policy, ours)}; {_outcome_text(base, theirs)}."
    cost = than(ours.usd, theirs.usd, "cheaper", "dearer")
    time = faster(ours.makespan_ms, theirs.makespan_ms)
    moved = moved_steps(ours, theirs)
    steps = counted(moved, "step") if moved else "no step"
    return f"{_policy_name(policy)} is {compared(cost, time, _policy_name(base))}; {steps} moved."


def _policy_name(policy: str) -> str:
    return "the best fixed cluster" if policy == FIXED_CLUSTER else plain(policy)


def _outcome_text(policy: str, outcome: Schedule | Infeasible) -> str:
    if isinstance(outcome, Infeasible):
        return f"{_policy_name(policy)} has no plan"
    return f"{_policy_name(policy)} {_takes_text(outcome)}"


def _takes_text(schedule: Schedule) -> str:
    return f"takes {ms_text(schedule.makespan_ms)} and costs {amount_text(schedule.usd)}"
