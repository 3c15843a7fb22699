"""Records of attempts that tests begin with, and what calls and jobs leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from control.attempt_record import Attempt, Measured, Outcome
from control.stack import Stack
from placement.account import Item
from placement.books import BookStamp
from placement.walltime import WallTime
from runtime.cluster_log import JobFacts
from runtime.keys import StepKeys

BOOK = BookStamp("a book", "2026-01-01", "us-east-1")
LAMBDA_SIZE = {"memory_mb": 1024, "batches": 2}
RAY_SIZE = {"instance_type": "c7i.large", "nodes": 2, "slots": 4, "batches": 4}

type Json = dict[str, Any]


def an_attempt(
    run: str,
    step: str,
    number: int = 1,
    part: int = 0,
    *,
    platform: str = "lambda",
    size: Mapping[str, Any] | None = None,
    queued_s: float = 0.0,
) -> Attempt:
    """Return the record of an attempt that is queued."""
    known = LAMBDA_SIZE if platform == "lambda" else RAY_SIZE
    return Attempt(
        run, step, number, part, platform, size or known, queued_s, estimate=None, books=(BOOK,)
    )


def settled(
    attempt: Attempt,
    outcome: Outcome = "succeeded",
    *,
    started_s: float,
    ended_s: float,
    wall: WallTime,
    items: tuple[Item, ...] = (),
    open: bool = False,  # noqa: A002 - the field's name
) -> Attempt:
    """Return a record with what it took."""
    reason = None if outcome == "succeeded" else "no more"
    measured = Measured(
        outcome,
        reason,
        started_s,
        ended_s,
        wall,
        wall.compute_s,
        3,
        0,
        tuple(items),
        BOOK,
        open=open,
    )
    return replace(attempt, measured=measured, revision=attempt.revision + 1)


def put_attempt(stack: Stack, attempt: Attempt) -> None:
    """Put a record on the ledger."""
    stack.ledger.put(attempt.partition, attempt.sort, attempt.to_json())


def place_attempt(stack: Stack, attempt: Attempt) -> None:
    """Put a record on the ledger, and what the attempt is to do into the bucket."""
    put_attempt(stack, attempt)
    keys = StepKeys(attempt.run, attempt.step)
    description = {
        "run": attempt.run,
        "step": attempt.step,
        "attempt": attempt.attempt,
        "part": attempt.part,
        "platform": attempt.platform,
        "kind": "map",
        "size": dict(attempt.size),
        "queued_s": attempt.queued_s,
        "batches_key": keys.batches(attempt.attempt, attempt.part),
    }
    stack.store.put_json(keys.batches(attempt.attempt, attempt.part), [{}, {}])
    stack.store.put_json(keys.part(attempt.attempt, attempt.part), description)


def job_of(attempt: Attempt) -> JobFacts:
    """Return what an agent knows of the job that an attempt is."""
    return JobFacts(
        attempt.run,
        attempt.step,
        attempt.attempt,
        attempt.part,
        attempt.queued_s,
        int(attempt.size["nodes"]),
        int(attempt.size["slots"]),
        "map",
    )
