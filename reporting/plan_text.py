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
from reporting.planned import Asked, Comparison, Planned
from reporting.text import MISSING, TIMES, change_text, plain, seconds_text, usd_text

MS_PER_S = 1000
FIXED_CLUSTER = "static-ec2"
_DIGITS = 3  # of an amount inside a sentence
_TYPES_NAMED = 2
_LONG_NAME, _SHORT_NAME = 28, 6
_SAME = 5e-4  # what would be written as 0.0 %


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


def share_text(value: float) -> str:
    """Write a share in percent: `0.4 %`, `31 %`, `1,200 %`."""
    percent = value * 100
    if abs(percent) >= 100:  # noqa: PLR2004  (two digits say how many times as much)
        return f"{float(f'{percent:.1e}'):,.0f} %"
    if 0 < abs(percent) < 0.05:  # noqa: PLR2004  (one decimal would show 0.0)
        return "<0.1 %"
    return f"{percent:.1f} %" if abs(percent) < 0.95 else f"{percent:.0f} %"  # noqa: PLR2004


def gap_text(value: float) -> str:
    """Write a gap to a bound in percent: `3.1 %`."""
    return f"{value * 100:,.1f} %"


def amount_text(usd: float | Decimal) -> str:
    """Write an amount of money to three digits, cents at least."""
    value = abs(float(usd))
    decimals = 2 if value >= 1 else min(9, _DIGITS - 1 - math.floor(math.log10(value or 1)))
    return usd_text(Decimal(str(usd)), decimals)


def plan_decimals(largest_usd: Decimal) -> int:
    """Return the decimals of the amounts in a table: fewer where more would be noise."""
    if largest_usd < 1:
        return 6
    return 4 if largest_usd < 100 else 2  # noqa: PLR2004  (hundreds of dollars: cents are enough)


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


def short_names(names: Sequence[str]) -> list[str]:
    """Cut long dotted names to their last parts, as many as tell them from all others."""
    ends = Counter(end for name in names for end in _ends(name))
    return [
        plain(next((end for end in _ends(name) if ends[end] == 1), name))
        if len(name) > _LONG_NAME
        else plain(name)
        for name in names
    ]


def _ends(name: str) -> list[str]:
    """Return what a name may be cut to, the shortest first."""
    parts = name.split(".")
    ends = [".".join(parts[first:]) for first in range(len(parts) - 1, -1, -1)]
    return [end for end in ends if len(end) >= _SHORT_NAME]


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


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
    cost = _than(float(ours.usd), float(theirs.usd), "cheaper", "dearer")
    time = _than(ours.makespan_ms, theirs.makespan_ms, "faster", "slower")
    moved = moved_steps(ours, theirs)
    steps = counted(moved, "step") if moved else "no step"
    return f"{_policy_name(policy)} is {_compared(cost, time, _policy_name(base))}; {steps} moved."


def _compared(cost: tuple[str, int], time: tuple[str, int], base: str) -> str:
    """Join two comparisons; each is its words (none: equal) and whether it is better (1, -1)."""
    (dear, cheap), (slow, fast) = cost, time
    if not dear and not slow:
        return f"as cheap and as fast as {base}"
    if not slow:
        return f"{dear} than {base} and as fast"
    if not dear:
        return f"{slow} than {base} and as cheap"
    return f"{dear} {'and' if cheap == fast else 'but'} {slow} than {base}"


def against_text(value: float | Decimal, base: float | Decimal) -> str:
    """Write `value` against `base` as a signed percentage; what no one would notice is `same`."""
    return "same" if _change(value, base) == 0 else change_text(value, base)


def _change(value: float | Decimal, base: float | Decimal) -> float:
    """Return by which share of `base` a value is above it; 0 where that would be written as 0."""
    change = float(value) / float(base) - 1 if base else 0.0
    return 0.0 if abs(change) < _SAME else change


def _than(value: float, base: float, less: str, more: str) -> tuple[str, int]:
    """Return `31 % cheaper` and whether that is better; no words where there is no difference."""
    change = _change(value, base)
    if not change:
        return "", 0
    return f"{share_text(abs(change))} {less if change < 0 else more}", -1 if change > 0 else 1


def _policy_name(policy: str) -> str:
    return "the best fixed cluster" if policy == FIXED_CLUSTER else plain(policy)


def _outcome_text(policy: str, outcome: Schedule | Infeasible) -> str:
    if isinstance(outcome, Infeasible):
        return f"{_policy_name(policy)} has no plan"
    return f"{_policy_name(policy)} {_takes_text(outcome)}"


def _takes_text(schedule: Schedule) -> str:
    return f"takes {ms_text(schedule.makespan_ms)} and costs {amount_text(schedule.usd)}"
