"""Kinds of cost: which usage types of a bill and which measured items are about the same thing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from billing.line import BilledLine
from placement.account import Item
from placement.price_list.queries import FIGURES, usage_without_region

_ONE = Decimal(1)
_SECONDS_PER_HOUR = Decimal(3600)
_SECONDS_PER_MONTH = Decimal(30 * 24 * 3600)  # as the price book has it
_LAMBDA = "AWSLambda"
_CONTROL = "Control functions"
_REPORT = "Report function"
_CONTROL_COMPUTE = re.compile(rf"^{_CONTROL} compute [0-9]+ MB")
_RUN_TASK = re.compile(r"^RunTask([0-9]+)$")
_INSTANCE = re.compile(r"^(Box|Spot)Usage:(.+)$")
_SPOT_SOURCE = re.compile(r" spot nodes \(.*\)$")


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that costs money, in the unit in which it is measured.

    A billed quantity times `per_billed` is in that unit. `measurable` says whether Trivium
    measures such things at all.
    """

    name: str
    unit: str
    per_billed: Decimal = _ONE
    measurable: bool = True


def _seconds(name: str, unit: str) -> Kind:
    return Kind(name, unit, _SECONDS_PER_MONTH)


# By the figure of the price book that both are priced with.
_BY_FIGURE: Mapping[str, Kind] = {
    "lambda_storage_gb_s": Kind("Lambda /tmp above 512 MB", "GB-s"),
    "state_transition": Kind("Step Functions transitions", "transition"),
    "s3_put": Kind("S3 PUT", "request"),
    "s3_get": Kind("S3 GET", "request"),
    "dynamodb_write": Kind("DynamoDB writes", "write unit"),
    "dynamodb_read": Kind("DynamoDB reads", "read unit"),
    "sqs_request": Kind("SQS requests", "request"),
    "eventbridge_event": Kind("EventBridge events", "event"),
    "ebs_gp3_gb_month": _seconds("EBS gp3 disks", "GB-s"),
    "ebs_gp3_iops_month": _seconds("EBS gp3 IOPS", "IOPS-s"),
    "ebs_gp3_mb_s_month": Kind("EBS gp3 throughput", "MB/s-s", _SECONDS_PER_MONTH * 1024),
}
_BY_USAGE: Mapping[tuple[str, str], Kind] = {
    (FIGURES[figure].service, FIGURES[figure].usage): kind for figure, kind in _BY_FIGURE.items()
} | {("AWSQueueService", "Requests-Tier1"): _BY_FIGURE["sqs_request"]}


def billed_kind(line: BilledLine, logical_id: str | None) -> Kind:
    """Return the kind of a line; `logical_id` is its resource's name in the template."""
    usage = usage_without_region(line.usage_type)
    known = _BY_USAGE.get((line.product, usage))
    if known is not None:
        return known
    if line.product == _LAMBDA:
        found = _lambda_kind(usage, logical_id)
        if found is not None:
            return found
    instance = _INSTANCE.match(usage)
    if line.product == "AmazonEC2" and instance is not None:
        spot = " spot" if instance[1] == "Spot" else ""
        return Kind(f"{instance[2]}{spot} nodes", "node-s", _SECONDS_PER_HOUR)
    if line.product == "AmazonFSx" and line.unit == "GB-Mo":
        return _seconds("FSx for Lustre", "GB-s")
    return Kind(f"{line.product} {usage}".strip(), line.unit, measurable=False)


def _lambda_kind(usage: str, logical_id: str | None) -> Kind | None:
    """Return compute or requests: of tasks by memory, of the control plane, or of Report.

    The call that writes the report is not on record while it writes it, so it is not measured.
    """
    arm = " arm64" if usage.endswith("-ARM") else ""
    plain = usage.removesuffix("-ARM")
    if plain not in {"Lambda-GB-Second", "Request"}:
        return None
    compute = plain == "Lambda-GB-Second"
    what, unit = ("compute", "GB-s") if compute else ("requests", "request")
    task = _RUN_TASK.match(logical_id or "")
    if task is not None:
        return Kind(f"Lambda compute {task[1]} MB{arm}" if compute else "Lambda requests", unit)
    if logical_id == "Report":
        return Kind(f"{_REPORT} {what}", unit, measurable=False)
    return Kind(f"{_CONTROL} {what}", unit)


def measured_kind(item: Item) -> Kind:
    """Return the kind of a measured item: its name without volume tier or memory of control."""
    name = item.what.removesuffix(" (free)")
    tier = re.compile(rf" above [0-9,.]+ {re.escape(item.unit)}$")
    name = _SPOT_SOURCE.sub(" spot nodes", tier.sub("", name))
    return Kind(_CONTROL_COMPUTE.sub(f"{_CONTROL} compute", name), item.unit)
