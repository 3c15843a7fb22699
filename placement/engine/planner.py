"""Plans a task graph: a policy's schedule for a goal, and how far it can be from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cached_property, partial

from placement.books import PlatformBook, PriceBook
from placement.engine.bound import CostBound
from placement.engine.compiled import Compiled, compile_graph
from placement.engine.packings import Packings
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.registry import Baselines
from placement.engine.refining.refiner import Refiner
from placement.engine.retiming import retimed
from placement.engine.schedule import Schedule, make_schedule
from placement.engine.search import Search, to_timetable
from placement.engine.side_by_side import all_of
from placement.engine.starts import MOST_TASKS, Starts
from placement.engine.tally import tallied
from placement.engine.taskgraph import TaskGraph
from placement.engine.timetable import Timetable

OURS = "trivium"
# Deadlines of a Pareto front, as multiples of the shortest makespan.
STRETCHES = (1.0, 1.1, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0)
# Deadlines where there is none: what is still cheaper beyond takes days.
WIDE_STRETCHES = (2.0, 4.0, 16.0, 64.0)
# Of large graphs one is all that there is time for. Nodes that are kept for long gather files, and
# need dear disks for them.
LARGE_STRETCHES = (3.0,)
# Policies to begin with where least time is wanted, for graphs of so many tasks: they try hundreds
# of clusters.
SOONEST, SOONEST_TASKS = ("heft", "static-ec2"), 1200
BEGINNINGS = 6  # schedules that the refinement goes on from, at the most
# Where many deadlines are tried, the refinement gets this part of its effort for each.
QUICK = 0.25
BUDGET_STEPS = 8  # halvings of the range of deadlines in which the budget is spent


@dataclass(frozen=True, slots=True)
class Bound:
    """What no schedule can go below: cost at this makespan (USD), makespan at this cost (ms)."""

    cost_usd: Decimal
    makespan_ms: int


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """A policy's schedule for a goal, and the bounds that hold for it."""

    policy: str
    goal: Goal
    seed: int
    schedule: Schedule
    bound: Bound

    @property
    def cost_gap(self) -> float:
        """By which share of the bound the cost lies above it."""
        return float(self.schedule.usd / self.bound.cost_usd) - 1

    @property
    def time_gap(self) -> float:
        """By which share of the bound the makespan lies above it."""
        return self.schedule.makespan_ms / self.bound.makespan_ms - 1


