"""Report: ends a run, well or badly, with its account."""

from typing import Any

from control.handler import handler
from control.reporting import report_run
from control.stack import Stack


@handler("Report")
def lambda_handler(stack: Stack, event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Return the run's status, and the reason where it failed."""
    return report_run(stack, event["run"], event.get("failure"))
