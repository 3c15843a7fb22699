"""The policy `trivium`: searches for the cheapest schedule that keeps a deadline.

A schedule follows from few numbers: how many vCPUs of nodes may be up when, how large the nodes
are, and how the slack of the critical path method is shared out among the tasks. `play` turns them
into a schedule; the search looks for the numbers, first on a grid, then by random changes of the
best ones found, which it keeps where they do not make it worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from placement.engine.compiled import NEVER, Compiled, Floats, Ints
from placement.engine.ladder import RUNGS, Ladder, build_ladder
from placement.engine.listscheduler import Played, Rules, pack, play
from placement.engine.node_times import NodeTimes
from placement.engine.slack import Slack
from placement.engine.timetable import NO_WORKER, Timetable
from placement.workflow import Platform

SEGMENTS = 12  # of the profile, over the time to the deadline
SLACK_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
EVERYWHERE = 0.3  # how often a share of the slack is tried on all groups at once
URGENCY_SPREAD = 0.1  # of the deadline: the standard deviation of a group's moves in the order
FIRST_HEAT = 0.03  # by how much dearer, in the mean, a step of the random walk may be at first
QUICK_FACTORS = (0.0, 1.0, 2.0)
# The likeliest first: a search with few tries gets no further.
CAPACITY_FACTORS = (1.0, 1.3, 0.75, 1.6, 0.5, 2.0, 0.9, 1.15, 3.0, 0.25, 5.0, 0.0)
# Tasks that are played in one search: one of 1,000 tasks tries 80 schedules.
PLAYED_TASKS = 30_000
FEWEST_TRIES = 10
ON_GRID = 0.8  # of all tries, at the most
MOST_TRIES = 3_000


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the search turns.

    `profile` is the vCPUs that may be up in each segment; `largest` the vCPUs of the largest nodes;
    `even` of a group's tasks goes from 0 (they may use all slack that is left) to 1 (slack is
    shared out in proportion to the time passed); `urgency_ms` moves them forwards or backwards in
    the order in which tasks are taken up. If `quick`, a task that is in a hurry gets the type of
    node on which it ends soonest, else the cheapest.
    """

    platform: Platform
    quick: bool
    profile: tuple[int, ...]
    largest: int
    even: tuple[float, ...]
    urgency_ms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule that was found: by which knobs, what it costs (USD) and how late it is (ms)."""

    knobs: Knobs
    played: Played
    late_ms: int

    @property
    def rank(self) -> tuple[int, float, int]:
        """Return what decides between two: in time, then cheap, then early."""
        return (self.late_ms, self.played.usd, self.played.makespan_ms)


class Search:
    """Finds schedules of one graph."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._a = compiled.arrays
        self._work = pack(compiled.arrays)
        self._group = np.array([task.group for task in compiled.graph.tasks])
        self._ladders = _ladders(compiled)
        self._boot_ms = {
            kind: int(self._a.boot_ms[ladder.types[:, -1]].min(initial=NEVER))
            for kind, ladder in self._ladders.items()
        }
        lambda_ms: Ints = self._a.lambda_ms.min(axis=1, initial=NEVER)
        node_ms: Ints = np.stack([each.node_ms for each in self._ladders.values()]).min(axis=0)
        self.slack = Slack(compiled, lambda_ms, node_ms)
        single = np.where(node_ms < NEVER, node_ms, lambda_ms)
        self._busy_ms = int((single * self._a.cores).sum())
        tries = PLAYED_TASKS // max(1, len(self._group))
        self.tries = min(MOST_TRIES, max(FEWEST_TRIES, tries))

    def soonest(self) -> Timetable:
        """Return the schedule in which every task ends as soon as it can."""
        at_once = np.zeros((len(self._group), 3), dtype=np.int64)
        quickest_ms = np.minimum(self.slack.lambda_ms, self.slack.node_ms)
        at_once[:, 0] = self.slack.earliest_ends - quickest_ms
        nodes = np.zeros((2, 1), dtype=np.int64)
        played = [
            play(self._work, Rules(at_once, ladder.up_to(1), nodes))
            for ladder in self._ladders.values()
        ]
        return to_timetable(self._compiled, min(played, key=lambda each: each.makespan_ms))

    def cheapest(self, deadline_ms: int, seed: int) -> Found:
        """Return the cheapest schedule found for a deadline; it may be late where none was found.

        The same graph, deadline and seed give the same schedule.
        """
        first = islice(self._grid(deadline_ms), max(1, int(ON_GRID * self.tries)))
        on_grid = [self._try(knobs, deadline_ms) for knobs in first]
        best = min(on_grid, key=lambda each: each.rank)
        others = islice(self._other_sizes(best.knobs), max(0, self.tries - len(on_grid)))
        sizes = [self._try(knobs, deadline_ms) for knobs in others]
        best = min([best, *sizes], key=lambda each: each.rank)
        left = self.tries - len(on_grid) - len(sizes)
        return self._annealed(best, deadline_ms, max(0, left), np.random.default_rng(seed))

    def _annealed(
        self, best: Found, deadline_ms: int, tries: int, random: np.random.Generator
    ) -> Found:
        """Return the best schedule met on a random walk that goes uphill less and less.

        Simulated annealing (Kirkpatrick et al. 1983, doi:10.1126/science.220.4598.671), with the
        relative cost as energy.
        """
        here = best
        for done in range(tries):
            heat = FIRST_HEAT * (1 - done / tries) ** 2
            other = self._try(self._changed(here.knobs, deadline_ms, random), deadline_ms)
            most_usd = here.played.usd * (1 + heat * random.exponential())
            if (other.late_ms, other.played.usd) <= (here.late_ms, most_usd):
                here = other
            if other.rank < best.rank:
                best = other
        return best

    def _try(self, knobs: Knobs, deadline_ms: int) -> Found:
        played = play(self._work, self._rules(knobs, deadline_ms))
        return Found(knobs, played, max(0, played.makespan_ms - deadline_ms))

    def _rules(self, knobs: Knobs, deadline_ms: int) -> Rules:
        even = np.array(knobs.even)[self._group]
        deadlines = self.slack.deadlines(even, deadline_ms)
        moved = np.array(knobs.urgency_ms, dtype=np.int64)[self._group]
        ladder = self._ladders[knobs.platform, knobs.quick]
        boot_ms = self._boot_ms[knobs.platform, knobs.quick]
        latest = self.slack.starts(deadlines, ladder.node_ms, boot_ms)
        begins = [segment * deadline_ms // SEGMENTS for segment in range(SEGMENTS)]
        return Rules(
            tasks=np.stack([deadlines + moved, deadlines, latest], axis=1),
            launch_types=ladder.up_to(knobs.largest),
            profile=np.array([begins, knobs.profile], dtype=np.int64),
        )

    def _grid(self, deadline_ms: int) -> Iterator[Knobs]:
        """Yield where to begin: all kinds of nodes, shares of slack and levels of the profile."""
        for platform, quick in self._ladders:
            boot_ms = self._boot_ms[platform, quick]
            open_ms = deadline_ms - self._compiled.run_start_ms - boot_ms
            level = self._busy_ms / max(1, open_ms)
            for share in SLACK_SHARES[::2]:
                for factor in QUICK_FACTORS if quick else CAPACITY_FACTORS:
                    yield self._knobs(platform, share, math.ceil(level * factor), quick=quick)
            if not quick:
                # One or two large nodes that are never released, as a fixed cluster is.
                for size in RUNGS:
                    knobs = self._knobs(platform, 0.0, size, quick=quick)
                    yield replace(knobs, largest=size)
                    yield replace(knobs, largest=size, profile=(2 * size,) * SEGMENTS)

    def _knobs(self, platform: Platform, share: float, vcpus: int, *, quick: bool) -> Knobs:
        groups = len(self._compiled.graph.groups)
        return Knobs(
            platform=platform,
            quick=quick,
            profile=(vcpus,) * SEGMENTS,
            largest=1,
            even=(share,) * groups,
            urgency_ms=(0,) * groups,
        )

    def _other_sizes(self, knobs: Knobs) -> Iterator[Knobs]:
        for largest in RUNGS:
            if largest != knobs.largest:
                yield replace(knobs, largest=largest)

    def _changed(self, knobs: Knobs, deadline_ms: int, random: np.random.Generator) -> Knobs:
        """Return the knobs with one of them turned; half of the time it is the profile."""
        group = int(random.integers(0, len(knobs.even)))
        match int(random.integers(0, 6)):
            case 0:
                share = float(random.choice(SLACK_SHARES))
                everywhere = random.random() < EVERYWHERE
                even = (share,) * len(knobs.even) if everywhere else knobs.even
                return replace(knobs, even=_with(even, group, share))
            case 1:
                return replace(knobs, largest=int(random.choice(RUNGS)))
            case 2:
                moved_ms = int(random.normal() * URGENCY_SPREAD * deadline_ms)
                return replace(knobs, urgency_ms=_with(knobs.urgency_ms, group, moved_ms))
            case _:
                return replace(knobs, profile=_changed_profile(knobs.profile, random))


def _with[T](values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    return (*values[:at], value, *values[at + 1 :])


def _changed_profile(profile: Sequence[int], random: np.random.Generator) -> tuple[int, ...]:
    """Return a profile that is scaled or moved in a random stretch."""
    changed = np.array(profile, dtype=np.int64)
    first = int(random.integers(0, len(changed)))
    last = int(random.integers(first, len(changed))) + 1
    factor = float(random.choice((0.0, 0.5, 0.7, 0.85, 0.95, 1.05, 1.2, 1.5, 2.0)))
    scaled: Floats = np.round(changed[first:last] * factor)
    if np.array_equal(scaled, changed[first:last]):
        scaled = np.maximum(0.0, changed[first:last] + float(random.choice((-1, 1, 2))))
    changed[first:last] = scaled.astype(np.int64)
    return tuple(int(level) for level in changed)


def _ladders(compiled: Compiled) -> dict[tuple[Platform, bool], Ladder]:
    """Return a ladder per platform of nodes; groups that only one of them takes are on all."""
    times = NodeTimes(compiled.arrays)
    ray, hpc = build_ladder(compiled, times, "ray"), build_ladder(compiled, times, "hpc")
    quick = build_ladder(compiled, times, "ray", quick=True)
    return {
        ("ray", False): _filled(ray, hpc),
        ("hpc", False): _filled(hpc, ray),
        ("ray", True): _filled(quick, hpc),
    }


def _filled(ladder: Ladder, other: Ladder) -> Ladder:
    lacking = ladder.types[:, -1] == NO_WORKER
    types, node_ms = ladder.types.copy(), ladder.node_ms.copy()
    types[lacking], node_ms[lacking] = other.types[lacking], other.node_ms[lacking]
    return Ladder(types, node_ms)


def to_timetable(compiled: Compiled, played: Played) -> Timetable:
    """Return a played run as a timetable: nodes are launched just in time."""
    boot = compiled.arrays.boot_ms[played.node_type]
    return Timetable(
        start_ms=played.start_ms,
        startup_ms=played.startup_ms,
        in_ms=played.in_ms,
        end_ms=played.end_ms,
        node=played.node,
        size=played.size,
        node_type=played.node_type,
        launch_ms=played.node_first_ms - boot,
        release_ms=played.node_last_ms,
        makespan_ms=played.makespan_ms,
    )
