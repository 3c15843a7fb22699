"""Fits a calibration to samples.

The figures are those of the step model (`placement.model`). In this order, for every scope with
enough attempts:

1. *computing*: a robust line through the tasks' seconds over their size, on a reference core. The
   first task of a fresh process is kept apart: what it takes more is the step's own start. Where
   there are only first tasks, the line holds both, and is divided as the profile divides it.
2. *start-up*: the median of what the platform took before the step's code.
3. *transfer*: a robust line through the seconds that calls moved data, over MB per second of
   requests by the book: its intercept scales the requests, its slope is the time of a MB.
4. *queue*: the median of what the model with 1 to 3 leaves of the measured wall time. So the sum is
   right where the parts overlap, and stragglers count as waiting. Probes say nothing of it.

What holds for a step on any platform is what was found on the one with the most attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from placement.calibration.calibration import (
    LEAST_ATTEMPTS,
    LEAST_OF_PLATFORM,
    Calibration,
    Computing,
    Overheads,
    RunTimes,
    Scope,
)
from placement.calibration.known import Known, size_name
from placement.calibration.line import Line, fit_line
from placement.calibration.median import observed_median
from placement.calibration.samples import CallWork, RunSample, Sample
from placement.load import BYTES_PER_MB, Needs
from placement.model import amdahl_share
from placement.pace import Pace

MOST_ATTEMPTS = 100  # of a scope, the newest: code and machines change


def fit(
    samples: Iterable[Sample], runs: Iterable[RunSample], known: Known, made_at: str
) -> Calibration:
    """Return the calibration; scopes with fewer than `LEAST_ATTEMPTS` attempts have no figures."""
    ordered = sorted(samples, key=lambda one: (one.ended_s, one.run, one.step))
    run_list = sorted(runs, key=lambda one: (one.ended_s, one.run))
    empty = Calibration(
        made_at,
        len({one.run for one in ordered}),
        len(ordered),
        known.platforms.stamp,
        run_times=_run_times(run_list),
    )
    computing = {
        scope: _computing(group, known, scope)
        for scope, group in _groups(ordered, _step_scopes).items()
    }
    computing |= _anywhere(computing)
    groups = _groups(ordered, _overhead_scopes)
    overheads = {scope: _overheads(group, known) for scope, group in groups.items()}
    moving = replace(empty, computing=computing, overheads=overheads)
    queued = {
        scope: replace(overheads[scope], queue_s=_queue_s(group, known, moving))
        for scope, group in groups.items()
    }
    return replace(moving, overheads=queued)


# scopes


def _step_scopes(one: Sample) -> tuple[Scope, ...]:
    return (
        Scope(one.workflow, one.step, one.platform, size_name(one)),
        Scope(one.workflow, one.step, one.platform, ""),
    )


def _overhead_scopes(one: Sample) -> tuple[Scope, ...]:
    return (*_step_scopes(one), Scope("", "", one.platform, ""))


def _groups(
    samples: Sequence[Sample], scopes: Callable[[Sample], tuple[Scope, ...]]
) -> dict[Scope, list[Sample]]:
    """Return the newest samples of every scope that has enough, the oldest first."""
    found: dict[Scope, list[Sample]] = {}
    for one in samples:
        for scope in scopes(one):
            found.setdefault(scope, []).append(one)
    return {
        scope: found[scope][-MOST_ATTEMPTS:]
        for scope in sorted(found)
        if len(found[scope]) >= (LEAST_ATTEMPTS if scope.step else LEAST_OF_PLATFORM)
    }


# computing


def _anywhere(computing: Mapping[Scope, Computing]) -> dict[Scope, Computing]:
    """Return what holds for each step on any platform; its own start differs between them."""
    found: dict[Scope, Computing] = {}
    for scope in sorted(computing):
        step = replace(scope, platform="", size="")
        if not scope.size and (
            step not in found or computing[scope].attempts > found[step].attempts
        ):
            found[step] = replace(computing[scope], own_start_s=None)
    return found


def _computing(group: Sequence[Sample], known: Known, scope: Scope) -> Computing:
    later: list[tuple[float, float]] = []
    first: list[tuple[float, float]] = []
    for one in group:
        for call in one.work.calls:
            later += _later_tasks(call, one, known)
            first += _first_task(call, one, known)
    profile = known.needs(group[-1])
    line = Line(profile.cpu_s_per_task, profile.cpu_s_per_mb)
    own_s = _profile_start_s(profile, scope)
    if later:
        found = fit_line(later, line)
        excess = [max(0.0, seconds - found.line.at(mb)) for mb, seconds in first]
        own_s = median(excess) if excess else own_s
        fitted = found.line
    else:
        both = Line(line.intercept + own_s, line.slope)
        found = fit_line(first, both)
        share = own_s / both.intercept if both.intercept else 0.0
        own_s = found.line.intercept * share
        fitted = Line(found.line.intercept - own_s, found.line.slope)
    if scope.platform == "lambda" and not _usually_fresh(group):
        own_s = 0.0
    sizes = [mb for mb, _ in (*later, *first)]
    return Computing(
        s_per_task=fitted.intercept,
        s_per_mb=fitted.slope,
        own_start_s=own_s,
        spread=found.spread,
        line=found.fitted,
        smallest_mb=min(sizes),
        largest_mb=max(sizes),
        attempts=len(group),
    )


def _profile_start_s(profile: Needs, scope: Scope) -> float:
    return profile.fresh_start_s if scope.platform == "lambda" else profile.warm_start_s


def _reference_cores(one: Sample, known: Known) -> float:
    """Return by what a sample's seconds of computing count on one reference core."""
    step, model = known.step(one), known.model(one)
    memory_mb = int(one.size["memory_mb"]) if one.platform == "lambda" else 0
    speed = model.core_speed(one.platform, memory_mb)
    slots = int(one.size.get("slots", 1))
    return speed / amdahl_share(step, known.needs(one), slots)


