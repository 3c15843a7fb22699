"""`static-ec2`: one fixed cluster for the whole run, scheduled with HEFT.

`static-ec2:TYPE:N` is one cluster. `static-ec2` tries the types of `Clusters.kinds` with 1, 2, 3,
4, 6, 8, 12, 16, ... nodes, of each type until two more have not shortened the run; it
keeps the Pareto front of makespan and cost, and takes from it what the goal wants.

A cluster is passed over if one that was tried is as fast and as cheap as it could be at best: its
tasks spread evenly over its vCPUs, or the longest path, with no file ever brought. So nothing is
lost to the front.

Of large graphs, for which all this would take very long, only the largest type of each family is
tried, with 1, 2, 4, 8, ... nodes, until one more has not shortened the run, and no more clusters
than let a fixed number of tasks be played in all.

Complexity: one run of HEFT and of the simulator for each cluster that is tried, some hundreds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from placement.engine.compiled import NEVER
from placement.engine.jit import njit
from placement.engine.listscheduler import T_CORES, T_PREDS, Work, times_on_node
from placement.engine.policies.clusters import Clusters
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.timetable import NO_WORKER, Timetable

MOST_NODES = 10_000
# Graphs with more tasks are large. Of those so many tasks are played in all, in so many clusters
# at the least.
LARGE_TASKS = 10_000
LARGE_PLAYED_TASKS = 2_000_000
LARGE_FEWEST = 16


@dataclass(frozen=True, slots=True)
class Point:
    """A cluster of so many nodes of a type (its column), its makespan, and its cost in USD."""

    kind: int
    nodes: int
    makespan_ms: int
    usd: float


def one_cluster(
    clusters: Clusters, policy: str, kind: int, nodes: int, goal: Goal
) -> Timetable | Infeasible:
    """Return the run on one cluster, where it keeps the goal's limits."""
    misfit = clusters.misfit_without_lambda or clusters.misfit_of(kind)
    if misfit is not None:
        return Infeasible(misfit)
    run = clusters.run(kind, nodes)
    return goal.judged(policy, run.table, clusters.costing.usd(run))


def best_cluster(
    clusters: Clusters, front: Iterable[Point], policy: str, goal: Goal
) -> Timetable | Infeasible:
    """Return the run on the cluster of a front that the goal wants."""
    if clusters.misfit_without_lambda is not None:
        return Infeasible(clusters.misfit_without_lambda)
    point = choose(front, goal)
    return goal.judged(policy, clusters.run(point.kind, point.nodes).table, point.usd)


def choose(points: Iterable[Point], goal: Goal) -> Point:
    """Return the point that the goal wants, or that comes nearest to its limits."""
    return min(points, key=lambda each: goal.key(each.makespan_ms, each.usd))


