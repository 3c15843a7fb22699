"""Rights that nothing on this machine uses, because only AWS asks for them: which, and for what."""

from __future__ import annotations

from tests.rights.rights import Right

OWN_LOGS = "Lambda writes a function's log under its role; the emulator writes it by itself."
TRACES = "Lambda and Step Functions send traces under the role; the emulator keeps none."
LOG_DELIVERY = (
    "Step Functions sets up the delivery of a machine's log under its role, when the machine is "
    "made; the emulator delivers none."
)
CHILDREN = (
    "Step Functions looks after, and stops, the children of a Distributed Map under the machine's "
    "role; the emulator runs them inside the machine."
)
NESTED = (
    "Step Functions looks after, and stops, a nested execution that it waits for under the "
    "machine's role; the emulator runs it inside the task."
)
END_OF_NESTED = (
    "Step Functions hears of a nested execution's end through a managed rule that it sets up under "
    "the machine's role, when the machine is made; the emulator has no need of it."
)
LOAD = (
    "An agent tells of its load where its head may be stopped when idle; this machine's agents run "
    "on no EC2 instance."
)
REASONS: dict[tuple[str, str], str] = {
    **{
        ("traces", action): TRACES
        for action in ("xray:PutTraceSegments", "xray:PutTelemetryRecords")
    },
    **{("own-logs", action): OWN_LOGS for action in ("logs:CreateLogStream", "logs:PutLogEvents")},
    **{
        ("log-delivery", f"logs:{name}"): LOG_DELIVERY
        for name in (
            "CreateLogDelivery",
            "GetLogDelivery",
            "UpdateLogDelivery",
            "DeleteLogDelivery",
            "ListLogDeliveries",
            "PutResourcePolicy",
            "DescribeResourcePolicies",
            "DescribeLogGroups",
        )
    },
    **{
        ("children", action): CHILDREN
        for action in ("states:DescribeExecution", "states:StopExecution")
    },
    **{
        ("nested", action): NESTED
        for action in ("states:DescribeExecution", "states:StopExecution")
    },
    **{
        ("nested", action): END_OF_NESTED
        for action in ("events:PutTargets", "events:PutRule", "events:DescribeRule")
    },
    **{(owner, "cloudwatch:PutMetricData"): LOAD for owner in ("RayAgentPolicy", "HpcAgentPolicy")},
}


def reason(right: Right) -> str | None:
    """Return why only AWS asks for this right, None if it is used on this machine as well."""
    inline = REASONS.get((right.policy, right.action))
    return inline or REASONS.get((right.owner, right.action))
