"""What tasks and workers do over time, drawn together so that any number of them fits a page.

Of each step it is kept how many of its tasks wait, start, transfer and compute in each of some
hundred stretches of equal length; of the workers that are shown, what each did mostly in each
stretch. The size depends on steps and stretches, never on tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Literal

type State = Literal["waiting", "startup", "transfer", "compute"]
type WorkerState = Literal["startup", "transfer", "compute", "idle"]
type Stretch = tuple[float, float]  # from, to; in seconds since the start

STATES: tuple[State, ...] = ("waiting", "startup", "transfer", "compute")
WORKER_STATES: tuple[WorkerState, ...] = ("compute", "transfer", "startup", "idle")
BUCKETS = 120
MOST_STEPS, MOST_WORKERS = 60, 200
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class StepActivity:
    """How many tasks of a step are in each state, in the mean of each bucket."""

    step: str
    tasks: Mapping[State, tuple[float, ...]]

    def seconds(self, state: State, bucket_s: float) -> float:
        """Return how long all its tasks together are in a state."""
        return sum(self.tasks.get(state, ())) * bucket_s


@dataclass(frozen=True, slots=True)
class Span:
    """What a worker mostly does from one bucket's beginning to another's end, in seconds."""

    state: WorkerState
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class WorkerActivity:
    """One worker, what it is, and what it does while it is up."""

    worker: str
    place: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Activity:
    """All steps and the workers that are shown; the rest of both is counted."""

    bucket_s: float
    steps: tuple[StepActivity, ...]
    workers: tuple[WorkerActivity, ...]
    hidden_steps: int
    hidden_workers: int


def coverage(stretches: Sequence[Stretch], bucket_s: float) -> tuple[float, ...]:
    """Return how many stretches cover each bucket, in the mean over the bucket.

    Linear in stretches: each adds to the buckets of its two ends, and running sums do the rest.
    """
    partly = [0.0] * (BUCKETS + 1)  # what an end adds to its own bucket
    steps = [0.0] * (BUCKETS + 2)  # what it adds to all later ones
    for start_s, end_s in stretches:
        for at_s, sign in ((start_s, 1), (end_s, -1)):
            position = at_s / bucket_s
            bucket = min(int(position), BUCKETS)
            partly[bucket] += sign * (bucket + 1 - position)
            steps[bucket + 1] += sign
    running = accumulate(steps)
    return tuple(
        round(max(whole + part, 0.0), _DIGITS)
        for whole, part in zip(running, partly[:BUCKETS], strict=False)
    )


def spans_of(
    up: Stretch, doing: Mapping[WorkerState, Sequence[Stretch]], bucket_s: float
) -> tuple[Span, ...]:
    """Return what a worker that is up so long mostly does; what no stretch covers is idle.

    A bucket shows what is done longest in it, computing before transfer before start-up where
    they are equal, and idling where nothing is done for half of the time that the worker is up in
    it.
    """
    first, last = (min(int(at_s / bucket_s), BUCKETS - 1) for at_s in up)
    is_up = coverage([up], bucket_s)
    cover = {state: coverage(stretches, bucket_s) for state, stretches in doing.items()}
    mostly = [_mostly(cover, bucket, is_up[bucket]) for bucket in range(first, last + 1)]
    edges = [up[0], *((first + n) * bucket_s for n in range(1, len(mostly))), up[1]]
    found = []
    pairs = zip(mostly, pairwise(edges), strict=True)
    for state, group in groupby(pairs, key=lambda pair: pair[0]):
        bounds = [edge for _, edge in group]
        found.append(Span(state, round(bounds[0][0], _DIGITS), round(bounds[-1][1], _DIGITS)))
    return tuple(found)


def _mostly(cover: Mapping[WorkerState, Sequence[float]], bucket: int, is_up: float) -> WorkerState:
    done = {state: cover[state][bucket] for state in WORKER_STATES if state in cover}
    if sum(done.values()) < is_up / 2:
        return "idle"
    return max(done, key=lambda state: done[state])
