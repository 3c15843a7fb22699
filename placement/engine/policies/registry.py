"""The policies that Trivium's own is compared with, by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from placement.books import PlatformBook, PriceBook
from placement.engine.compiled import Compiled
from placement.engine.policies.all_lambda import all_lambda
from placement.engine.policies.clusters import Clusters, check_ray_type
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.heft_mixed import heft_mixed
from placement.engine.policies.mashup import mashup
from placement.engine.policies.static_ec2 import (
    MOST_NODES,
    Point,
    best_cluster,
    choose,
    one_cluster,
    pareto,
    sweep,
)
from placement.engine.timetable import Timetable
from placement.errors import UserError

STATIC, ALL_LAMBDA, MASHUP, HEFT = "static-ec2", "all-lambda", "mashup", "heft"
POLICIES = (STATIC, ALL_LAMBDA, MASHUP, HEFT)
_NAMED = ("trivium", *POLICIES)


def run_policy(
    name: str, compiled: Compiled, goal: Goal, prices: PriceBook, book: PlatformBook
) -> Timetable | Infeasible:
    """Return what a policy makes of a goal, or why it cannot.

    Raises UserError for a policy that does not exist.
    """
    return Baselines(compiled, prices, book).run(name, goal)


@dataclass(frozen=True, eq=False)
class Baselines:
    """The policies for one graph under two books; the sweep over clusters is made once."""

    compiled: Compiled
    prices: PriceBook
    book: PlatformBook

    def run(self, name: str, goal: Goal) -> Timetable | Infeasible:
        """Return what a policy makes of a goal, or why it cannot.

        Raises UserError for a policy that does not exist.
        """
        if name == ALL_LAMBDA:
            return all_lambda(self.compiled, self.prices, self.book, name, goal)
        if name == STATIC:
            return self._static(goal)
        if name in {MASHUP, HEFT}:
            return self._beside_lambda(name, goal)
        kind, nodes = _one_cluster(name)
        return one_cluster(self.clusters, name, self.clusters.column(kind), nodes, goal)

    @cached_property
    def clusters(self) -> Clusters:
        """The fixed clusters that there are."""
        return Clusters(self.compiled, self.prices, self.book)

    @cached_property
    def front(self) -> tuple[Point, ...]:
        """The Pareto front of the fixed clusters, the fastest first; empty where none fits."""
        return () if self.clusters.misfit else pareto(sweep(self.clusters))

    def _static(self, goal: Goal) -> Timetable | Infeasible:
        misfit = self.clusters.misfit_without_lambda
        return (
            Infeasible(misfit) if misfit else best_cluster(self.clusters, self.front, STATIC, goal)
        )

    def _beside_lambda(self, name: str, goal: Goal) -> Timetable | Infeasible:
        if self.clusters.misfit:
            return Infeasible(self.clusters.misfit)
        point = choose(self.front, goal)
        run = mashup if name == MASHUP else heft_mixed
        return run(self.clusters, point, name, goal)


def check_policy(name: str, book: PlatformBook) -> None:
    """Refuse a policy that does not exist, before anything is planned.

    Raises UserError: one sentence, with those that there are.
    """
    if name not in _NAMED:
        kind, _ = _one_cluster(name)
        check_ray_type(kind, book)


def _one_cluster(name: str) -> tuple[str, int]:
    """Return type and number of the nodes of `static-ec2:TYPE:N`."""
    policy, *words = name.split(":")
    if policy != STATIC or not words:
        there = ", ".join((*_NAMED, f"{STATIC}:TYPE:N"))
        raise UserError(f'there is no policy "{name}"; there are {there}.')
    if len(words) != 2 or not words[1].isdecimal():  # noqa: PLR2004  (TYPE and N)
        raise UserError(f'the policy "{name}" is not {STATIC}:TYPE:N with a number of nodes.')
    kind, nodes = words[0], int(words[1])
    if not 1 <= nodes <= MOST_NODES:
        raise UserError(f'the policy "{name}" has {nodes} nodes; 1 to {MOST_NODES} are possible.')
    return kind, nodes