def pareto(points: Iterable[Point]) -> tuple[Point, ...]:
    """Return the points that no other dominates, from the fastest to the cheapest."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda each: (each.makespan_ms, each.usd)):
        if not kept or point.usd < kept[-1].usd:
            kept.append(point)
    return tuple(kept)


def sweep(clusters: Clusters) -> Iterator[Point]:
    """Try all clusters that may be on the front. There is one that runs all tasks."""
    if not clusters.on_ray.any():
        yield _tried(clusters, NO_WORKER, 0)
        return
    extent = _Extent.of(clusters)
    tried: list[Point] = []
    for kind in extent.kinds:
        for point in _of_type(clusters, kind, extent, tried):
            tried.append(point)
            yield point
            if len(tried) == extent.most:
                return


@dataclass(frozen=True, slots=True)
class _Extent:
    """How far the sweep goes: which types, whether to try 3, 6, 12, ... nodes too, when to stop.

    `patience`: how many numbers of nodes in a row may fail to shorten the run.
    """

    kinds: tuple[int, ...]
    halves: bool
    patience: int
    most: int | None

    @classmethod
    def of(cls, clusters: Clusters) -> _Extent:
        tasks = len(clusters.where)
        if tasks <= LARGE_TASKS:
            return cls(clusters.kinds, halves=True, patience=2, most=None)
        most = max(LARGE_FEWEST, LARGE_PLAYED_TASKS // tasks)
        return cls(_largest_of_families(clusters), halves=False, patience=1, most=most)

    def node_counts(self) -> Iterator[int]:
        nodes = 1
        while nodes <= MOST_NODES:
            yield nodes
            half_more = nodes * 3 // 2
            if self.halves and nodes < half_more <= MOST_NODES:
                yield half_more
            nodes *= 2


def _largest_of_families(clusters: Clusters) -> tuple[int, ...]:
    vcpus, largest = clusters.compiled.arrays.vcpus, dict[str, int]()
    for kind in clusters.kinds:
        family = clusters.name(kind).partition(".")[0]
        if family not in largest or vcpus[kind] > vcpus[largest[family]]:
            largest[family] = kind
    return tuple(largest.values())


def _of_type(clusters: Clusters, kind: int, extent: _Extent, tried: list[Point]) -> Iterator[Point]:
    bound = _Bound.of(clusters, kind)
    shortest, longer = NEVER, 0
    for nodes in extent.node_counts():
        makespan_ms, usd = bound.makespan_ms(nodes), bound.usd(nodes)
        if any(each.makespan_ms <= makespan_ms and each.usd <= usd for each in tried):
            if bound.least_for(nodes):
                return
            continue
        point = _tried(clusters, kind, nodes)
        yield point
        longer = longer + 1 if point.makespan_ms >= shortest else 0
        shortest = min(shortest, point.makespan_ms)
        if longer == extent.patience:
            return


def _tried(clusters: Clusters, kind: int, nodes: int) -> Point:
    run = clusters.run(kind, nodes)
    return Point(kind, nodes, run.table.makespan_ms, clusters.costing.usd(run))


@dataclass(frozen=True, slots=True)
class _Bound:
    """What no cluster of a type falls below.

    `fixed_ms` pass before and after the tasks; `longest_ms` is the longest path and `core_ms` all
    work, both 0 where tasks may also run elsewhere than on the Ray nodes. A node costs
    `node_usd_per_ms`, and what all files take on disks `files_usd_per_ms`.
    """

    fixed_ms: int
    boot_ms: int
    longest_ms: int
    core_ms: int
    vcpus: int
    node_usd_per_ms: float
    files_usd_per_ms: float

    @classmethod
    def of(cls, clusters: Clusters, kind: int) -> _Bound:
        """Return what holds for a type."""
        a = clusters.compiled.arrays
        alone = bool(clusters.on_ray.all())
        longest_ms, core_ms = _least(clusters.work, kind) if alone else (0, 0)
        boot_ms = int(a.boot_ms[kind])
        named = np.unique(np.concatenate([a.in_idx, a.out_idx]))
        files_gb = a.file_bytes[named].sum() / 1e9 if alone else 0
        return cls(
            fixed_ms=int(a.limits[0] + boot_ms + a.limits[1]),
            boot_ms=boot_ms,
            longest_ms=longest_ms,
            core_ms=core_ms,
            vcpus=int(a.vcpus[kind]),
            node_usd_per_ms=float(a.node_usd_per_ms[kind]),
            files_usd_per_ms=float(files_gb * clusters.costing.usd_per_gb_s / 1000),
        )

    def makespan_ms(self, nodes: int) -> float:
        return self.fixed_ms + self._tasks_ms(nodes)

    def usd(self, nodes: int) -> float:
        usd_per_ms = nodes * self.node_usd_per_ms + self.files_usd_per_ms
        return usd_per_ms * (self.boot_ms + self._tasks_ms(nodes))

    def least_for(self, nodes: int) -> bool:
        """Whether more nodes lower the bound on the makespan no more."""
        return self.core_ms <= self.longest_ms * nodes * self.vcpus

    def _tasks_ms(self, nodes: int) -> float:
        return max(self.longest_ms, self.core_ms / (nodes * self.vcpus))


@njit(cache=True)
def _least(w: Work, kind: int) -> tuple[int, int]:
    """Return the longest path and the core-milliseconds of all tasks, if no file were brought."""
    n, core_ms, longest_ms = w.tasks.shape[0] - 1, 0, 0
    end = np.zeros(n, np.int64)
    for task in range(n):
        _, ms = times_on_node(w, task, kind, 0, 0)
        core_ms += w.tasks[task, T_CORES] * ms
        for k in range(w.tasks[task, T_PREDS], w.tasks[task + 1, T_PREDS]):
            end[task] = max(end[task], end[w.links[k]])
        end[task] += ms
        longest_ms = max(longest_ms, end[task])
    return longest_ms, core_ms
