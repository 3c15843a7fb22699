"""Schedules to begin the refinement with: tasks packed onto nodes of one size, or of some.

Which sizes are best, how each group's slack is shared out, and how much dearer than nodes Lambda
should count is found by trying: first on a grid, then by random changes of the best, which are kept
where they do not make it worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from placement.engine.packing import packed
from placement.engine.policies.clusters import Clusters
from placement.engine.simulator import play_assignment
from placement.engine.slack import Slack
from placement.engine.timetable import Timetable

# Packing looks at every node for every task.
MOST_TASKS = 5_000
# Tasks that are packed for one deadline, in all tries together; in larger graphs the fewer.
PACKED_TASKS, MOST_TRIES, MANY_TASKS = 150_000, 400, 450
# Shares of the slack that are tried on every size of nodes, and then on the best sizes.
_EVEN, _MORE_EVEN = (0.0, 0.25, 0.75), (0.1, 0.5)
_ANY_EVEN = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
_BEST_SIZES = 3
# How many times its price a call of Lambda counts, where its own price is not best.
_DEARER, _ANY_DEARER = 3.0, (0.7, 1.0, 1.5, 3.0)


@dataclass(frozen=True, slots=True)
class _Knobs:
    """What is turned: sizes of nodes, by number; slack by group, see `Slack`; Lambda's weight."""

    sizes: frozenset[int]
    even: tuple[float, ...]
    dearer: float


@dataclass(frozen=True, slots=True)
class _Found:
    """What some knobs lead to; it costs infinitely much (USD) where it is late."""

    knobs: _Knobs
    usd: float
    table: Timetable


class Packings:
    """The packed schedules of one graph; `choices` are the columns of types that are worth it."""

    def __init__(self, clusters: Clusters, slack: Slack, choices: Iterable[Sequence[int]]) -> None:
        self._clusters, self._slack = clusters, slack
        graph, self._arrays = clusters.compiled.graph, clusters.compiled.arrays
        self._group = np.array([task.group for task in graph.tasks])
        self._groups = len(graph.groups)
        by_size: dict[int, set[int]] = {}
        for column in {column for row in choices for column in row}:
            by_size.setdefault(int(self._arrays.vcpus[column]), set()).add(column)
        self._kinds = [kinds for _, kinds in sorted(by_size.items())]

    def in_time(self, deadline_ms: int, seed: int) -> list[Timetable]:
        """Return the cheapest that keeps a deadline of each of the best sizes of nodes.

        The same graph, deadline and seed give the same timetables.
        """
        tasks = len(self._group)
        if tasks > MOST_TASKS or not self._kinds:
            return []
        found = [self._of_size(size, deadline_ms) for size in range(len(self._kinds))]
        found.sort(key=lambda each: each.usd)
        found[:_BEST_SIZES] = [self._finer(each, deadline_ms) for each in found[:_BEST_SIZES]]
        found.sort(key=lambda each: each.usd)
        done = len(_EVEN) * len(self._kinds) + (len(_MORE_EVEN) + 1) * _BEST_SIZES
        most = PACKED_TASKS * min(1.0, (MANY_TASKS / tasks) ** 4)
        tries = min(MOST_TRIES, int(most / tasks)) - done
        best = self._climbed(found[0], deadline_ms, tries, np.random.default_rng(seed))
        found = [best, *found[1:_BEST_SIZES]]
        return [each.table for each in found if np.isfinite(each.usd)]

    def _of_size(self, size: int, deadline_ms: int) -> _Found:
        """Return the best of some shares of the slack on one size of nodes."""
        tries = [
            self._try(_Knobs(frozenset({size}), (even,) * self._groups, 1.0), deadline_ms)
            for even in _EVEN
        ]
        return min(tries, key=lambda each: each.usd)

    def _finer(self, found: _Found, deadline_ms: int) -> _Found:
        """Return the best of more shares of the slack, and of a dearer Lambda."""
        tries = [found]
        for even in _MORE_EVEN:
            knobs = replace(found.knobs, even=(even,) * self._groups)
            tries.append(self._try(knobs, deadline_ms))
        tries.append(self._try(replace(found.knobs, dearer=_DEARER), deadline_ms))
        return min(tries, key=lambda each: each.usd)

    def _climbed(
        self, found: _Found, deadline_ms: int, tries: int, random: np.random.Generator
    ) -> _Found:
        for _ in range(max(0, tries)):
            other = self._try(self._changed(found.knobs, random), deadline_ms)
            if other.usd <= found.usd:
                found = other
        return found

    def _changed(self, knobs: _Knobs, random: np.random.Generator) -> _Knobs:
        """Return the knobs with one of them turned."""
        match int(random.integers(0, 4)):
            case 0:
                return replace(knobs, dearer=float(random.choice(_ANY_DEARER)))
            case 1:
                sizes = knobs.sizes ^ {int(random.integers(0, len(self._kinds)))}
                return replace(knobs, sizes=sizes or knobs.sizes)
            case _:
                even = list(knobs.even)
                even[int(random.integers(0, self._groups))] = float(random.choice(_ANY_EVEN))
                return replace(knobs, even=tuple(even))

    def _try(self, knobs: _Knobs, deadline_ms: int) -> _Found:
        slack, work = self._slack, self._clusters.work
        kinds = np.array(sorted(set().union(*(self._kinds[size] for size in knobs.sizes))))
        deadlines = slack.deadlines(np.array(knobs.even)[self._group], deadline_ms)
        boot_ms = int(self._arrays.boot_ms[kinds].min())
        starts = slack.starts(deadlines, slack.node_ms, boot_ms)
        run = play_assignment(work, packed(work, deadlines, starts, kinds, knobs.dearer))
        late = run.table.makespan_ms > deadline_ms
        return _Found(knobs, np.inf if late else self._clusters.costing.usd(run), run.table)
