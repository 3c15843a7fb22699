"""Which node types are worth launching for a group of tasks: one of each size, the cheapest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from placement.engine.compiled import NEVER, Arrays, Compiled, Floats, Ints
from placement.engine.node_times import NodeTimes
from placement.engine.timetable import NO_WORKER
from placement.workflow import Platform

# vCPUs of the rungs. A larger node shares its image and its files among more tasks; beyond this
# there is nothing left to gain, and a large one is seldom filled to its end.
RUNGS = (32, 16, 8, 4, 2, 1)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Node types by task (t) and rung (r, the largest first), and durations on the smallest.

    `types` holds columns of the compiled arrays, NO_WORKER where no type of that size fits; the
    last rung is the type for a task that is in a hurry. `node_ms` (t) is a task's duration there
    with all its inputs to bring, NEVER where there is none.
    """

    types: Ints
    node_ms: Ints

    def up_to(self, vcpus: int) -> Ints:
        """Return the rungs of at most so many vCPUs, as the list scheduler takes them."""
        kept = [rung for rung, size in enumerate(RUNGS) if size <= vcpus]
        return np.ascontiguousarray(self.types[:, [*kept, len(RUNGS)]])


def build_ladder(
    compiled: Compiled, times: NodeTimes, platform: Platform, *, quick: bool = False
) -> Ladder:
    """Choose a type per group and size on one platform, by what the group's tasks cost there.

    For a task in a hurry that is the one that is cheapest to launch for it alone, or, if `quick`,
    the one on which it ends soonest.
    """
    a, graph = compiled.arrays, compiled.graph
    group = np.array([task.group for task in graph.tasks])
    columns = [y for y, each in enumerate(compiled.node_types) if each.platform == platform]
    types = np.full((len(graph.groups), len(RUNGS) + 1), NO_WORKER, dtype=np.int64)
    cheapest = np.full((len(graph.groups), len(RUNGS) + 1), np.inf)
    for column in columns:
        ms = times.all_ms(column)
        usd = ms * _usd_per_ms(a, column) * _shares(a, column)
        fits = np.bincount(group, ~a.node_ok[:, column], len(graph.groups)) == 0
        total = np.where(fits, np.bincount(group, usd, len(graph.groups)), np.inf)
        rungs = [r for r, vcpus in enumerate(RUNGS) if vcpus == a.vcpus[column]]
        hurry = (
            np.where(fits, np.bincount(group, ms, len(graph.groups)), np.inf)
            if quick
            else total * _idle_share(a, column, group, len(graph.groups))
        )
        for rung, cost in [*((r, total) for r in rungs), (len(RUNGS), hurry)]:
            better = cost < cheapest[:, rung]
            types[better, rung] = column
            cheapest[better, rung] = cost[better]
    by_task = types[group]
    smallest = by_task[:, -1]
    longest = np.full(len(graph.tasks), NEVER, dtype=np.int64)
    for column in sorted({int(y) for y in smallest} - {NO_WORKER}):
        here = smallest == column
        longest[here] = times.all_ms(column)[here]
    return Ladder(by_task, longest)


def _usd_per_ms(a: Arrays, column: int) -> float:
    """Return the price of a node with a disk for its image alone."""
    return float(a.node_usd_per_ms[column] + a.figures[6] * a.figures[7])


def _shares(a: Arrays, column: int) -> Floats:
    """Return the part of a node that each task takes: of its cores or of its memory."""
    shares: Floats = np.maximum(a.cores / a.vcpus[column], a.memory / a.node_memory[column])
    return shares


def _idle_share(a: Arrays, column: int, group: Ints, groups: int) -> Floats:
    """Return by how much a node that holds one task alone is dearer than that task's share."""
    largest = np.zeros(groups)
    np.maximum.at(largest, group, _shares(a, column))
    return 1 / np.maximum(largest, 1e-9)
