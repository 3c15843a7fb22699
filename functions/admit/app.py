"""Admit: turns an upload event into a run, once."""

from typing import Any

from control.admission import admit
from control.handler import handler
from control.stack import Stack


@handler("Admit")
def lambda_handler(stack: Stack, event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the verdict on the upload."""
    return admit(stack, event, context)
