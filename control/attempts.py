"""Puts one attempt of a step on record: its times, its quantities, what they cost, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.stack import Stack
from placement.account import (
    Item,
    LambdaCall,
    billed_ms,
    instance_items,
    lambda_items,
    s3_request_items,
    sqs_items,
    total,
    transition_items,
)
from placement.books import PriceBook, default_books
from placement.walltime import Interval, split_wall_time
from runtime.clock import now_s
from runtime.keys import StepKeys

# A call that died without a word is charged for as long as it can have run.
LAMBDA_TIMEOUT_S = 900
SQS_REQUESTS_PER_JOB = 3  # send, receive, delete
STATES_PER_CLUSTER_PART = 2  # Platform; OnRay or OnHpc
STATES_PER_LAMBDA_PART = 2  # Platform, OnLambda
SHOWN_WORKERS = 64
MOMENT_S = 1e-6  # how finely times are recorded: anything shorter is rounding

type Json = dict[str, Any]


def record_attempt(
    stack: Stack, run: str, step: str, attempt: int, outcome: str, reason: str | None
) -> list[Json]:
    """Write the ledger's record of every part of an attempt; return the records.

    Repeating it writes the same records again, or, where a call has ended since, truer ones.
    """
    item = stack.ledger.get(f"run#{run}", f"step#{step}") or {}
    placements = item.get("placements", [])
    parts = placements[attempt - 1] if attempt <= len(placements) else []
    return [
        _record_part(stack, StepKeys(run, step), attempt, number, outcome, reason)
        for number in range(len(parts))
        if stack.store.find(StepKeys(run, step).part(attempt, number)) is not None
    ]


def calls_of(stack: Stack, keys: StepKeys, attempt: int, part: int) -> list[Json]:
    """Return the records of all calls of one part, in the order of their keys."""
    prefix = f"{keys.calls}a{attempt}-p{part}-"
    names = [stored.key for stored in stack.store.listing(prefix)]
    return stack.store.get_all_json(names)


def failure_on_record(
    stack: Stack, keys: StepKeys, attempt: int, parts: int
) -> tuple[str, str] | None:
    """Return the error and the sentence of the call that failed an attempt; None: none says so.

    A failed call counts only where no later call did its batch. Of several failures a wrong input
    goes first, because it is final anywhere, and running out of time last, because it is called
    again; then the earliest. Where no call failed, one that never ended is told of.
    """
    calls = [call for number in range(parts) for call in calls_of(stack, keys, attempt, number)]
    left = [call for call in calls if not _done_later(call, calls)]
    failed = [call for call in left if call["outcome"] == "failed"]
    rank = {"UserError": 0, "OutOfTimeError": 2}
    failed.sort(key=lambda call: (rank.get(call["error"], 1), call["ended_s"], call["call"]))
    if failed:
        return str(failed[0]["error"]), str(failed[0]["reason"])
    lost = sum(call["outcome"] == "running" for call in left)
    if lost:
        calls_ended = "1 call" if lost == 1 else f"{lost} calls"
        return "CallLost", f"{calls_ended} ended without a word: out of memory, or out of time."
    return None


def _done_later(call: Json, calls: Sequence[Json]) -> bool:
    return any(
        other["outcome"] == "succeeded"
        and (other["part"], other["batch"]) == (call["part"], call["batch"])
        and other["started_s"] >= call["started_s"]
        for other in calls
    )


def _record_part(
    stack: Stack, keys: StepKeys, attempt: int, number: int, outcome: str, reason: str | None
) -> Json:
    record, timeline = measure_part(stack, keys, attempt, number, outcome, reason)
    stack.store.put_json(_timeline_key(keys, attempt, number), timeline)
    name = f"attempt#{keys.step}#{attempt:03d}#{number:03d}"
    stack.ledger.put(f"run#{keys.run}", name, record)
    return record


def measure_part(
    stack: Stack, keys: StepKeys, attempt: int, number: int, outcome: str, reason: str | None
) -> tuple[Json, list[Json]]:
    """Return the record of one part as it stands now, and its timeline; nothing is written."""
    description = stack.store.get_json(keys.part(attempt, number))
    calls = calls_of(stack, keys, attempt, number)
    job = stack.store.find(keys.exit_record(attempt, number))
    queued_s = float(description["queued_s"])
    ended_s = _ended_s(calls, job, outcome)
    prices, _ = default_books()
    if description["platform"] == "lambda":
        batches = len(stack.store.get_json(description["batches_key"]))
        items = lambda_part_items(prices, calls, batches, ended_s)
    else:
        items = cluster_part_items(prices, description["size"], calls, job, (queued_s, ended_s))
    split = split_wall_time(queued_s, ended_s, intervals_of(calls, job, ended_s))
    begun = [float(call["started_s"]) for call in calls] or [ended_s]
    record = {
        "step": keys.step,
        "attempt": attempt,
        "part": number,
        "platform": description["platform"],
        "size": description["size"],
        "outcome": outcome,
        "reason": reason,
        "queued_s": queued_s,
        "started_s": min(begun),
        "ended_s": ended_s,
        "measured": {
            "queue_s": split.queue_s,
            "startup_s": split.startup_s,
            "transfer_s": split.transfer_s,
            "compute_s": split.compute_s,
            "wall_s": ended_s - queued_s,
        },
        "calls": len(calls),
        "usd": str(total(items)),
        "items": [one.to_json() for one in items],
    }
    return record, timeline_of(calls, job)


def _timeline_key(keys: StepKeys, attempt: int, part: int) -> str:
    return keys.part(attempt, part).removesuffix(".json") + ".timeline.json"


def read_timeline(stack: Stack, keys: StepKeys, attempt: int, part: int) -> list[Json]:
    """Return the workers of one part and what each did when, in seconds since the epoch."""
    return list(stack.store.find(_timeline_key(keys, attempt, part)) or [])


def _ended_s(calls: Sequence[Json], job: Json | None, outcome: str) -> float:
    if job is not None:
        return float(job["ended_s"])
    ends = [float(call["ended_s"]) for call in calls if "ended_s" in call]
    return max(ends) if ends and outcome == "succeeded" else now_s()


def _call_seconds(call: Json, ended_s: float) -> float:
    if "ended_s" in call:
        return float(call["startup_s"]) + float(call["ended_s"]) - float(call["started_s"])
    alive_s = min(ended_s - float(call["started_s"]), LAMBDA_TIMEOUT_S)
    return float(call["startup_s"]) + max(0.0, alive_s)


def _s3_items(prices: PriceBook, records: Sequence[Mapping[str, Any]]) -> tuple[Item, ...]:
    requests = [record.get("requests", {}) for record in records]
    return s3_request_items(
        prices,
        put=sum(int(count.get("s3_put", 0)) for count in requests),
        get=sum(int(count.get("s3_get", 0)) for count in requests),
    )


def lambda_part_items(
    prices: PriceBook, calls: Sequence[Json], batches: int, ended_s: float
) -> tuple[Item, ...]:
    """Cost one part on Lambda: every call, retries included, and every state that it entered.

    Each batch is a child execution: its start and each try of RunTask are transitions.
    """
    billed = [
        LambdaCall(
            int(call["memory_mb"]),
            billed_ms(_call_seconds(call, ended_s)),
            tmp_mb=int(call["tmp_mb"]),
        )
        for call in calls
    ]
    transitions = STATES_PER_LAMBDA_PART + batches + len(calls)
    return (
        *lambda_items(prices, billed),
        *transition_items(prices, transitions),
        *_s3_items(prices, calls),
    )


def cluster_part_items(
    prices: PriceBook,
    size: Json,
    calls: Sequence[Json],
    job: Json | None,
    queued_and_ended_s: tuple[float, float],
) -> tuple[Item, ...]:
    """Cost one part on Ray or MPI: whole nodes while its job held them.

    A job that left no record is charged from when it was queued.
    """
    queued_s, ended_s = queued_and_ended_s
    started_s = float(job["started_s"]) if job else queued_s
    nodes = int(size.get("nodes", 1))
    held = instance_items(
        prices, size["instance_type"], max(0.0, ended_s - started_s), nodes, launched=False
    )
    return (
        *held,
        *transition_items(prices, STATES_PER_CLUSTER_PART),
        *sqs_items(prices, SQS_REQUESTS_PER_JOB),
        *_s3_items(prices, [*calls, *([job] if job else [])]),
    )


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
