"""Replace: after a failure, the next best platform or the end of the step."""

from typing import Any

from control.handler import handler
from control.replacing import replace
from control.stack import Stack


@handler("Replace")
def lambda_handler(stack: Stack, event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Return the verdict: `replaced`, or `failed` with the reason."""
    return replace(stack, event["run"], event["step"], event["attempt"], event["failure"])
