"""Power: starts and stops the head nodes of clusters, as their work comes and goes."""

import os
from typing import Any

from control.handler import handler
from control.power import tend
from control.stack import Stack
from placement.workflow import Platform

QUEUES: dict[Platform, str] = {"ray": "TRIVIUM_RAY_QUEUE", "hpc": "TRIVIUM_HPC_QUEUE"}


@handler("Power")
def lambda_handler(stack: Stack, event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Return what was done to each head; the event is an alarm's, or EC2's of an instance."""
    alarm = str(event.get("alarmData", {}).get("alarmName", ""))
    return {
        platform: tend(stack, platform, os.environ[queue], idle=alarm.endswith(f"-{platform}-idle"))
        for platform, queue in QUEUES.items()
    }
