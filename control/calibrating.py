"""The calibration as it lies in the bucket, and the samples that the ledger has for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from control.attempt_record import Attempt
from control.attempts import all_attempts
from control.stack import Stack
from placement.books import default_books
from placement.calibration.calibration import Calibration
from placement.calibration.samples import RunSample, Sample
from placement.errors import UserError
from placement.workflow import Platform, Workflow
from runtime.keys import CALIBRATION_KEY


def find_calibration(stack: Stack) -> Calibration | None:
    """Return the stack's calibration, or None where none was made yet.

    Raises:
        UserError: it was made by another version of Trivium, or beside another platform book.

    """
    data = stack.store.find(CALIBRATION_KEY)
    if data is None:
        return None
    found = Calibration.from_json(data)
    _, platforms = default_books()
    if found.book != platforms.stamp:
        raise UserError(
            f"The calibration of {found.made_at} was made beside the platform book of "
            f"{found.book.date} ({found.book.region}), and the present one is of "
            f"{platforms.stamp.date} ({platforms.stamp.region}); make a new one with "
            "`trivium calibrate`."
        )
    return found


def write_calibration(stack: Stack, calibration: Calibration) -> str:
    """Write a calibration for all plans from now on; return where it lies.

    The bucket keeps the versions before it.
    """
    stack.store.put_json(CALIBRATION_KEY, calibration.to_json())
    return f"s3://{stack.store.bucket}/{CALIBRATION_KEY}"


@dataclass(frozen=True)
class RunRecords:
    """One run as the ledger has it: its item, and all attempts."""

    item: Mapping[str, Any]
    attempts: Sequence[Attempt]

    def samples(self) -> list[Sample]:
        """Return what its attempts say of the step model: those that succeeded with all told."""
        concurrency = self.item.get("lambda_concurrency")
        probe = self.item.get("kind") == "probe"
        return [
            Sample(
                run=one.run,
                workflow=self.item["workflow"],
                step=one.step,
                platform=cast("Platform", one.platform),
                size=one.size,
                wall_s=one.measured.wall.wall_s,
                startup_s=one.measured.wall.startup_s,
                ended_s=one.measured.ended_s,
                lambda_concurrency=None if concurrency is None else int(concurrency),
                work=one.measured.work,
                probe=probe,
            )
            for one in self.attempts
            if one.measured is not None
            and one.measured.outcome == "succeeded"
            and one.measured.work is not None
        ]

    def run_sample(self, workflow: Workflow) -> RunSample | None:
        """Return what the run took beside its steps; None where not every step was measured."""
        if self.item.get("kind") == "probe":
            return None
        begun = {
            one.name: [a for a in self.attempts if a.step == one.name] for one in workflow.steps
        }
        settled = all(one.measured is not None for one in self.attempts)
        if self.item["status"] != "succeeded" or not settled or not all(begun.values()):
            return None
        queued_s = {name: min(one.queued_s for one in mine) for name, mine in begun.items()}
        ended_s = {name: max(one.settled.ended_s for one in mine) for name, mine in begun.items()}
        run_ended_s = float(self.item["ended_s"])
        first_s = min(queued_s[one.name] for one in workflow.steps if not one.predecessors)
        return RunSample(
            run=self.item["run"],
            ended_s=run_ended_s,
            start_s=max(0.0, first_s - float(self.item["started_s"])),
            handovers_s=tuple(
                max(0.0, queued_s[one.name] - max(ended_s[name] for name in one.predecessors))
                for one in workflow.steps
                if one.predecessors
            ),
            end_s=max(0.0, run_ended_s - max(ended_s.values())),
        )


def run_records(stack: Stack, item: Mapping[str, Any]) -> RunRecords:
    """Return what the ledger has of a run.

    Raises:
        UserError: another version of Trivium recorded it.

    """
    try:
        return RunRecords(item, all_attempts(stack, item["run"]))
    except UserError as error:
        raise UserError(
            f"The run {item['run']} was recorded by another version of Trivium; name the runs to "
            "calibrate from, without it."
        ) from error
