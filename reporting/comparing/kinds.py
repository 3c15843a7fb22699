"""Which kind of cost an item of an account is, by what it is called, and who is paid for it."""

from __future__ import annotations

from typing import Literal

from reporting.comparing.outcome import Kind

# Items are named by `placement.account`; reports of others may name theirs alike.
_STARTS: tuple[tuple[str, Kind, str], ...] = (
    ("Control functions", "orchestration", "Lambda"),
    ("Lambda requests", "requests", "Lambda"),
    ("Lambda /tmp", "storage", "Lambda"),
    ("Step Functions", "orchestration", "Step Functions"),
    ("SQS", "orchestration", "SQS"),
    ("DynamoDB", "orchestration", "DynamoDB"),
    ("EventBridge", "orchestration", "EventBridge"),
    ("S3", "requests", "S3"),
    ("EBS", "storage", "EBS"),
    ("FSx", "storage", "FSx"),
)


def kind_of(what: str) -> tuple[Kind | Literal["time"], str]:
    """Return an item's kind and service; "time" is what is paid for by how long it runs."""
    for start, kind, service in _STARTS:
        if what.startswith(start):
            return kind, service
    if what.startswith("Lambda"):
        return "time", "Lambda"
    if what.endswith(" nodes") or what.startswith("EC2 "):
        return "time", "EC2"
    return "other", "other"


def shared_kind_of(what: str) -> tuple[Kind, str]:
    """Return the kind and service of an item that belongs to no step.

    What is paid for by time there is a head node, which directs others.
    """
    kind, service = kind_of(what)
    if kind == "time" or "head node" in what:
        return ("idle" if "idle" in what else "orchestration"), "EC2"
    return kind, service
