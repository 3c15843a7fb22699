"""Takes attempts through the ledger: queued, measured as they stand, settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from control.attempt_record import Attempt, Estimated, Measured, Outcome, attempt_sort
from control.calls import calls_of, task_seconds
from control.charges import cluster_part_items, lambda_part_items
from control.stack import Stack
from control.timelines import intervals_of, timeline_of, write_timeline
from control.work import work_of
from placement.account import Item
from placement.books import BookStamp, PriceBook, default_books
from placement.node_time import Held, microseconds, node_seconds
from placement.walltime import split_wall_time
from runtime.clock import now_s
from runtime.cluster_log import ClusterLog
from runtime.keys import StepKeys

type Json = dict[str, Any]


def queue_attempt(
    stack: Stack,
    keys: StepKeys,
    attempt: int,
    part: int,
    placement: Mapping[str, Any],
    books: list[Json],
) -> Attempt:
    """Put an attempt on record before anything of it runs; return the record.

    Repeated, it returns the record that is there, with the moment at which it was queued first.
    """
    estimate = placement.get("estimate")
    queued = Attempt(
        run=keys.run,
        step=keys.step,
        attempt=attempt,
        part=part,
        platform=placement["platform"],
        size=placement["size"],
        queued_s=now_s(),
        estimate=estimate and Estimated(float(estimate["seconds"]), Decimal(estimate["usd"])),
        books=tuple(BookStamp(**book) for book in books),
    )
    if stack.ledger.put(queued.partition, queued.sort, queued.to_json(), new=True):
        return queued
    return find_attempt(stack, keys, attempt, part) or queued


def find_attempt(stack: Stack, keys: StepKeys, attempt: int, part: int) -> Attempt | None:
    """Return the record of one attempt at one part, or None."""
    item = stack.ledger.get(f"run#{keys.run}", attempt_sort(keys.step, attempt, part))
    return None if item is None else Attempt.from_json(item)


def all_attempts(stack: Stack, run: str) -> list[Attempt]:
    """Return the records of all attempts of a run, by step, attempt and part."""
    items = stack.ledger.query(f"run#{run}", "attempt#")
    return [Attempt.from_json(item) for item in items]


def settle_attempt(
    stack: Stack, run: str, step: str, attempt: int, outcome: Outcome, reason: str | None
) -> list[Attempt]:
    """Settle every part of an attempt that has ended; return the records.

    Repeated, it keeps the end that was recorded first, and counts in what calls and jobs have
    told since.
    """
    keys = StepKeys(run, step)
    item = stack.ledger.get(f"run#{run}", f"step#{step}") or {}
    placements = item.get("placements", [])
    parts = placements[attempt - 1] if attempt <= len(placements) else []
    found = [find_attempt(stack, keys, attempt, number) for number in range(len(parts))]
    return [settle_part(stack, record, outcome, reason) for record in found if record is not None]


def settle_part(
    stack: Stack,
    record: Attempt,
    outcome: Outcome,
    reason: str | None,
    *,
    node_s: Decimal | None = None,
    final: bool = False,
) -> Attempt:
    """Settle one part and return its record; one that is settled and not open stays as it is.

    Args:
        stack: the deployed stack.
        record: the record as it was read; if it has changed since, it is read again.
        outcome: how the attempt ended, unless that is on record.
        reason: why it did not succeed.
        node_s: its share of the nodes, where it is known what ran beside it.
        final: whether nothing more will be heard of it.

    """
    while record.measured is None or record.measured.open:
        measured, timeline = measure(stack, record, outcome, reason, node_s=node_s, final=final)
        if measured == record.measured:
            break
        keys = StepKeys(record.run, record.step)
        write_timeline(stack, keys, record.attempt, record.part, timeline)
        after = replace(record, measured=measured)
        if stack.ledger.swap(
            record.partition, record.sort, after.to_json(), revision=record.revision
        ):
            return replace(after, revision=record.revision + 1)
        record = find_attempt(stack, keys, record.attempt, record.part) or record
    return record


@dataclass(frozen=True)
class _Evidence:
    """What calls, job and agent have left of one part."""

    calls: list[Json]
    batches: int | None  # None: nothing was placed
    job: Json | None
    held: list[Held]


def measure(
    stack: Stack,
    record: Attempt,
    outcome: Outcome,
    reason: str | None,
    *,
    node_s: Decimal | None = None,
    final: bool = False,
) -> tuple[Measured, list[Json]]:
    """Return what one part has taken and cost as it stands now, and its timeline."""
    prices, _ = default_books()
    before = record.measured
    came_of = before.outcome if before else outcome
    evidence = _evidence(stack, record, before.ended_s if before else None)
    ended_s = before.ended_s if before else _ended_s(evidence, outcome)
    split = split_wall_time(
        record.queued_s, ended_s, intervals_of(evidence.calls, evidence.job, ended_s)
    )
    begun = [float(call["started_s"]) for call in evidence.calls]
    begun += [held.start_us / 1e6 for held in evidence.held] if not begun else []
    without_end = sum("ended_s" not in call for call in evidence.calls)
    measured = Measured(
        outcome=came_of,
        reason=before.reason if before else reason,
        started_s=min([*begun, ended_s]),
        ended_s=ended_s,
        wall=split,
        task_s=task_seconds(evidence.calls),
        calls=len(evidence.calls),
        calls_without_end=without_end,
        items=_items(prices, record, evidence, ended_s, node_s),
        prices=prices.stamp,
        open=not final
        and (without_end > 0 or record.platform != "lambda" or came_of != "succeeded"),
        work=work_of(evidence.calls, record.platform),
    )
    return measured, timeline_of(evidence.calls, evidence.job)


def _evidence(stack: Stack, record: Attempt, ended_s: float | None) -> _Evidence:
    keys = StepKeys(record.run, record.step)
    calls = calls_of(stack, keys, record.attempt, record.part)
    if record.platform == "lambda":
        listed = stack.store.find(keys.batches(record.attempt, record.part))
        batches = None if listed is None else len(listed)
        return _Evidence(calls, batches, None, [])
    job = stack.store.find(keys.exit_record(record.attempt, record.part))
    noted = ClusterLog(stack.ledger, record.platform).job(record.queued_s, record.job)
    held = [] if noted is None else noted.held(ended_s or now_s())
    if job is not None and "spans" not in job:
        held = [_all_nodes(record, job)]
    placed = stack.store.find(keys.part(record.attempt, record.part)) is not None
    return _Evidence(calls, 0 if placed else None, job, held)


def _all_nodes(record: Attempt, job: Json) -> Held:
    """Return when a job held its nodes, by its own word."""
    begin_us, end_us = (microseconds(float(job[name])) for name in ("started_s", "ended_s"))
    nodes, slots = (int(record.size[name]) for name in ("nodes", "slots"))
    return Held(record.job, begin_us, max(begin_us, end_us), nodes, slots)


def _items(
    prices: PriceBook,
    record: Attempt,
    evidence: _Evidence,
    ended_s: float,
    node_s: Decimal | None,
) -> tuple[Item, ...]:
    if evidence.batches is None:
        return ()
    if record.platform == "lambda":
        return lambda_part_items(prices, evidence.calls, evidence.batches, ended_s)
    if node_s is None:
        node_s = _whole_nodes_s(evidence)
    kind = str(record.size["instance_type"])
    return cluster_part_items(prices, kind, node_s, evidence.calls, evidence.job)


def _whole_nodes_s(evidence: _Evidence) -> Decimal:
    """Return the node-seconds of a job as if nothing had run beside it."""
    spans = ((one.end_us - one.start_us) * one.nodes for one in evidence.held)
    return node_seconds(sum(spans))


def _ended_s(evidence: _Evidence, outcome: Outcome) -> float:
    if evidence.job is not None:
        return float(evidence.job["ended_s"])
    ends = [float(call["ended_s"]) for call in evidence.calls if "ended_s" in call]
    return max(ends) if ends and outcome == "succeeded" else now_s()
