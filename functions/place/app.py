"""Place: writes down what one attempt of a step is to do, and where."""

from typing import Any

from control.handler import handler
from control.placing import place
from control.stack import Stack


@handler("Place")
def lambda_handler(stack: Stack, event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Return the parts of the attempt."""
    return place(stack, event["run"], event["step"], event["attempt"])
