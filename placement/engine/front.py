"""The Pareto front between time and cost, each point with the goal that leads to it again."""

from __future__ import annotations

from placement.engine.planner import OURS, STRETCHES, GraphPlan, Planner
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.schedule import Schedule


def front(planner: Planner, seed: int = 0) -> tuple[GraphPlan, ...]:
    """Return plans from the fastest to the cheapest, none of them dominated by another.

    They are those for least cost at some deadlines: multiples of the shortest makespan. The same
    goal and seed give the same plan again.
    """
    found: list[tuple[Goal, Schedule]] = []
    for stretch in STRETCHES:
        goal = Goal("cost", int(planner.shortest_makespan_ms * stretch))
        schedule = planner.schedule(OURS, goal, seed)
        if not isinstance(schedule, Infeasible):
            found.append((goal, schedule))
    kept: list[tuple[Goal, Schedule]] = []
    for goal, schedule in sorted(found, key=lambda each: (each[1].makespan_ms, each[1].usd)):
        if not kept or schedule.usd < kept[-1][1].usd:
            kept.append((goal, schedule))
    return tuple(
        GraphPlan(OURS, goal, seed, schedule, planner.bound(schedule)) for goal, schedule in kept
    )
