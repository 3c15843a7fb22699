"""`trivium calibrate`: what past runs took becomes what plans expect."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from control.calibrating import run_records, write_calibration
from control.catalogue import load_workflow
from control.stack import Stack
from placement.books import default_books
from placement.calibration.assess import assess
from placement.calibration.known import Known
from placement.errors import UserError
from reporting.calibration_table import calibration_tables
from runtime.clock import iso, now_s
from trivium.console import AsJson, out, say
from trivium.target import StackName, Target
from trivium.watching import Watch

NEWEST = 200  # runs of a stack; older ones say little of what code and machines are now
ENDED = ("succeeded", "failed")


def calibrate(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Runs to learn from; without, the newest of the stack."),
    ] = None,
    stack: StackName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Fit the model of every step to what runs have measured; plans use it from then on."""
    from placement.calibration.fit import fit  # noqa: PLC0415  (scipy: slow to import)

    target = Target.choose(stack).stack
    items = _named(target, runs) if runs else _newest(target)
    records = [run_records(target, item) for item in items]
    samples = [sample for one in records for sample in one.samples()]
    if not samples:
        raise UserError(
            "No attempt of these runs says what its tasks had to do; run a workflow first."
        )
    workflows = {name: load_workflow(name) for name in sorted({one.workflow for one in samples})}
    beside = [
        found
        for one in records
        if (name := one.item["workflow"]) in workflows
        and (found := one.run_sample(workflows[name])) is not None
    ]
    known = Known(workflows, *default_books())
    calibration = fit(samples, beside, known, iso(now_s()))
    assessed = assess(samples, known, calibration)
    where = write_calibration(target, calibration)
    if as_json:
        data = {
            "calibration": calibration.to_json(),
            "assessed": [asdict(one) for one in assessed],
        }
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
    else:
        out.print(calibration_tables(calibration, assessed))
    say(f"wrote {where}; plans use it from now on")


def _named(stack: Stack, names: list[str]) -> list[dict[str, Any]]:
    items = [Watch(stack, name).item() for name in dict.fromkeys(names)]
    for item in items:
        if item["status"] not in ENDED:
            raise UserError(
                f"The run {item['run']} is {item['status']}; calibrate from runs that have ended."
            )
    return items


def _newest(stack: Stack) -> list[dict[str, Any]]:
    listed = stack.ledger.query("runs", newest=NEWEST)
    items = [stack.ledger.get(f"run#{one['run']}", "run") for one in listed]
    return [item for item in items if item is not None and item["status"] in ENDED]
