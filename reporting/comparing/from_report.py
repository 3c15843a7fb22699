"""A run's report as an outcome: what was measured, and what had been estimated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from reporting.comparing.activity import (
    BUCKETS,
    MOST_STEPS,
    MOST_WORKERS,
    Activity,
    State,
    StepActivity,
    Stretch,
    WorkerActivity,
    WorkerState,
    coverage,
    spans_of,
)
from reporting.comparing.dividing import divided
from reporting.comparing.kinds import kind_of, shared_kind_of
from reporting.comparing.outcome import (
    Alternative,
    Book,
    Expected,
    Kind,
    Line,
    Outcome,
    Place,
    StepOutcome,
)
from reporting.report import Amount, EventKind, Item, Rejected, Report, Step, Worker
from reporting.text import TIMES, machine_text, placed_text, size_text

_STATES: dict[EventKind, State] = {
    "queue": "waiting",
    "startup": "startup",
    "transfer": "transfer",
    "compute": "compute",
}
# What a cluster costs beside the steps: a node that stops does as little as one that is idle.
_BESIDE: dict[str, tuple[Kind, str]] = {
    "idle": ("idle", "EC2"),
    "boot": ("startup", "EC2"),
    "scale-down": ("idle", "EC2"),
    "head": ("orchestration", "EC2"),
    "disk": ("storage", "EBS"),
    "file-system": ("storage", "FSx"),
}
_DOING: dict[EventKind, WorkerState] = {
    "startup": "startup",
    "transfer": "transfer",
    "compute": "compute",
}


def outcome_of_report(report: Report, name: str = "") -> Outcome:
    """Return what a run came to; what is paid for by time is divided as the step's time was.

    The idle time of nodes is told apart where the report has lines for what clusters cost beside
    the steps.
    """
    lines = [line for step in report.steps for line in _step_lines(step)]
    lines += [_line(None, *_BESIDE[item.kind], item) for item in report.shared_items]
    lines += [_line(None, *shared_kind_of(item.what), item) for item in report.other_items]
    estimate = report.estimate
    return Outcome(
        name=name or report.run,
        basis="measured",
        workflow=report.workflow,
        policy=report.policy,
        goal=report.objective,
        makespan_s=report.makespan_s,
        lines=tuple(lines),
        steps=tuple(_step(step) for step in report.steps),
        tells_idle=bool(report.shared_items),
        books=tuple(Book(book.name, book.date, book.region) for book in report.books),
        note=machine_text(report),
        estimate=_expected(estimate),
        activity=_activity(report),
    )


def _expected(amount: Amount | None) -> Expected | None:
    return Expected(amount.seconds, amount.usd) if amount else None


def _step(step: Step) -> StepOutcome:
    places = [
        Place(part.platform, _size_text(part.size), round(part.share * step.tasks))
        for part in step.parts
    ] or [Place(step.platform, _size_text(step.size), step.tasks)]
    chosen = Alternative(
        placed_text(step),
        step.estimate.seconds if step.estimate else None,
        step.estimate.usd if step.estimate else None,
        chosen=True,
        why="",
    )
    return StepOutcome(
        step=step.step,
        tasks=step.tasks,
        places=tuple(sorted(places, key=lambda place: (-place.tasks, place.platform, place.size))),
        elapsed_s=step.measured.wall_s,
        estimate=_expected(step.estimate),
        alternatives=(chosen, *(_rejected(other) for other in step.rejected)),
    )


def _rejected(other: Rejected) -> Alternative:
    place = f"{other.platform} {size_text(other.size)}".rstrip()
    return Alternative(place, other.seconds, other.usd, chosen=False, why=other.why)


def _size_text(size: dict[str, int | float | str]) -> str:
    """Write a size as plans name it, without what says how much of it is used."""
    said = ("memory_mb", "instance_type", "nodes")
    kept = {key: value for key, value in size.items() if key in said}
    return size_text(kept or size).removeprefix(f"1 {TIMES} ")


def _step_lines(step: Step) -> Iterator[Line]:
    measured = step.measured
    weights: dict[Kind, float] = {
        "startup": measured.startup_s,
        "transfer": measured.transfer_s,
        "compute": measured.compute_s,
    }
    for item in step.items:
        kind, service = kind_of(item.what)
        if kind == "time":
            for part, quantity, usd in divided(item.quantity, item.usd, weights):
                yield Line(
                    step.step, part, service, item.what, quantity, item.unit, item.unit_usd, usd
                )
        else:
            yield _line(step.step, kind, service, item)


def _line(step: str | None, kind: Kind, service: str, item: Item) -> Line:
    return Line(step, kind, service, item.what, item.quantity, item.unit, item.unit_usd, item.usd)


def _activity(report: Report) -> Activity | None:
    workers = [(step, worker) for step in report.steps for worker in step.workers if worker.events]
    if not workers:
        return None
    ends_s = [event.end_s for _, worker in workers for event in worker.events]
    bucket_s = (max(report.makespan_s, *ends_s) or 1.0) / BUCKETS
    longest = sorted(workers, key=lambda pair: -_busy_s(pair[1]))[:MOST_WORKERS]
    kept = {id(worker) for _, worker in longest}
    steps = [step for step in report.steps if any(worker.events for worker in step.workers)]
    return Activity(
        bucket_s,
        tuple(_step_activity(step, bucket_s) for step in steps[:MOST_STEPS]),
        tuple(
            _worker_activity(step, worker, bucket_s)
            for step, worker in workers
            if id(worker) in kept
        ),
        max(0, len(steps) - MOST_STEPS),
        len(workers) - len(longest),
    )


def _busy_s(worker: Worker) -> float:
    return sum(event.end_s - event.start_s for event in worker.events if event.kind != "queue")


def _step_activity(step: Step, bucket_s: float) -> StepActivity:
    stretches: dict[State, list[Stretch]] = defaultdict(list)
    for worker in step.workers:
        for event in worker.events:
            stretches[_STATES[event.kind]].append((event.start_s, event.end_s))
    return StepActivity(
        step.step, {state: coverage(found, bucket_s) for state, found in stretches.items()}
    )


def _worker_activity(step: Step, worker: Worker, bucket_s: float) -> WorkerActivity:
    doing: dict[WorkerState, list[Stretch]] = defaultdict(list)
    for event in worker.events:
        if event.kind in _DOING:
            doing[_DOING[event.kind]].append((event.start_s, event.end_s))
    at = [moment for stretches in doing.values() for stretch in stretches for moment in stretch]
    up = (min(at), max(at)) if at else (0.0, 0.0)
    return WorkerActivity(
        worker.worker, f"{step.step}, {placed_text(step)}", spans_of(up, doing, bucket_s)
    )
