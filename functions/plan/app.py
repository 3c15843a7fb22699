"""Plan: places every step of a run."""

from typing import Any

from control.handler import handler
from control.planning import plan_run
from control.stack import Stack


@handler("Plan")
def lambda_handler(stack: Stack, event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Return the names of the steps in topological order."""
    return plan_run(stack, event["run"])
