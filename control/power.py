"""Stops the head node of a cluster that has no work for long, and starts it when work comes.

Alarms call it, and EC2 when a head has stopped. Whatever a call says of the past, it looks at what
is so now and does what that asks for: called twice, late, or out of order it does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from control.stack import Stack
from placement.workflow import Platform
from runtime.clock import now_s
from runtime.cluster_log import SILENT_AFTER_S, ClusterLog

type Order = Literal["start", "stop"]

FACTS = ("instance_type", "head_type", "head_disk_gb", "node_disk_gb", "file_system_gb")


def tend(stack: Stack, platform: Platform, queue_url: str, *, idle: bool) -> Order | None:
    """Start a cluster's stopped head, or stop it; return what was done.

    `idle` says that the cluster has had no job for long. It is stopped only if it still has none,
    none waits for it, and its agent, which would know of one, speaks.
    """
    item = stack.ledger.get("cluster", platform)
    if item is None or item.get("head_instance") is None:
        return None
    head, ec2 = item["head_instance"], stack.aws.client("ec2")
    state, waits = _state(ec2, head), _messages(stack, queue_url) > 0
    if state == "stopped":
        off_s = _note_off(stack, item)
        if not waits:
            return None
        ec2.start_instances(InstanceIds=[head])
        log = ClusterLog(stack.ledger, platform)
        log.note_head_off(off_s, now_s(), {name: item.get(name) for name in FACTS})
        return "start"
    speaks = now_s() - float(item["updated_s"]) <= SILENT_AFTER_S
    if state == "running" and idle and speaks and not waits and int(item["busy_jobs"]) == 0:
        ec2.stop_instances(InstanceIds=[head])
        return "stop"
    return None


def _note_off(stack: Stack, item: Mapping[str, Any]) -> float:
    """Note since when a head has been off, if that is not on record; return it."""
    updated_s, off_s = float(item["updated_s"]), float(item.get("head_off_s", 0))
    if off_s <= updated_s:
        off_s = max(now_s(), updated_s + 0.001)
        stack.ledger.set("cluster", item["sk"], {"head_off_s": off_s})
    return off_s


def _state(ec2: Any, instance: str) -> str:
    [reservation] = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    return str(reservation["Instances"][0]["State"]["Name"])


def _messages(stack: Stack, queue_url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = stack.aws.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return sum(int(told["Attributes"][name]) for name in names)
