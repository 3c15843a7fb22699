"""The timeline of a run as rectangles: a lane per step, a row per worker, bounded in size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from reporting.report import Event, EventKind, Report, Step, Worker
from reporting.text import placed_text, plain, seconds_text

# The width of a row in its own units; a row is stretched to the page.
WIDTH = 1000.0
# Bounds that keep a page of a run with thousands of tasks small enough to open and to read.
MAX_ROWS = 120
MAX_ROWS_PER_STEP = 12
MAX_SEGMENTS_PER_ROW = 250
# What cannot be seen is drawn this wide (in row units): short is not the same as absent.
MIN_WIDTH = 1.5
MAX_TICKS = 8
TICK_STEPS_S = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 18000.0, 36000.0),
)
WORDS: dict[EventKind, str] = {
    "queue": "queue",
    "startup": "start-up",
    "transfer": "transfer",
    "compute": "compute",
}
# Height of each kind out of `HEIGHT`, so that they differ on paper and without colour as well.
HEIGHT = 12.0
HEIGHTS: dict[EventKind, float] = {"queue": 2.5, "startup": 6.0, "transfer": 8.0, "compute": 11.0}


@dataclass(frozen=True)
class Segment:
    """One stretch of a row; `x` and `width` in row units."""

    kind: EventKind
    x: float
    width: float
    y: float
    height: float
    title: str


@dataclass(frozen=True)
class Row:
    """One worker; `said` is the row in words for who cannot see it."""

    worker: str
    segments: tuple[Segment, ...]
    said: str


@dataclass(frozen=True)
class Lane:
    """One step; `hidden` workers are not drawn, `coarse` rows show what filled a stretch most."""

    step: str
    placed: str
    when: str
    rows: tuple[Row, ...]
    hidden: int
    coarse: bool


@dataclass(frozen=True)
class Tick:
    """A labelled time on the axis; `percent` of the width."""

    percent: float
    label: str


@dataclass(frozen=True)
class Timeline:
    """All lanes over one axis that begins with the run."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]


def timeline(report: Report) -> Timeline:
    """Lay out the workers of all steps over the run's time."""
    ends = [
        event.end_s for step in report.steps for worker in step.workers for event in worker.events
    ]
    span_s = max([report.makespan_s, *ends]) or 1.0
    drawn = [step for step in report.steps if any(worker.events for worker in step.workers)]
    rows_per_step = max(1, min(MAX_ROWS_PER_STEP, MAX_ROWS // max(len(drawn), 1)))
    lanes = tuple(_lane(step, span_s, rows_per_step) for step in drawn)
    return Timeline(lanes, ticks(span_s))


def _lane(step: Step, span_s: float, max_rows: int) -> Lane:
    workers = sorted(
        (worker for worker in step.workers if worker.events),
        key=lambda worker: (min(event.start_s for event in worker.events), worker.worker),
    )
    shown = _evenly(workers, max_rows)
    start_s = min(event.start_s for worker in workers for event in worker.events)
    end_s = max(event.end_s for worker in workers for event in worker.events)
    return Lane(
        step=plain(step.step),
        placed=placed_text(step),
        when=f"{seconds_text(start_s)} to {seconds_text(end_s)}",
        rows=tuple(_row(worker, span_s) for worker in shown),
        hidden=len(workers) - len(shown),
        coarse=any(len(worker.events) > MAX_SEGMENTS_PER_ROW for worker in shown),
    )


def _evenly(workers: Sequence[Worker], most: int) -> list[Worker]:
    """Take the first, the last, and as many between them as fit, at even distances."""
    if len(workers) <= most:
        return list(workers)
    if most == 1:
        return [workers[0]]
    return [workers[index * (len(workers) - 1) // (most - 1)] for index in range(most)]


def _row(worker: Worker, span_s: float) -> Row:
    events = sorted(worker.events, key=lambda event: (event.start_s, event.end_s))
    stretches = events if len(events) <= MAX_SEGMENTS_PER_ROW else _coarse(events)
    mostly = "" if stretches is events else "mostly "
    segments = tuple(
        Segment(
            kind=event.kind,
            x=round(event.start_s / span_s * WIDTH, 2),
            width=round(max((event.end_s - event.start_s) / span_s * WIDTH, MIN_WIDTH), 2),
            y=(HEIGHT - HEIGHTS[event.kind]) / 2,
            height=HEIGHTS[event.kind],
            title=f"{plain(worker.worker)}: {mostly}{WORDS[event.kind]} "
            f"{seconds_text(event.end_s - event.start_s)}, "
            f"from {seconds_text(event.start_s)} to {seconds_text(event.end_s)}",
        )
        for event in stretches
    )
    spent = {kind: sum(e.end_s - e.start_s for e in events if e.kind == kind) for kind in WORDS}
    said = ", ".join(f"{WORDS[kind]} {seconds_text(s)}" for kind, s in spent.items() if s)
    return Row(plain(worker.worker), segments, f"{plain(worker.worker)}: {said}")


def _coarse(events: Sequence[Event]) -> list[Event]:
    """Cut a row into equal bins, each of the kind that fills most of it, and join equal ones."""
    start_s = min(event.start_s for event in events)
    end_s = max(event.end_s for event in events)
    bin_s = (end_s - start_s) / MAX_SEGMENTS_PER_ROW
    if bin_s == 0:
        return [events[0]]
    filled = [dict.fromkeys(WORDS, 0.0) for _ in range(MAX_SEGMENTS_PER_ROW)]
    for event in events:
        first = int((event.start_s - start_s) / bin_s)
        last = min(int((event.end_s - start_s) / bin_s), MAX_SEGMENTS_PER_ROW - 1)
        for index in range(first, last + 1):
            left_s, right_s = start_s + index * bin_s, start_s + (index + 1) * bin_s
            overlap_s = min(event.end_s, right_s) - max(event.start_s, left_s)
            filled[index][event.kind] += max(overlap_s, 0.0)
    kinds = [_largest(spent) for spent in filled]
    stretches = []
    for kind, group in groupby(range(MAX_SEGMENTS_PER_ROW), key=kinds.__getitem__):
        bins = list(group)
        if kind is not None:
            left_s, right_s = start_s + bins[0] * bin_s, start_s + (bins[-1] + 1) * bin_s
            stretches.append(Event(kind=kind, start_s=left_s, end_s=right_s))
    return stretches


def _largest(spent: Mapping[EventKind, float]) -> EventKind | None:
    kind, seconds = max(spent.items(), key=lambda entry: entry[1])
    return kind if seconds > 0 else None


def ticks(span_s: float) -> tuple[Tick, ...]:
    """Round times on the axis: at most `MAX_TICKS` of them after zero."""
    step_s = _tick_step_s(span_s)
    count = int(span_s / step_s)
    return tuple(
        Tick(
            round(index * step_s / span_s * 100, 3),
            seconds_text(index * step_s).replace(".0 s", " s"),
        )
        for index in range(count + 1)
    )


def _tick_step_s(span_s: float) -> float:
    for step_s in TICK_STEPS_S:
        if span_s / step_s <= MAX_TICKS:
            return step_s
    step_s = TICK_STEPS_S[-1]
    while span_s / step_s > MAX_TICKS:
        step_s *= 2
    return step_s
