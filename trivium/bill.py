"""`trivium bill`: sets what AWS billed for a run beside what was measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from billing.bill import Bill, OtherRun, bill_run
from billing.cur_file import read_lines
from billing.scope import Scope, hours
from placement.account import Item
from placement.errors import UserError
from reporting.bill_json import bill_json
from reporting.bill_table import bill_table
from reporting.report import Report
from trivium.beside import runs_beside
from trivium.console import AsJson, out, print_json, say
from trivium.local.deployment import STACK_NAME
from trivium.reports import read_report, read_report_file
from trivium.target import Target

_MACHINE_ARN = re.compile(
    r"^arn:[^:]+:states:(?P<region>[^:]+):(?P<account>[^:]+):stateMachine:(?P<stack>.+)-step$"
)
_ACCOUNT = re.compile(r"^[0-9]{12}$")


@dataclass(frozen=True)
class BilledStack:
    """The stack whose bill it is. `account` is None where the export has to tell."""

    name: str
    account: str | None
    region: str


def bill(
    run: Annotated[str, typer.Argument(help="A run's id, or the path of its report.json.")],
    cur: Annotated[
        list[Path],
        typer.Option(help="A file of the CUR 2.0 export (Parquet, CSV, CSV.gz); repeat for more."),
    ],
    stack: Annotated[
        str | None,
        typer.Option(help="The stack on AWS; without, the local one, or for a file `trivium`."),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="The account, where the export has several.")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="The report.json of another run in the same hours; repeat for more."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Set what AWS billed for a run beside what was measured, item by item."""
    if account is not None and _ACCOUNT.fullmatch(account) is None:
        raise UserError(f"--account takes the 12 digits of an AWS account, not {account!r}.")
    given = [read_report_file(path) for path in beside or []]
    if _is_path(run):
        report = read_report_file(Path(run))
        whose, found = BilledStack(stack or STACK_NAME, account, _region(report)), []
    else:
        target = Target.choose(stack)
        report, _ = read_report(target.stack, run)
        whose = _billed_stack(target, account)
        found = list(runs_beside(target.stack, run, *hours(report.started_at, _ended(report))))
    if report.machine.kind == "laptop":
        say("the run was measured on a laptop: AWS billed none of its seconds")
    others = {other.run: other for other in (*given, *found) if other.run != report.run}
    _print(bill_report(report, whose, list(others.values()), cur), as_json=as_json)


def bill_report(report: Report, whose: BilledStack, beside: list[Report], cur: list[Path]) -> Bill:
    """Return the bill of a run.

    Raises:
        UserError: the run has not ended, or the export cannot be used.

    """
    start, end = hours(report.started_at, _ended(report))
    scope = Scope(report.run, whose.name, whose.account, whose.region, start, end)
    others = [OtherRun(other.run, _items(other)) for other in beside if _overlaps(other, scope)]
    return bill_run(scope, _ended(report), _items(report), others, read_lines(cur))


def _is_path(run: str) -> bool:
    return run.endswith(".json") or Path(run).is_file()


def _billed_stack(target: Target, account: str | None) -> BilledStack:
    """Return whose stack it is, by the ARN of its step machine."""
    found = _MACHINE_ARN.match(target.outputs["StepMachineArn"])
    assert found is not None  # the template names the machine
    if account not in {None, found["account"]}:
        raise UserError(f"The stack is in account {found['account']}, not {account}.")
    return BilledStack(found["stack"], found["account"], found["region"])


def _region(report: Report) -> str:
    """Return the region of the prices that a report was made with."""
    for book in report.books:
        if book.region:
            return book.region
    raise UserError(f"The report of {report.run} names no region; name the run by its id instead.")


def _ended(report: Report) -> datetime:
    if report.ended_at is None:
        raise UserError(f"The run {report.run} has not ended; watch it first.")
    return report.ended_at


def _overlaps(other: Report, scope: Scope) -> bool:
    """Return whether a run touches the hours; one that has not ended may."""
    start, end = hours(other.started_at, other.ended_at or scope.end)
    return start < scope.end and end > scope.start


def _items(report: Report) -> tuple[Item, ...]:
    of_steps = (item for step in report.steps for item in step.items)
    every = (*of_steps, *report.shared_items, *report.other_items)
    return tuple(
        Item(each.what, each.quantity, each.unit, each.unit_usd, each.usd) for each in every
    )


def _print(found: Bill, *, as_json: bool) -> None:
    if as_json:
        print_json(bill_json(found))
    else:
        out.print(bill_table(found))