def _first_task(call: CallWork, one: Sample, known: Known) -> list[tuple[float, float]]:
    if not call.fresh:
        return []
    mb = (call.first_bytes + one.work.whole_bytes) / BYTES_PER_MB
    return [(mb, call.first_s * _reference_cores(one, known))]


def _later_tasks(call: CallWork, one: Sample, known: Known) -> list[tuple[float, float]]:
    """Return the mean of a call's tasks as a point, without the first of a fresh process."""
    tasks, over_bytes, seconds = call.tasks, call.over_bytes, call.compute_s
    if call.fresh:
        tasks, over_bytes = tasks - 1, over_bytes - call.first_bytes
        seconds = max(0.0, seconds - call.first_s)
    if tasks < 1:
        return []
    mb = (over_bytes / tasks + one.work.whole_bytes) / BYTES_PER_MB
    return [(mb, seconds / tasks * _reference_cores(one, known))]


# what passes besides


def _overheads(group: Sequence[Sample], known: Known) -> Overheads:
    """Return all but the queueing."""
    points = []
    for one in group:
        model, work = known.model(one), one.work
        for call in one.work.calls:
            requests_s = model.call_requests_s(work.whole_files)
            requests_s += call.tasks * model.task_requests_s(
                call.output_shards / max(1, call.tasks), maps=bool(work.over_bytes)
            )
            moved_mb = (call.over_bytes + work.whole_bytes + call.output_bytes) / BYTES_PER_MB
            points.append((moved_mb / requests_s, call.moving_s / requests_s))
    book = _book_pace(group[-1], known).s_per_mb
    moving = fit_line(points, Line(1.0, book)).line
    return Overheads(
        queue_s=0.0,
        startup_s=observed_median([_startup_s(one) for one in group]),
        request_scale=moving.intercept,
        s_per_mb=moving.slope,
        attempts=len(group),
    )


def _book_pace(one: Sample, known: Known) -> Pace:
    nodes = int(one.size.get("nodes", 1))
    slots_per_node = max(1, int(one.size.get("slots", 1)) // nodes)
    return known.model(one).pace(
        known.step(one), known.load(one), one.platform, size_name(one), slots_per_node
    )


def _startup_s(one: Sample) -> float:
    """Return what the platform took to start: a call of Lambda, or the job on a cluster."""
    if one.platform != "lambda":
        return one.startup_s
    return observed_median([call.startup_s for call in one.work.calls])


def _usually_fresh(group: Sequence[Sample]) -> bool:
    fresh = [observed_median([float(call.fresh) for call in one.work.calls]) for one in group]
    return observed_median(fresh) > 0


def _queue_s(group: Sequence[Sample], known: Known, moving: Calibration) -> float:
    runs = [one for one in group if not one.probe]
    if not runs:
        return _book_pace(group[-1], known).queue_s
    return observed_median([max(0.0, one.wall_s - _busy_s(one, known, moving)) for one in runs])


def _busy_s(one: Sample, known: Known, moving: Calibration) -> float:
    model = known.model(one, moving)
    estimate = model.estimate(known.step(one), known.load(one), one.platform, one.size)
    return estimate.seconds - estimate.queue_s


def _run_times(runs: Sequence[RunSample]) -> RunTimes | None:
    if len(runs) < LEAST_ATTEMPTS:
        return None
    kept = runs[-MOST_ATTEMPTS:]
    return RunTimes(
        start_s=observed_median([one.start_s for one in kept]),
        handover_s=observed_median([each for one in kept for each in one.handovers_s] or [0.0]),
        end_s=observed_median([one.end_s for one in kept]),
        runs=len(kept),
    )
