"""What a plan, a front and a comparison of policies consist of, for whoever writes them down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from placement.books import BookStamp
from placement.engine.candidates import StepPlan
from placement.engine.planner import GraphPlan
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.schedule import Schedule
from placement.engine.taskgraph import TaskGraph
from reporting.comparing.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Asked:
    """What was planned, for which goal, under which books; how thoroughly.

    `from_file` names what of the goal nobody asked for and the workflow file states itself:
    "objective", "deadline".
    """

    graph: TaskGraph
    goal: Goal
    seed: int
    books: tuple[BookStamp, ...]
    from_file: tuple[Literal["objective", "deadline"], ...] = ()
    thorough: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A policy's plan with its steps and its account, or why there is none."""

    asked: Asked
    policy: str
    plan: GraphPlan | Infeasible
    steps: tuple[StepPlan, ...] = ()
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Front:
    """Plans from the fastest to the cheapest."""

    asked: Asked
    plans: tuple[GraphPlan, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What every policy comes to for the same goal, in the order in which they were asked for."""

    asked: Asked
    results: tuple[tuple[str, Schedule | Infeasible], ...]
