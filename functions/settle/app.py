"""Settle: ends a step whose tasks are all done, and starts those that waited for it."""

from typing import Any

from control.handler import handler
from control.settling import settle
from control.stack import Stack


@handler("Settle")
def lambda_handler(stack: Stack, event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Return how many tasks were done."""
    return settle(stack, event["run"], event["step"], event["attempt"])
