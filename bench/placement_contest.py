"""One trace with `trivium` and the policies that it is compared with; used by the benchmarks."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from placement.books import PlatformBook, PriceBook, default_books
from placement.engine.planner import OURS, Planner
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.registry import Baselines
from placement.engine.policies.static_ec2 import Point
from placement.engine.read import read_graph
from placement.engine.schedule import make_schedule
from placement.engine.taskgraph import TaskGraph
from placement.engine.timetable import Timetable


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy came to: milliseconds and USD, both exact. `policy` says how it was asked."""

    policy: str
    makespan_ms: int
    usd: Decimal

    def dominates(self, other: "Outcome") -> bool:
        """Whether this is no later and no dearer, and one of both strictly."""
        no_worse = self.makespan_ms <= other.makespan_ms and self.usd <= other.usd
        return no_worse and (self.makespan_ms, self.usd) != (other.makespan_ms, other.usd)

    def __str__(self) -> str:
        """Return policy, seconds and USD."""
        return f"{self.policy} {self.makespan_ms / 1000:.3f} s ${self.usd:.6f}"


@dataclass(frozen=True, eq=False)
class Contest:
    """One graph under the default books; sweeps and plans are made once."""

    graph: TaskGraph
    prices: PriceBook
    book: PlatformBook
    planner: Planner
    baselines: Baselines
    _plans: dict[tuple[Goal, int], Outcome | None] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, *, thorough: bool = False) -> "Contest":
        """Read a trace. Raises UserError: one sentence."""
        prices, book = default_books()
        graph = read_graph(path, book, {})
        planner = Planner(graph, prices, book, thorough=thorough)
        return cls(graph, prices, book, planner, Baselines(planner.compiled, prices, book))

    def ours(self, goal: Goal, seed: int) -> Outcome | None:
        """Return what `trivium` makes of a goal; None: no plan keeps the limits."""
        if (goal, seed) not in self._plans:
            found = self.planner.schedule(OURS, goal, seed)
            self._plans[goal, seed] = (
                None
                if isinstance(found, Infeasible)
                else Outcome(OURS, found.makespan_ms, found.usd)
            )
        return self._plans[goal, seed]

    def all_ours(self) -> list[Outcome]:
        """Return all plans of `trivium` that were made so far, whatever their goals."""
        return [found for found in self._plans.values() if found is not None]

    def theirs(self, policy: str, goal: Goal) -> Outcome | None:
        """Return what another policy makes of a goal; None: it cannot."""
        found = self.baselines.run(policy, goal)
        if isinstance(found, Infeasible):
            return None
        return self._outcome(f"{policy} ({_said(goal)})", found)

    def fixed(self, point: Point) -> Outcome:
        """Return what a fixed cluster comes to."""
        clusters = self.baselines.clusters
        table = clusters.run(point.kind, point.nodes).table
        return self._outcome(f"static-ec2:{clusters.name(point.kind)}:{point.nodes}", table)

    def _outcome(self, policy: str, table: Timetable) -> Outcome:
        schedule = make_schedule(self.planner.compiled, table, self.prices, self.book)
        return Outcome(policy, schedule.makespan_ms, schedule.usd)


def _said(goal: Goal) -> str:
    within = "" if goal.deadline_ms is None else f" within {goal.deadline_ms / 1000:g} s"
    below = "" if goal.budget_usd is None else f" for ${goal.budget_usd:.6f}"
    return f"least {goal.objective}{within}{below}"


def traces(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the traces that are named, and those in the folders that are, by name."""
    for path in paths:
        yield from sorted(path.glob("*.json")) if path.is_dir() else [path]


def spread[T](items: Sequence[T], most: int, at: Sequence[float]) -> list[T]:
    """Return at most so many items: those nearest to evenly spaced logarithms of `at`, which rises.

    The first and the last one are among them; each is taken once.
    """
    if len(items) <= most:
        return list(items)
    logs = [math.log(value) for value in at]
    kept: set[int] = set()
    for step in range(most):
        wanted = logs[0] + (logs[-1] - logs[0]) * step / max(1, most - 1)
        kept.add(min(range(len(items)), key=lambda i: (abs(logs[i] - wanted), i)))
    return [items[i] for i in sorted(kept)]


def family(trace: str) -> str:
    """Return the application that a trace is of: the first word of its name."""
    return trace.partition("-")[0]
