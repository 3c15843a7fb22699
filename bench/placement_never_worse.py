"""Whether any other policy ever does better than `trivium`.

    python -m bench.placement_never_worse TRACE_OR_FOLDER... [--seed N] [--most N] [--budgets]

The others are all fixed clusters on the front of the static-ec2 sweep, and mashup, heft and
all-lambda for least time, for least cost and at every deadline. `trivium` plans each trace for
least time, for least cost, and for least cost at 1.2, 2 and 4 times its shortest makespan and at
the makespan of each schedule of the others (of at most `--most` of them, spread evenly over the
logarithm of the makespan). With --budgets it also plans for least time at the cost of each of them.

A schedule of another policy is better than a plan where it
- dominates it: it is no later and no dearer, and one of both strictly;
- beats it: it keeps the goal's limits and is better in the objective, or as good in it and better
  in the other figure, without dominating it.
Each such case is printed, once per plan: the one that is ahead by most. Exit code 1: there are any.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bench.placement_contest import Contest, Outcome, spread, traces
from placement.engine.policies.goal import Goal
from placement.engine.policies.registry import ALL_LAMBDA, HEFT, MASHUP

STRETCHES = (1.2, 2.0, 4.0)
SOONEST, CHEAPEST = Goal("time"), Goal("cost")


@dataclass(frozen=True, slots=True)
class Case:
    """A goal for which another policy is better. `ours` None: `trivium` finds no plan at all."""

    goal: Goal
    ours: Outcome | None
    other: Outcome

    @property
    def dominated(self) -> bool:
        """Whether the other is better in both figures, or in one and as good in the other."""
        return self.ours is None or self.other.dominates(self.ours)

    def __str__(self) -> str:
        """Return one line with both."""
        deadline = "" if self.goal.deadline_ms is None else f" in {self.goal.deadline_ms / 1000} s"
        budget = "" if self.goal.budget_usd is None else f" for ${self.goal.budget_usd:.6f}"
        how = "dominates" if self.dominated else "beats"
        ours = "trivium has no plan" if self.ours is None else str(self.ours)
        return f"least {self.goal.objective}{deadline}{budget}: {self.other} {how} {ours}"


def others_of(contest: Contest, goals: Sequence[Goal]) -> list[Outcome]:
    """Return the schedules of all other policies, the fastest first, each pair of figures once."""
    found = [contest.fixed(point) for point in contest.baselines.front]
    for policy in (HEFT, MASHUP, ALL_LAMBDA):
        tried = (contest.theirs(policy, goal) for goal in goals)
        found += [each for each in tried if each is not None]
    by_figures = {(each.makespan_ms, each.usd): each for each in reversed(found)}
    return [by_figures[figures] for figures in sorted(by_figures)]


def cases_of(
    contest: Contest, goals: Sequence[Goal], others: Sequence[Outcome], seed: int
) -> Iterator[Case]:
    """Plan for every goal and yield where another policy is better."""
    for goal in goals:
        ours = contest.ours(goal, seed)
        better = [each for each in others if _is_better(each, ours, goal)]
        if better:
            worst = min(better, key=lambda each: _rank(each, ours, goal))
            yield Case(goal, ours, worst)


def _is_better(other: Outcome, ours: Outcome | None, goal: Goal) -> bool:
    if ours is not None and other.dominates(ours):
        return True
    late = goal.deadline_ms is not None and other.makespan_ms > goal.deadline_ms
    dear = goal.budget_usd is not None and other.usd > goal.budget_usd
    return not late and not dear and (ours is None or _key(other, goal) < _key(ours, goal))


def _key(outcome: Outcome, goal: Goal) -> tuple[Decimal | int, Decimal | int]:
    cost = goal.objective == "cost"
    return (outcome.usd, outcome.makespan_ms) if cost else (outcome.makespan_ms, outcome.usd)


def _rank(
    other: Outcome, ours: Outcome | None, goal: Goal
) -> tuple[bool, tuple[Decimal | int, Decimal | int]]:
    dominates = ours is not None and other.dominates(ours)
    return (not dominates, _key(other, goal))


def goals_of(
    contest: Contest, others: Sequence[Outcome], most: int, *, budgets: bool
) -> list[Goal]:
    """Return the goals to plan for that follow from the schedules of the others."""
    some = spread(others, most, [each.makespan_ms for each in others])
    deadlines = sorted({each.makespan_ms for each in some} | set(_own_deadlines(contest)))
    goals = [SOONEST, CHEAPEST, *(Goal("cost", ms) for ms in deadlines)]
    return goals + [Goal("time", None, each.usd) for each in some if budgets]


def _own_deadlines(contest: Contest) -> list[int]:
    return [int(contest.planner.shortest_makespan_ms * stretch) for stretch in STRETCHES]


def main() -> None:
    """Print every case of every trace, and how many there are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=12, help="deadlines taken from the others")
    parser.add_argument("--budgets", action="store_true")
    options = parser.parse_args()
    plans, cases = 0, list[Case]()
    for path in traces(options.traces):
        begun = time.perf_counter()
        contest = Contest.of(path)
        asked = [SOONEST, CHEAPEST, *(Goal("cost", ms) for ms in _own_deadlines(contest))]
        others = others_of(contest, asked)
        goals = goals_of(contest, others, options.most, budgets=options.budgets)
        here = list(cases_of(contest, goals, others, options.seed))
        took = time.perf_counter() - begun
        print(
            f"{path.stem}: {len(contest.graph.tasks)} tasks, {len(goals)} goals, "
            f"{len(others)} schedules of others, {len(here)} better  ({took:.0f} s)",
            flush=True,
        )
        for case in here:
            print(f"  {case}", flush=True)
        plans, cases = plans + len(goals), cases + here
    dominated = sum(case.dominated for case in cases)
    print(f"{plans} plans: {dominated} dominated, {len(cases) - dominated} beaten")
    sys.exit(1 if cases else 0)


if __name__ == "__main__":
    main()
