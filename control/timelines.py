"""What the workers of a part did when, from the records of its calls and of its job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control.stack import Stack
from placement.walltime import Interval
from runtime.keys import StepKeys

SHOWN_WORKERS = 64
MOMENT_S = 1e-6  # how finely times are recorded: anything shorter is rounding

type Json = dict[str, Any]


def write_timeline(
    stack: Stack, keys: StepKeys, attempt: int, part: int, timeline: Sequence[Json]
) -> None:
    """Write the workers of one part and what each did when."""
    stack.store.put_json(_timeline_key(keys, attempt, part), list(timeline))


def read_timeline(stack: Stack, keys: StepKeys, attempt: int, part: int) -> list[Json]:
    """Return the workers of one part and what each did when, in seconds since the epoch."""
    return list(stack.store.find(_timeline_key(keys, attempt, part)) or [])


def _timeline_key(keys: StepKeys, attempt: int, part: int) -> str:
    return keys.part(attempt, part).removesuffix(".json") + ".timeline.json"


def intervals_of(calls: Sequence[Json], job: Json | None, ended_s: float) -> list[Interval]:
    """Return what the workers of a part did, from its calls and its job."""
    found: list[Interval] = []
    if job is not None and "ready_s" in job:
        found.append(Interval("startup", float(job["started_s"]), float(job["ready_s"])))
    for call in calls:
        found += [Interval(kind, start, end) for kind, start, end in call_events(call, ended_s)]
    return found


def call_events(call: Json, ended_s: float) -> list[tuple[str, float, float]]:
    """Return a call's timeline: start-up, then its events; what lies between them is transfer.

    A long call records only its first events; of the rest of its time the total is known.
    """
    started = float(call["started_s"])
    events = [("startup", started - float(call["startup_s"]), started)]
    at = started
    for kind, begin, end in call.get("events", []):
        if begin > at:
            events.append(("transfer", at, float(begin)))
        events.append((kind, float(begin), float(end)))
        at = float(end)
    last = float(call.get("ended_s", ended_s))
    shown_s = sum(end - begin for kind, begin, end in events if kind == "compute")
    computed = min(last, at + max(0.0, float(call.get("compute_s", 0.0)) - shown_s))
    events += [("compute", at, computed), ("transfer", computed, last)]
    return [event for event in events if event[2] - event[1] > MOMENT_S]


def timeline_of(calls: Sequence[Json], job: Json | None) -> list[Json]:
    """Return the first workers of a part with their events, for a picture."""
    by_worker: dict[str, list[tuple[str, float, float]]] = {}
    if job and "ready_s" in job:
        by_worker["job"] = [("startup", float(job["started_s"]), float(job["ready_s"]))]
    for call in sorted(calls, key=lambda each: (float(each["started_s"]), each["call"])):
        last = float(call["ended_s"] if "ended_s" in call else call["started_s"])
        by_worker.setdefault(call["worker"], []).extend(call_events(call, last))
    return [
        {"worker": worker, "events": [list(event) for event in by_worker[worker]]}
        for worker in sorted(by_worker)[:SHOWN_WORKERS]
    ]
