"""Schedules to begin the refinement with: what simpler ways of planning come to.

A fixed cluster under HEFT, or HEFT beside Lambda, is at times better than what the search finds: a
plan that began with it, too, is no dearer. Only some clusters are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from placement.engine.compiled import NEVER, Floats
from placement.engine.policies.clusters import Clusters
from placement.engine.policies.goal import Goal, Infeasible
from placement.engine.policies.heft import ON_LAMBDA, heft
from placement.engine.policies.heft_mixed import heft_mixed
from placement.engine.policies.static_ec2 import Point
from placement.engine.simulator import Simulated, play_assignment
from placement.engine.timetable import NO_WORKER, Timetable

# So many tasks are played, in all clusters that are tried for one deadline.
_PLAYED_TASKS = 8_000
_FEWEST, _MOST = 6, 120
# Larger graphs are not tried at all: HEFT looks at every node for every task.
MOST_TASKS = 20_000
# Of each number of vCPUs so many types are tried for their price.
_TYPES_PER_SIZE = 2
# Clusters to begin with, each of another size of nodes.
_DIFFERENT = 3
# Nodes beside Lambda.
_BESIDE = (1, 2, 4, 8)
# So many more nodes than would do if they were never idle, in turn.
_MORE = (0, 1, 2, 4)
# A cluster that is late by less than this part is relieved of these parts of its tasks, in turn.
_LATE, _RELIEVED = 0.5, (0.1, 0.2, 0.35)


class Starts:
    """The simpler schedules of one graph."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._runs: dict[tuple[int, int], Simulated] = {}
        tasks = len(clusters.compiled.graph.tasks)
        self._most = 0
        if tasks <= MOST_TASKS:
            self._most = min(_MOST, max(_FEWEST, _PLAYED_TASKS // tasks))

    def in_time(self, deadline_ms: int) -> list[Timetable]:
        """Return what keeps a deadline: HEFT beside Lambda, and some cheap clusters.

        These are the cheapest tried of the sizes of nodes on which they are cheapest: a few large
        nodes share files, many small ones are never half idle, and no single change leads from one
        to the other. A cluster that would be a little late sends some of its tasks to Lambda.
        """
        if not self._most or self._clusters.misfit:
            return []
        found = list(self._mixed(Goal("cost", deadline_ms)))
        vcpus = self._clusters.compiled.arrays.vcpus
        best: dict[int, tuple[float, Timetable]] = {}
        for _, (kind, nodes) in zip(range(self._most), self._sizes(deadline_ms), strict=False):
            run, size = self._run(kind, nodes), int(vcpus[kind])
            if run.table.makespan_ms > deadline_ms:
                run = self._relieved(kind, nodes, deadline_ms) or run
            usd = self._clusters.costing.usd(run)
            in_time = run.table.makespan_ms <= deadline_ms
            if in_time and (size not in best or usd < best[size][0]):
                best[size] = usd, run.table
        cheapest = sorted(best.values(), key=lambda each: each[0])[:_DIFFERENT]
        return found + [table for _, table in cheapest]

    def _relieved(self, kind: int, nodes: int, deadline_ms: int) -> Simulated | None:
        """Return the run on a cluster that is a little late with enough tasks on Lambda instead."""
        clusters = self._clusters
        if self._run(kind, nodes).table.makespan_ms > deadline_ms * (1 + _LATE):
            return None
        cluster = clusters.cluster(kind, nodes)
        for part in _RELIEVED:
            where = np.where(self._lambda_rank < part, ON_LAMBDA, clusters.where)
            assignment = heft(clusters.work, cluster, where, whole_run=False)
            run = play_assignment(clusters.work, assignment)
            if run.table.makespan_ms <= deadline_ms:
                return run
        return None

    @cached_property
    def _lambda_rank(self) -> Floats:
        """Which part of the work would sooner go to Lambda, by task: it costs less there."""
        work, a = self._clusters.work, self._clusters.compiled.arrays
        busy_ms = np.maximum(1, a.node_compute_ms * a.cores)
        usd = np.where(work.lambda_ms < NEVER, a.lambda_usd, np.inf).min(axis=1, initial=np.inf)
        order = np.argsort(usd / busy_ms, kind="stable")
        rank = np.ones(len(order))
        rank[order] = np.cumsum(busy_ms[order]) / busy_ms.sum()
        return np.where(np.isfinite(usd), rank, 1.0)

    @cached_property
    def fastest(self) -> Timetable | None:
        """The fastest of HEFT beside Lambda and of single nodes, where no file moves twice."""
        if not self._most or self._clusters.misfit:
            return None
        runs = list(self._mixed(Goal("time")))
        runs += [self._run(kind, 1).table for kind in self._kinds[: self._most]]
        return min(runs, key=lambda each: each.makespan_ms, default=None)

    def _mixed(self, goal: Goal) -> Iterator[Timetable]:
        """Yield HEFT beside Lambda, with some nodes of the type of which one is fastest."""
        single = [
            (self._run(kind, 1).table.makespan_ms, kind) for kind in self._kinds[: self._most]
        ]
        kind = min(single)[1] if single else NO_WORKER
        for nodes in _BESIDE[: max(1, self._most // len(_BESIDE))] if single else (0,):
            point = Point(kind, nodes, NEVER, 0.0)
            found = heft_mixed(self._clusters, point, "heft", goal)
            if not isinstance(found, Infeasible):
                yield found

    def _sizes(self, deadline_ms: int) -> Iterator[tuple[int, int]]:
        """Yield types and numbers of nodes that could do, few nodes more than needed first."""
        a = self._clusters.compiled.arrays
        open_ms = deadline_ms - self._clusters.compiled.run_start_ms
        on_ray = self._clusters.on_ray
        busy_ms = int((a.node_compute_ms * a.cores)[on_ray].sum())
        for more in _MORE:
            for kind in self._kinds:
                ready_ms = max(1, open_ms - int(a.boot_ms[kind]))
                least = max(1, -(-busy_ms // (ready_ms * int(a.vcpus[kind]))))
                yield kind, least + more * max(1, least // 8)

    @cached_property
    def _kinds(self) -> list[int]:
        """The types that are tried, the smallest and the largest nodes in turn.

        Of each number of vCPUs those with the cheapest ones, and the one that moves data fastest.
        Where few can be tried they should differ: small nodes are never half idle, on large ones no
        file moves twice.
        """
        a = self._clusters.compiled.arrays
        by_size: dict[int, list[int]] = {}
        for kind in self._clusters.kinds:
            by_size.setdefault(int(a.vcpus[kind]), []).append(kind)
        rounds: list[list[int]] = [[] for _ in range(_TYPES_PER_SIZE + 1)]
        for _, kinds in sorted(by_size.items()):
            # max takes the first of equals: the cheapest.
            fastest = max(kinds, key=lambda kind: a.node_mb_per_s[kind])
            for turn, kind in enumerate(dict.fromkeys([*kinds[:_TYPES_PER_SIZE], fastest])):
                rounds[turn].append(kind)
        return [kind for kinds in rounds for kind in _from_both_ends(kinds)]

    def _run(self, kind: int, nodes: int) -> Simulated:
        if (kind, nodes) not in self._runs:
            self._runs[kind, nodes] = self._clusters.run(kind, nodes)
        return self._runs[kind, nodes]


def _from_both_ends(items: list[int]) -> list[int]:
    """Return the first, the last, the second, the last but one, and so on."""
    return [items[at // 2 if at % 2 == 0 else -1 - at // 2] for at in range(len(items))]