class Planner:
    """Plans one graph under two books; what several plans share is worked out once.

    A `thorough` one goes on refining for as long as that makes plans cheaper: minutes, not seconds.
    """

    def __init__(
        self, graph: TaskGraph, prices: PriceBook, book: PlatformBook, *, thorough: bool = False
    ) -> None:
        self._prices, self._book = prices, book
        self._compiled = compile_graph(graph, prices, book)
        self._search = Search(self._compiled)
        self._refiner, self._thorough = Refiner(self._compiled, prices, book), thorough
        self._baselines = Baselines(self._compiled, prices, book)
        self._starts = Starts(self._baselines.clusters)
        self._packings = Packings(
            self._baselines.clusters, self._search.slack, self._refiner.choices
        )
        self._costing = self._baselines.clusters.costing
        self._found: dict[tuple[int, int, float], Schedule] = {}

    @property
    def compiled(self) -> Compiled:
        """The graph as the engine sees it."""
        return self._compiled

    @property
    def shortest_makespan_ms(self) -> int:
        """The makespan where every task ends as soon as it can: the shortest that was found."""
        return self._fastest.makespan_ms

    def plan(self, policy: str, goal: Goal, seed: int = 0) -> GraphPlan | Infeasible:
        """Return a policy's best schedule for a goal with its bounds, or why there is none.

        The same graph, books, goal and seed give the same plan. Raises UserError for a policy
        that does not exist.
        """
        schedule = self.schedule(policy, goal, seed)
        if isinstance(schedule, Infeasible):
            return schedule
        return GraphPlan(policy, goal, seed, schedule, self.bound(schedule))

    def schedule(self, policy: str, goal: Goal, seed: int = 0) -> Schedule | Infeasible:
        """Return a policy's best schedule for a goal, or why there is none; without bounds."""
        if policy == OURS:
            return self._ours(goal, seed)
        found = self._baselines.run(policy, goal)
        return found if isinstance(found, Infeasible) else self._account(found)

    def bound(self, schedule: Schedule) -> Bound:
        """Return the least cost at a schedule's makespan, and the least makespan at its cost."""
        return Bound(
            self._bounds.cost(schedule.makespan_ms),
            self._bounds.time(schedule.usd, known_ms=schedule.makespan_ms),
        )

    @cached_property
    def _bounds(self) -> CostBound:
        return CostBound(self._compiled.graph, self._prices, self._book)

    def _ours(self, goal: Goal, seed: int) -> Schedule | Infeasible:
        shortest = self.shortest_makespan_ms
        soon = goal.deadline_ms is not None and goal.deadline_ms < shortest
        if self._few and (soon or goal.objective == "time"):
            shortest = self._soonest_of_all_ms
        if goal.deadline_ms is not None and goal.deadline_ms < shortest:
            # Tasks that were moved in time may end a little sooner than the soonest schedule.
            fastest = self._for_deadline(shortest, seed)
            if goal.deadline_ms < fastest.makespan_ms:
                return _too_early(goal.deadline_ms, fastest.makespan_ms)
            if goal.budget_usd is None:
                return fastest
        if goal.budget_usd is not None:
            return self._within_budget(goal, seed)
        if goal.objective == "time":
            return self._for_deadline(shortest, seed)
        if goal.deadline_ms is not None:
            return self._for_deadline(goal.deadline_ms, seed)
        return self._cheapest_of_all(seed)

    def _cheapest_of_all(self, seed: int) -> Schedule:
        """Return the cheapest schedule whatever its makespan: more time helps only so far."""
        shortest = self.shortest_makespan_ms
        stretches = LARGE_STRETCHES if self._large else WIDE_STRETCHES
        deadlines = [int(shortest * stretch) for stretch in stretches]
        if len(deadlines) == 1:
            return self._for_deadline(deadlines[0], seed)
        best, best_ms = self._for_deadline(deadlines[0], seed, QUICK), deadlines[0]
        for deadline_ms in deadlines[1:]:
            found = self._for_deadline(deadline_ms, seed, QUICK)
            if found.usd >= best.usd:
                break
            best, best_ms = found, deadline_ms
        return min(best, self._for_deadline(best_ms, seed), key=_dearness)

    def _within_budget(self, goal: Goal, seed: int) -> Schedule | Infeasible:
        """Return the best schedule for a goal with a budget.

        For least time the deadline is halved in on: a longer one does not make the cheapest
        schedule dearer.
        """
        assert goal.budget_usd is not None
        slowest = (
            self._cheapest_of_all(seed)
            if goal.deadline_ms is None
            else self._for_deadline(goal.deadline_ms, seed)
        )
        if slowest.usd > goal.budget_usd:
            return _too_dear(goal, slowest)
        if goal.objective == "cost":
            return slowest
        return self._soonest_within(goal, slowest, seed)

    def _soonest_within(self, goal: Goal, slowest: Schedule, seed: int) -> Schedule:
        """Return the fastest schedule found that costs no more than the budget, as one does."""
        assert goal.budget_usd is not None
        low, high = self.shortest_makespan_ms, slowest.makespan_ms
        tried = [slowest, self._for_deadline(low, seed, QUICK)]
        if self._few:
            tried += map(self._account, self._others_soonest(high, goal.budget_usd))
        for _ in range(BUDGET_STEPS):
            middle = (low + high) // 2
            tried.append(self._for_deadline(middle, seed, QUICK))
            if tried[-1].usd <= goal.budget_usd:
                high = middle
            else:
                low = middle
        best = min(
            (each for each in tried if each.usd <= goal.budget_usd),
            key=lambda each: (each.makespan_ms, each.usd),
        )
        return min(best, self._for_deadline(best.makespan_ms, seed), key=_dearness)

    @cached_property
    def _fastest(self) -> Timetable:
        """The fastest schedule found, whatever it costs."""
        soonest, other = self._search.soonest(), self._starts.fastest
        if other is not None and other.makespan_ms < soonest.makespan_ms:
            return other
        return soonest

    @cached_property
    def _soonest_of_all_ms(self) -> int:
        """The shortest makespan, the other policies' for least time among them."""
        shortest = self.shortest_makespan_ms
        others = self._others_soonest(shortest)
        return min([shortest, *(table.makespan_ms for table in others)])

    def _for_deadline(self, deadline_ms: int, seed: int, effort: float = 1.0) -> Schedule:
        """Return the cheapest schedule found; the fastest where none keeps the deadline.

        The search, packings, fixed clusters and the fastest schedule are there to begin with. The
        refinement goes on from the cheapest of them, with some part of its effort.
        """
        key = (deadline_ms, seed, effort)
        if key not in self._found:
            begin = sorted(self._in_time(deadline_ms, seed), key=self._rank)[:BEGINNINGS]
            best = min([*begin, *self._refined(begin, deadline_ms, seed, effort)], key=self._rank)
            again = retimed(self._compiled, best, deadline_ms)
            tables = [best] if again is best else [best, again]
            self._found[key] = min(map(self._account, tables), key=_dearness)
        return self._found[key]

    def _refined(
        self, begin: Sequence[Timetable], deadline_ms: int, seed: int, effort: float
    ) -> list[Timetable]:
        """Return what the refinement makes of timetables, with some part of its effort.

        The thorough one does not begin with what the usual one finds: two layouts that are like
        each other would be all that it goes on with.
        """
        if self._large:
            # Each part would get too few tries for it to be worth the time.
            return []
        better = self._refiner.refined(begin, deadline_ms, seed, effort)
        if not self._thorough:
            return better
        return better + self._refiner.refined(begin, deadline_ms, seed, effort, thorough=True)

    def _in_time(self, deadline_ms: int, seed: int) -> list[Timetable]:
        """Return the timetables to begin with; the fastest one where none keeps the deadline."""
        # What is good for less time is good for more, and at times the search finds it there only.
        shorter = math.isqrt(deadline_ms * self.shortest_makespan_ms)
        twice = not self._large and shorter < deadline_ms
        deadlines = [deadline_ms, shorter] if twice else [deadline_ms]
        jobs = [partial(self._searched, each, deadline_ms, seed) for each in deadlines]
        jobs.append(partial(self._starts.in_time, deadline_ms))
        jobs.append(partial(self._packings.in_time, deadline_ms, seed))
        if self._few and deadline_ms <= self.shortest_makespan_ms:
            jobs.append(partial(self._others_soonest, deadline_ms))
        tables = [table for found in all_of(jobs) for table in found]
        # It is there for whoever asks for less time than there is.
        if not tables or (not self._large and self._fastest.makespan_ms <= deadline_ms):
            tables.append(self._fastest)
        return tables

    def _searched(self, for_ms: int, deadline_ms: int, seed: int) -> list[Timetable]:
        """Return what the search finds for some makespan, where that keeps the deadline."""
        found = self._search.cheapest(for_ms, seed).played
        return [to_timetable(self._compiled, found)] if found.makespan_ms <= deadline_ms else []

    def _others_soonest(
        self, deadline_ms: int, budget_usd: Decimal | None = None
    ) -> list[Timetable]:
        """Return what other policies come to for least time, where that keeps the limits.

        So they are not better where there is no slack at all, and little is left to search.
        """
        goal = Goal("time", budget_usd=budget_usd)
        found = [self._baselines.run(policy, goal) for policy in SOONEST]
        return [
            table
            for table in found
            if not isinstance(table, Infeasible) and table.makespan_ms <= deadline_ms
        ]

    def _rank(self, table: Timetable) -> tuple[float, int]:
        """Return what decides between two timetables: how cheap they are, then how fast."""
        return self._costing.usd(tallied(self._compiled, table)), table.makespan_ms

    @cached_property
    def _large(self) -> bool:
        """Whether the graph is too large for whatever takes a try for each of its tasks."""
        return len(self._compiled.graph.tasks) > MOST_TASKS

    @cached_property
    def _few(self) -> bool:
        """Whether there is time to look at whole fronts of other policies."""
        return len(self._compiled.graph.tasks) <= SOONEST_TASKS

    def _account(self, table: Timetable) -> Schedule:
        return make_schedule(self._compiled, table, self._prices, self._book)


def _dearness(schedule: Schedule) -> tuple[Decimal, int]:
    return schedule.usd, schedule.makespan_ms


def _too_early(deadline_ms: int, shortest_ms: int) -> Infeasible:
    return Infeasible(
        f"no placement found ends within {deadline_ms / 1000:g} s; the shortest takes "
        f"{shortest_ms / 1000:.3f} s"
    )


def _too_dear(goal: Goal, cheapest: Schedule) -> Infeasible:
    within = "" if goal.deadline_ms is None else f" within {goal.deadline_ms / 1000:g} s"
    return Infeasible(
        f"no placement found costs at most ${goal.budget_usd}{within}; the cheapest costs "
        f"${cheapest.usd.quantize(Decimal('1e-6'), rounding=ROUND_CEILING)}"
    )
