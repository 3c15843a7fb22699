"""What a run's orchestration costs: the control plane's calls, states and requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from placement.account import (
    Item,
    LambdaCall,
    billed_ms,
    event_items,
    lambda_items,
    ledger_items,
    s3_request_items,
    sqs_items,
    transition_items,
)
from placement.books import PriceBook

type Json = dict[str, Any]


def orchestration_items(
    prices: PriceBook, control: Sequence[Json], steps: Sequence[Json]
) -> tuple[Item, ...]:
    """Cost what no step can be charged with.

    The call that writes the report is not on record while it writes it, but its state is counted.
    """
    calls = [
        LambdaCall(
            int(one["memory_mb"]), billed_ms(float(one["startup_s"]) + float(one["duration_s"]))
        )
        for one in control
    ]
    counts = [one["requests"] for one in control]

    def requests(kind: str) -> int:
        return sum(int(count.get(kind, 0)) for count in counts)

    return (
        *lambda_items(prices, calls, "Control functions"),
        *transition_items(prices, transitions(control, steps)),
        *s3_request_items(prices, put=requests("s3_put"), get=requests("s3_get")),
        *ledger_items(prices, writes=requests("dynamodb_write"), reads=requests("dynamodb_read")),
        *sqs_items(prices, requests("sqs")),
        *event_items(prices, 1),
    )


def transitions(control: Sequence[Json], steps: Sequence[Json]) -> int:
    """Return the states that a run and its steps have entered, but for what its parts entered.

    Every call of a function is its state, or a retry of it, which is a transition as well. The
    other states follow: Verdict, Outcome and the last of the run; Steps after Plan; Step of every
    step that was started; Parts after Place; Replaced after Replace; StepFailed.
    """
    well = Counter(str(one["function"]) for one in control if one["succeeded"])
    under_way = 1  # the Report that asks
    of_the_run = 3 + (1 if well["Plan"] else 0)
    started = sum(1 for step in steps if "token" in step)
    failed = sum(1 for step in steps if step["status"] == "failed")
    calls = len(control) + under_way
    return of_the_run + calls + started + well["Place"] + well["Replace"] + failed
