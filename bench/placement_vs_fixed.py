"""What `trivium` saves against fixed clusters, and what the lower bounds leave to be saved at most.

    python -m bench.placement_vs_fixed TRACE_OR_FOLDER... [--points N] [--steps N] [--thorough]
                                       [--seed N] [--json OUT.json]

The baseline is the whole front of the static-ec2 sweep: one cluster for the whole run, every type
and number of nodes, the same on-demand prices. Of longer fronts `--points` are taken, spread evenly
over the logarithm of the makespan, the fastest and the cheapest among them. At each point

- cost saved at equal time: 1 - (the cheapest plan that takes no longer) / (the point's cost);
- time saved at equal cost: 1 - (the fastest plan that costs no more) / (the point's makespan);
- at most: the same with the lower bound on cost at the point's makespan, and the lower bound on
  time at the point's cost, in place of a plan. No scheduler can save more under this model.

All plans are real ones. Of each trace they are made for least cost at the makespan of each point,
and then for each point at `--steps` more deadlines between those where its cost is exceeded and
where it is not, chosen by interpolation of time and cost in logarithms; every plan that was made
counts for every point. Where no plan is as good as a point, nothing is saved there, and the row
says at how many points that is so. A trace's figures are the means over its points; those of an
application, and of all, are the means over traces.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.placement_contest import Contest, Outcome, family, spread, traces
from placement.engine.bound import CostBound
from placement.engine.policies.goal import Goal

COST_WANTED, TIME_WANTED = 0.43, 0.34  # what Mashup's authors report, there against one cluster
SAFETY = 0.99  # of a point's cost is aimed at, so that the plan does not cost a little more
NEAREST_SHARE = 0.1  # of the gap in logarithms that a step takes away at the least


@dataclass(frozen=True, slots=True)
class Savings:
    """Shares of a fixed cluster's cost and time that are saved, and could be at most."""

    cost: float
    cost_at_most: float
    time: float
    time_at_most: float

    @classmethod
    def mean(cls, several: Sequence["Savings"]) -> "Savings":
        """Return the arithmetic mean of each figure."""
        return cls(
            statistics.fmean(each.cost for each in several),
            statistics.fmean(each.cost_at_most for each in several),
            statistics.fmean(each.time for each in several),
            statistics.fmean(each.time_at_most for each in several),
        )


@dataclass(frozen=True, slots=True)
class AtPoint:
    """One fixed cluster and what is saved against it; None: no plan is as good."""

    cluster: Outcome
    cheapest: Outcome | None
    fastest: Outcome | None
    savings: Savings


@dataclass(frozen=True, slots=True)
class Row:
    """One trace: its points and the mean over them."""

    trace: str
    tasks: int
    on_front: int
    points: tuple[AtPoint, ...]
    savings: Savings
    seconds: float

    @property
    def missed(self) -> int:
        """At how many points no plan is as good."""
        return sum(each.cheapest is None or each.fastest is None for each in self.points)


def row_of(path: Path, most: int, steps: int, seed: int, *, thorough: bool) -> Row | None:
    """Compare on one trace; None: no fixed cluster runs it."""
    begun = time.perf_counter()
    contest = Contest.of(path, thorough=thorough)
    if contest.baselines.clusters.misfit_without_lambda or not contest.baselines.front:
        return None
    front = contest.baselines.front
    chosen = spread(front, most, [point.makespan_ms for point in front])
    clusters = [contest.fixed(point) for point in chosen]
    _plan(contest, clusters, steps, seed)
    bounds = CostBound(contest.graph, contest.prices, contest.book)
    points = tuple(_at_point(cluster, contest.all_ours(), bounds) for cluster in clusters)
    return Row(
        path.stem,
        len(contest.graph.tasks),
        len(front),
        points,
        Savings.mean([each.savings for each in points]),
        time.perf_counter() - begun,
    )


def _plan(contest: Contest, clusters: Sequence[Outcome], steps: int, seed: int) -> None:
    """Make the plans at the clusters' makespans, and between them near the clusters' costs."""
    contest.ours(Goal("time"), seed)
    for cluster in clusters:
        contest.ours(Goal("cost", cluster.makespan_ms), seed)
    for cluster in clusters:
        for _ in range(steps):
            deadline_ms = _next_deadline_ms(cluster, contest.all_ours())
            if deadline_ms is None:
                break
            contest.ours(Goal("cost", deadline_ms), seed)


