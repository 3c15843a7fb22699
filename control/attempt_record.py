"""The ledger's record of one attempt at one part of a step: what was asked for, then what it took.

One item for each (run, step, attempt, part). `Place` writes it, on condition that it is new, before
anything of the attempt can run. Settling it writes the whole item again with what was measured, on
condition that it is still the revision that was read. What is charged always follows anew from
records that calls, jobs and agents have left, so that settling may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from placement.account import Item, decimal_text, total
from placement.books import BookStamp
from placement.calibration.samples import Work
from placement.errors import UserError
from placement.walltime import WallTime
from runtime.keys import job_name

VERSION = 2

type Json = dict[str, Any]
type Outcome = Literal["running", "succeeded", "failed", "replaced"]


@dataclass(frozen=True)
class Estimated:
    """What the plan estimated for a placement; None where it has no estimate of this one alone."""

    seconds: float
    usd: Decimal


@dataclass(frozen=True)
class Measured:
    """What an attempt took and cost, and how it ended.

    `open` says that settling it again may change the figures: a call has not said yet how it ended,
    or may say so late because the attempt failed, or its nodes were charged whole although other
    jobs may have run on them. `task_s` is what its calls computed in all, one after another, as far
    as it was of use. `work` is what its tasks had to do, where each of its batches was done in one
    call.
    """

    outcome: Outcome
    reason: str | None
    started_s: float
    ended_s: float
    wall: WallTime
    task_s: float
    calls: int
    calls_without_end: int
    items: tuple[Item, ...]
    prices: BookStamp
    open: bool
    work: Work | None = None

    @property
    def usd(self) -> Decimal:
        """Return the exact sum of the items."""
        return total(self.items)


@dataclass(frozen=True)
class Attempt:
    """One attempt at one part; `measured` is None until it is settled."""

    run: str
    step: str
    attempt: int
    part: int
    platform: str
    size: Mapping[str, Any]
    queued_s: float
    estimate: Estimated | None
    books: tuple[BookStamp, ...]
    measured: Measured | None = None
    revision: int = 0

    @property
    def partition(self) -> str:
        """Return the partition key of its item."""
        return f"run#{self.run}"

    @property
    def sort(self) -> str:
        """Return the sort key of its item."""
        return attempt_sort(self.step, self.attempt, self.part)

    @property
    def job(self) -> str:
        """Return the name of the job that it is on a cluster."""
        return job_name(self.run, self.step, self.attempt, self.part)

    @property
    def settled(self) -> Measured:
        """Return what was measured.

        Raises:
            ValueError: it is not settled yet.

        """
        if self.measured is None:
            raise ValueError(f"{self.job} is not settled")
        return self.measured

    def to_json(self) -> Json:
        """Return the fields of its item."""
        estimate = self.estimate
        value = {
            "version": VERSION,
            "revision": self.revision,
            "run": self.run,
            "step": self.step,
            "attempt": self.attempt,
            "part": self.part,
            "platform": self.platform,
            "size": dict(self.size),
            "queued_s": self.queued_s,
            "estimate": estimate
            and {"seconds": estimate.seconds, "usd": decimal_text(estimate.usd)},
            "books": [stamp_json(book) for book in self.books],
        }
        return value if self.measured is None else value | _measured_json(self.measured)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Attempt:
        """Read what `to_json` wrote.

        Raises:
            UserError: it was written by another version of Trivium.

        """
        if value["version"] != VERSION:
            raise UserError(
                f"The ledger's record of step {value['step']} of run {value['run']} has version "
                f"{value['version']}; this Trivium reads version {VERSION}. Run it again, or use "
                "the Trivium that wrote it."
            )
        estimate = value["estimate"]
        return Attempt(
            run=value["run"],
            step=value["step"],
            attempt=int(value["attempt"]),
            part=int(value["part"]),
            platform=value["platform"],
            size=dict(value["size"]),
            queued_s=float(value["queued_s"]),
            estimate=estimate and Estimated(float(estimate["seconds"]), Decimal(estimate["usd"])),
            books=tuple(BookStamp(**book) for book in value["books"]),
            measured=_measured(value) if "outcome" in value else None,
            revision=int(value["revision"]),
        )


def attempt_sort(step: str, attempt: int, part: int) -> str:
    """Return the sort key of an attempt's item, below the partition of its run."""
    return f"attempt#{step}#{attempt:03d}#{part:03d}"


def stamp_json(book: BookStamp) -> Json:
    """Return which book it is, as JSON."""
    return {"name": book.name, "date": book.date, "region": book.region}


def _measured_json(measured: Measured) -> Json:
    wall, work = measured.wall, measured.work
    return {
        "outcome": measured.outcome,
        "reason": measured.reason,
        "started_s": measured.started_s,
        "ended_s": measured.ended_s,
        "measured": {
            "queue_s": wall.queue_s,
            "startup_s": wall.startup_s,
            "transfer_s": wall.transfer_s,
            "compute_s": wall.compute_s,
        },
        "task_s": measured.task_s,
        "calls": measured.calls,
        "calls_without_end": measured.calls_without_end,
        "usd": decimal_text(measured.usd),
        "items": [one.to_json() for one in measured.items],
        "prices": stamp_json(measured.prices),
        "open": measured.open,
        "work": work and work.to_json(),
    }


def _measured(value: Mapping[str, Any]) -> Measured:
    return Measured(
        outcome=value["outcome"],
        reason=value["reason"],
        started_s=float(value["started_s"]),
        ended_s=float(value["ended_s"]),
        wall=WallTime(**{kind: float(seconds) for kind, seconds in value["measured"].items()}),
        task_s=float(value["task_s"]),
        calls=int(value["calls"]),
        calls_without_end=int(value["calls_without_end"]),
        items=tuple(Item.from_json(one) for one in value["items"]),
        prices=BookStamp(**value["prices"]),
        open=value["open"],
        work=value["work"] and Work.from_json(value["work"]),
    )
