"""Await: lets a step wait for its inputs without anything running meanwhile."""

from typing import Any

from control.handler import handler
from control.stack import Stack
from runtime.dataflow import store_token


@handler("Await")
def lambda_handler(stack: Stack, event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Keep the step's task token; the last of its predecessors to be settled sends it."""
    store_token(stack.aws, stack.ledger, event["run"], event["step"], event["token"])
    return {"run": event["run"]}