def _next_deadline_ms(cluster: Outcome, plans: Sequence[Outcome]) -> int | None:
    """Return where the cost of plans is expected to reach a cluster's; None: it need not be sought.

    That is between the fastest plan that is as cheap and the slowest faster one, which is dearer.
    """
    fastest = _fastest(cluster, plans)
    if fastest is None:
        return None
    dearer = [plan for plan in plans if plan.makespan_ms < fastest.makespan_ms]
    if not dearer:
        return None
    slower = max(dearer, key=lambda plan: (plan.makespan_ms, -plan.usd))
    gap = math.log(fastest.makespan_ms / slower.makespan_ms)
    wanted_usd = SAFETY * float(cluster.usd)
    part = math.log(float(slower.usd) / wanted_usd) / math.log(float(slower.usd / fastest.usd))
    part = min(1 - NEAREST_SHARE, max(NEAREST_SHARE, part))
    deadline_ms = round(slower.makespan_ms * math.exp(gap * part))
    return deadline_ms if slower.makespan_ms < deadline_ms < fastest.makespan_ms else None


def _at_point(cluster: Outcome, plans: Sequence[Outcome], bounds: CostBound) -> AtPoint:
    cheapest, fastest = _cheapest(cluster, plans), _fastest(cluster, plans)
    known_ms = min(each.makespan_ms for each in (cluster, fastest) if each is not None)
    least_ms = bounds.time(cluster.usd, known_ms=known_ms)
    savings = Savings(
        cost=0.0 if cheapest is None else 1 - float(cheapest.usd / cluster.usd),
        cost_at_most=1 - float(bounds.cost(cluster.makespan_ms) / cluster.usd),
        time=0.0 if fastest is None else 1 - fastest.makespan_ms / cluster.makespan_ms,
        time_at_most=1 - least_ms / cluster.makespan_ms,
    )
    return AtPoint(cluster, cheapest, fastest, savings)


def _cheapest(cluster: Outcome, plans: Iterable[Outcome]) -> Outcome | None:
    in_time = [plan for plan in plans if plan.makespan_ms <= cluster.makespan_ms]
    best = min(in_time, key=lambda plan: (plan.usd, plan.makespan_ms), default=None)
    return best if best is not None and best.usd <= cluster.usd else None


def _fastest(cluster: Outcome, plans: Iterable[Outcome]) -> Outcome | None:
    as_cheap = [plan for plan in plans if plan.usd <= cluster.usd]
    best = min(as_cheap, key=lambda plan: (plan.makespan_ms, plan.usd), default=None)
    return best if best is not None and best.makespan_ms <= cluster.makespan_ms else None


def _line(name: str, tasks: str, points: str, savings: Savings, rest: str = "") -> str:
    cost_mark = "*" if savings.cost_at_most < COST_WANTED else " "
    time_mark = "*" if savings.time_at_most < TIME_WANTED else " "
    return (
        f"{name:<42} {tasks:>6} {points:>8} {savings.cost:>10.1%} {savings.cost_at_most:>8.1%}"
        f"{cost_mark} {savings.time:>10.1%} {savings.time_at_most:>8.1%}{time_mark}{rest}"
    )


def _print_means(rows: Sequence[Row]) -> None:
    for name in sorted({family(row.trace) for row in rows}):
        some = [row for row in rows if family(row.trace) == name]
        mean = Savings.mean([row.savings for row in some])
        print(_line(f"mean of {name}", "", f"{len(some)} tr.", mean))
    print(_line("mean of all", "", f"{len(rows)} tr.", Savings.mean([r.savings for r in rows])))
    print(
        f"* no scheduler can save {COST_WANTED:.0%} of the cost, or {TIME_WANTED:.0%} of the time"
    )


def _json(rows: Sequence[Row]) -> str:
    mean = asdict(Savings.mean([row.savings for row in rows]))
    data = {"traces": [asdict(row) for row in rows], "mean": mean}
    return json.dumps(data, indent=1, default=str) + "\n"


def main() -> None:
    """Print a row per trace, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--points", type=int, default=6)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = f"{'trace':<42} {'tasks':>6} {'points':>8} {'cost saved':>10} {'at most':>8}"
    print(f"{head}  {'time saved':>10} {'at most':>8}")
    rows = []
    for path in traces(options.traces):
        row = row_of(path, options.points, options.steps, options.seed, thorough=options.thorough)
        if row is None:
            print(f"{path.stem:<42} no fixed cluster runs it")
            continue
        rows.append(row)
        missed = f"  {row.missed} points not reached" if row.missed else ""
        points = f"{len(row.points)}/{row.on_front}"
        rest = f"{missed}  ({row.seconds:.0f} s)"
        print(_line(row.trace, str(row.tasks), points, row.savings, rest), flush=True)
    if rows:
        _print_means(rows)
        if options.json is not None:
            options.json.write_text(_json(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
