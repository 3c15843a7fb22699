"""What one part of an attempt costs, from the quantities that its records tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from control.calls import lambda_calls
from placement.account import (
    Item,
    lambda_items,
    node_item,
    s3_request_items,
    sqs_items,
    transition_items,
)
from placement.books import PriceBook

SQS_REQUESTS_PER_JOB = 3  # send, receive, delete
STATES_PER_CLUSTER_PART = 2  # Platform; OnRay or OnHpc
STATES_PER_LAMBDA_PART = 2  # Platform, OnLambda

type Json = dict[str, Any]


def lambda_part_items(
    prices: PriceBook, calls: Sequence[Json], batches: int, ended_s: float
) -> tuple[Item, ...]:
    """Cost one part on Lambda: every call, retries included, and every state that it entered.

    Each batch is a child execution: its start and each try of RunTask are transitions.
    """
    transitions = STATES_PER_LAMBDA_PART + batches + len(calls)
    return (
        *lambda_items(prices, lambda_calls(calls, ended_s)),
        *transition_items(prices, transitions),
        *_s3_items(prices, calls),
    )


def cluster_part_items(
    prices: PriceBook, instance_type: str, node_s: Decimal, calls: Sequence[Json], job: Json | None
) -> tuple[Item, ...]:
    """Cost one part on Ray or MPI: its node-seconds, and what it asked of other services."""
    held = (node_item(prices, f"{instance_type} nodes", instance_type, node_s),)
    return (
        *(held if node_s else ()),
        *transition_items(prices, STATES_PER_CLUSTER_PART),
        *sqs_items(prices, SQS_REQUESTS_PER_JOB),
        *_s3_items(prices, [*calls, *([job] if job else [])]),
    )


def _s3_items(prices: PriceBook, records: Sequence[Mapping[str, Any]]) -> tuple[Item, ...]:
    requests = [record.get("requests", {}) for record in records]
    return s3_request_items(
        prices,
        put=sum(int(count.get("s3_put", 0)) for count in requests),
        get=sum(int(count.get("s3_get", 0)) for count in requests),
    )
