"""A schedule by steps: where each step's tasks run, from when to when, and what that costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from placement.engine.schedule import Schedule, Worker
from placement.workflow import Kind, Platform

_USD_STEP = Decimal("1e-12")


@dataclass(frozen=True, slots=True)
class Part:
    """The tasks of a step on one platform and size, and what they cost: themselves and nodes."""

    platform: Platform
    size: str
    tasks: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class StepRun:
    """A step in a schedule, from its first task's start to its last one's end (ms)."""

    step: str
    kind: Kind
    tasks: int
    start_ms: int
    end_ms: int
    parts: tuple[Part, ...]

    @property
    def usd(self) -> Decimal:
        """The exact sum of the parts."""
        return sum((part.usd for part in self.parts), Decimal(0))


def step_runs(schedule: Schedule) -> tuple[StepRun, ...]:
    """Return the steps in the order of the graph; the largest part of each first.

    A node is shared out among its tasks by what they take of it and for how long, so that booting
    and idling are paid for by those who use it. What nobody uses belongs to no step.
    """
    groups = schedule.graph.groups
    spans: list[tuple[int, int] | None] = [None] * len(groups)
    counts: list[dict[tuple[Platform, str], int]] = [defaultdict(int) for _ in groups]
    usd: list[dict[tuple[Platform, str], Decimal]] = [defaultdict(Decimal) for _ in groups]
    workers = {worker.id: worker for worker in schedule.workers}
    for run in schedule.tasks:
        group = schedule.graph.tasks[run.task].group
        place = (run.platform, workers[run.worker].type)
        first, last = spans[group] or (run.start_ms, run.end_ms)
        spans[group] = (min(first, run.start_ms), max(last, run.end_ms))
        counts[group][place] += 1
        usd[group][place] += run.usd
    for worker, group, part_usd in _node_shares(schedule, workers):
        usd[group][worker.platform, worker.type] += part_usd
    return tuple(
        StepRun(group.name, group.kind, sum(count.values()), *(span or (0, 0)), _parts(count, cost))
        for group, span, count, cost in zip(groups, spans, counts, usd, strict=True)
    )


def _parts(
    counts: Mapping[tuple[Platform, str], int], usd: Mapping[tuple[Platform, str], Decimal]
) -> tuple[Part, ...]:
    parts = [Part(*place, tasks, usd[place]) for place, tasks in counts.items()]
    return tuple(sorted(parts, key=lambda part: (-part.tasks, part.platform, part.size)))


def _node_shares(
    schedule: Schedule, workers: Mapping[str, Worker]
) -> Iterator[tuple[Worker, int, Decimal]]:
    """Yield node, group and USD; the shares of a node add up to its price exactly."""
    used: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for run in schedule.tasks:
        if run.platform != "lambda":
            task, worker = schedule.graph.tasks[run.task], workers[run.worker]
            taken = max(task.cores / worker.vcpus, task.memory_bytes / worker.memory_bytes)
            used[run.worker][task.group] += taken * max(1, run.end_ms - run.start_ms)
    for name, by_group in used.items():
        worker, whole = workers[name], sum(by_group.values())
        left = worker.usd
        *others, last = by_group
        for group in others:
            part = (worker.usd * Decimal(by_group[group] / whole)).quantize(_USD_STEP)
            left -= part
            yield worker, group, part
        yield worker, last, left


def moved_steps(one: Schedule, other: Schedule) -> int:
    """Return how many steps have tasks on another platform in one schedule than in the other."""
    mine, theirs = (_platforms(each) for each in (one, other))
    return sum(a != b for a, b in zip(mine, theirs, strict=True))


def _platforms(schedule: Schedule) -> list[dict[Platform, int]]:
    """Return how many tasks of each group are on each platform."""
    counts: list[dict[Platform, int]] = [defaultdict(int) for _ in schedule.graph.groups]
    for run in schedule.tasks:
        counts[schedule.graph.tasks[run.task].group][run.platform] += 1
    return counts
