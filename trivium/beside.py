"""Which other runs of a stack used its resources in the same hours, and what they measured."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from control.stack import Stack
from placement.errors import UserError
from reporting.report import Report, parse_report
from runtime.keys import RunKeys
from trivium.console import say

# Runs that began this long before are looked at, whether they lasted into the hours.
LOOK_BACK = timedelta(days=7)


def runs_beside(stack: Stack, run: str, start: datetime, end: datetime) -> Iterator[Report]:
    """Give the reports of the other runs that fall into the hours from `start` to `end`.

    One that has no report yet, or one of another version, is told of and left out.
    """
    for item in _listed(stack, start, end):
        if item["run"] == run or not _falls_into(item, start, end):
            continue
        raw = stack.store.find(RunKeys(item["run"]).report_json)
        if raw is None:
            if item.get("status", "running") == "running":
                say(
                    f"the run {item['run']} of these hours has no report yet; its share is not told"
                )
            continue
        try:
            yield parse_report(raw)
        except UserError:
            say(f"the report of {item['run']} is of another version; its share is not told")


def _listed(stack: Stack, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Give the ledger's items of the runs that began on the days that matter."""
    day = (start - LOOK_BACK).date()
    while day <= end.date():
        for listed in stack.ledger.query("runs", day.isoformat()):
            yield stack.ledger.get(f"run#{listed['run']}", "run") or listed
        day += timedelta(days=1)


def _falls_into(item: dict[str, Any], start: datetime, end: datetime) -> bool:
    """Return whether a run may have been at work in the hours; one without an end may."""
    begun = datetime.fromtimestamp(float(item.get("started_s", 0)), UTC)
    ended = item.get("ended_s")
    return begun < end and (ended is None or datetime.fromtimestamp(float(ended), UTC) > start)
