"""How far plans can be from the best possible: cost over its lower bound, at several deadlines.

    python -m bench.placement_gap TRACE.json... [--thorough] [--seed N]

Each trace (WfFormat 1.5) is planned for least cost at 1.2, 2 and 4 times the shortest makespan that
was found for it. The bound holds for every schedule that is as fast as the plan; the gap is what
the plan costs above it, in percent of it. Seconds are for plan and bound together.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from placement.books import default_books
from placement.engine.planner import Planner
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.read import read_graph

STRETCHES = (1.2, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One plan of one trace."""

    trace: str
    tasks: int
    stretch: float
    makespan_s: float
    usd: float
    bound_usd: float
    gap: float
    planner_s: float


def rows_of(path: Path, seed: int, *, thorough: bool) -> list[Row]:
    """Plan one trace at every deadline."""
    prices, book = default_books()
    graph = read_graph(path, book, {})
    planner = Planner(graph, prices, book, thorough=thorough)
    found = []
    for stretch in STRETCHES:
        begun = time.perf_counter()
        goal = Goal("cost", int(planner.shortest_makespan_ms * stretch))
        plan = planner.plan("trivium", goal, seed)
        if isinstance(plan, Infeasible):
            raise SystemExit(f"{path.name} at {stretch}: {plan.reason}")
        found.append(
            Row(
                path.stem,
                len(graph.tasks),
                stretch,
                plan.schedule.makespan_ms / 1000,
                float(plan.schedule.usd),
                float(plan.bound.cost_usd),
                plan.cost_gap,
                time.perf_counter() - begun,
            )
        )
    return found


def main() -> None:
    """Print a row per trace and deadline, and the median and the largest gap."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    header = f"{'trace':<44} {'tasks':>6} {'deadline':>8} {'makespan':>10} {'cost':>9}"
    print(f"{header} {'bound':>9} {'gap':>7} {'seconds':>8}")
    gaps = []
    for path in options.traces:
        for row in rows_of(path, options.seed, thorough=options.thorough):
            gaps.append(row.gap)
            print(
                f"{row.trace:<44} {row.tasks:>6} {row.stretch:>7.1f}x {row.makespan_s:>9.1f}s "
                f"${row.usd:>8.4f} ${row.bound_usd:>8.4f} {row.gap:>7.1%} {row.planner_s:>8.2f}",
                flush=True,
            )
    print(f"median gap {statistics.median(gaps):.1%}, largest {max(gaps):.1%}, {len(gaps)} plans")


if __name__ == "__main__":
    main()
