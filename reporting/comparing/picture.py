"""What is done when, as shapes: an area for each step's tasks, a row for each worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from reporting.comparing.activity import (
    BUCKETS,
    STATES,
    WORKER_STATES,
    Activity,
    State,
    StepActivity,
    WorkerActivity,
    WorkerState,
)
from reporting.text import number_text, plain, seconds_text
from reporting.timeline import Tick, ticks

# The width and height of a picture in its own units; it is stretched to the page.
WIDTH, HEIGHT, ROW_HEIGHT = 1000, 100, 12
STATE_WORDS: dict[State, str] = {
    "waiting": "waiting",
    "startup": "start-up",
    "transfer": "transfer",
    "compute": "computing",
}
WORKER_WORDS: dict[WorkerState, str] = {
    "compute": "computing",
    "transfer": "transfer",
    "startup": "start-up",
    "idle": "idle",
}
# Heights differ so that what is done can be told without colour.
ROW_HEIGHTS: dict[WorkerState, float] = {"compute": 11, "transfer": 8, "startup": 5, "idle": 1.5}
_STACK: tuple[State, ...] = tuple(reversed(STATES))  # computing at the bottom


@dataclass(frozen=True, slots=True)
class Area:
    """A closed path of one state."""

    state: State
    path: str


@dataclass(frozen=True, slots=True)
class StepPicture:
    """A step: its areas, the most tasks at once, and each state's task-seconds, in words."""

    step: str
    areas: tuple[Area, ...]
    most: str
    seconds: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Box:
    """What a worker mostly does for a while."""

    state: WorkerState
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class WorkerPicture:
    """A worker's row; `said` is the row in words."""

    worker: str
    place: str
    boxes: tuple[Box, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is drawn over one axis, and how much is left out."""

    ticks: tuple[Tick, ...]
    steps: tuple[StepPicture, ...]
    workers: tuple[WorkerPicture, ...]
    hidden_steps: int
    hidden_workers: int


def picture(activity: Activity, span_s: float) -> Picture:
    """Draw what is done over `span_s` seconds, which several pictures may share."""
    span_s = span_s or 1.0
    return Picture(
        ticks(span_s),
        tuple(_step(step, activity.bucket_s, span_s) for step in activity.steps),
        tuple(_worker(worker, span_s) for worker in activity.workers),
        activity.hidden_steps,
        activity.hidden_workers,
    )


def _step(step: StepActivity, bucket_s: float, span_s: float) -> StepPicture:
    layers = [step.tasks.get(state, ()) for state in _STACK]
    most = max((sum(column) for column in zip(*map(_padded, layers), strict=True)), default=0)
    took = [seconds_text(step.seconds(state, bucket_s)) for state in STATES]
    words = [f"{STATE_WORDS[state]} {text}" for state, text in zip(STATES, took, strict=True)]
    return StepPicture(
        plain(step.step),
        tuple(_areas(layers, most or 1.0, bucket_s / span_s * WIDTH)),
        number_text(round(most, 1)),
        tuple(took),
        f"{plain(step.step)}: up to {number_text(round(most, 1))} tasks at once; "
        f"time of all tasks together: {', '.join(words)}",
    )


def _padded(layer: Sequence[float]) -> Sequence[float]:
    return layer or (0.0,) * BUCKETS


def _areas(layers: Sequence[Sequence[float]], most: float, width: float) -> Iterator[Area]:
    """Yield each state's area on top of those before it."""
    floor = [0.0] * BUCKETS
    for state, layer in zip(_STACK, layers, strict=True):
        top = [low + more for low, more in zip(floor, _padded(layer), strict=True)]
        if any(layer):
            yield Area(state, "".join(_pieces(floor, top, most, width)))
        floor = top


def _pieces(
    floor: Sequence[float], top: Sequence[float], most: float, width: float
) -> Iterator[str]:
    """Yield a rectangle for each run of buckets that look the same."""
    rows = [
        (round(HEIGHT * (1 - high / most), 1), round(HEIGHT * (high - low) / most, 1))
        for low, high in zip(floor, top, strict=True)
    ]
    at = 0
    for (y, height), same in groupby(rows):
        count = len(list(same))
        if height:
            x, wide = round(at * width, 1), round(count * width, 1)
            yield f"M{x:g} {y:g}h{wide:g}v{height:g}h-{wide:g}z"
        at += count


def _worker(worker: WorkerActivity, span_s: float) -> WorkerPicture:
    took = {
        state: sum(span.end_s - span.start_s for span in worker.spans if span.state == state)
        for state in WORKER_STATES
    }
    words = [f"{WORKER_WORDS[state]} {seconds_text(s)}" for state, s in took.items() if s]
    return WorkerPicture(
        plain(worker.worker),
        plain(worker.place),
        tuple(
            Box(
                span.state,
                round(span.start_s / span_s * WIDTH, 1),
                (ROW_HEIGHT - ROW_HEIGHTS[span.state]) / 2,
                round(max((span.end_s - span.start_s) / span_s * WIDTH, 1), 1),
                ROW_HEIGHTS[span.state],
            )
            for span in worker.spans
        ),
        f"{plain(worker.worker)}, {plain(worker.place)}: about {', '.join(words) or 'nothing'}",
    )
