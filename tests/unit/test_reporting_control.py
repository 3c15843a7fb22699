"""What no step can be charged with, and how attempts make up a step's measured time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.reporting import _measured, control_items
from placement.account import Item, total
from placement.books import default_books

PRICES, _ = default_books()


def call(**requests: int) -> dict[str, Any]:
    return {"memory_mb": 512, "startup_s": 0.4, "duration_s": 0.1, "requests": requests}


def step(attempt: int = 1) -> dict[str, Any]:
    return {"step": "s", "attempt": attempt}


def quantities(items: tuple[Item, ...]) -> dict[str, Decimal]:
    return {one.what: one.quantity for one in items}


def test_every_call_state_and_request_of_the_control_plane_is_charged() -> None:
    calls = [call(s3_get=2, s3_put=1, dynamodb_read=3), call(dynamodb_write=4, sqs=5)]
    assert quantities(control_items(PRICES, calls, [step(), step()])) == {
        "Control functions compute 512 MB": Decimal("0.5"),  # GB-s: 2 times 0.5 GB for 0.5 s
        "Control functions requests": 2,
        "Step Functions transitions": 7 + 2 * 5,
        "S3 PUT": 1,
        "S3 GET": 2,
        "DynamoDB writes": 4,
        "DynamoDB reads": 3,
        "SQS requests": 5,
        "EventBridge events": 1,
    }


def test_a_further_attempt_enters_further_states() -> None:
    once = quantities(control_items(PRICES, [], [step()]))
    thrice = quantities(control_items(PRICES, [], [step(3)]))
    what = "Step Functions transitions"
    assert thrice[what] - once[what] == 2 * 4


def test_a_run_that_was_never_planned_still_cost_something() -> None:
    items = control_items(PRICES, [], [])
    assert quantities(items) == {"Step Functions transitions": 7, "EventBridge events": 1}
    assert total(items) > 0


def test_a_step_that_never_began_counts_as_one_attempt() -> None:
    assert control_items(PRICES, [], [{"step": "s"}]) == control_items(PRICES, [], [step()])


def attempt(
    number: int, queued: float, queue: float, startup: float, transfer: float, compute: float
) -> dict[str, Any]:
    wall = queue + startup + transfer + compute
    return {
        "attempt": number,
        "queued_s": queued,
        "ended_s": queued + wall,
        "measured": {
            "queue_s": queue,
            "startup_s": startup,
            "transfer_s": transfer,
            "compute_s": compute,
            "wall_s": wall,
        },
    }


def test_one_attempt_is_measured_as_it_was() -> None:
    assert _measured([attempt(1, 100.0, 1, 2, 3, 4)]) == {
        "queue_s": 1,
        "startup_s": 2,
        "transfer_s": 3,
        "compute_s": 4,
        "wall_s": 10,
    }


def test_of_parts_at_the_same_time_the_longest_counts() -> None:
    parts = [attempt(1, 100.0, 0, 0, 1, 5), attempt(1, 100.0, 0, 3, 0, 9)]
    assert _measured(parts) == {
        "queue_s": 0,
        "startup_s": 3,
        "transfer_s": 0,
        "compute_s": 9,
        "wall_s": 12,
    }


def test_what_lies_between_attempts_is_queueing() -> None:
    measured = _measured([attempt(1, 100.0, 0, 0, 0, 5), attempt(2, 107.5, 1, 0, 0, 5)])
    assert (measured["queue_s"], measured["compute_s"], measured["wall_s"]) == (3.5, 10, 13.5)


def test_a_step_without_attempts_took_no_time() -> None:
    assert set(_measured([]).values()) == {0.0}


times = st.floats(0, 1e5)


@given(
    st.lists(st.tuples(st.integers(1, 4), times, times, times, times, st.floats(0, 50)), max_size=8)
)
def test_the_kinds_make_up_the_wall_time(
    drawn: list[tuple[int, float, float, float, float, float]],
) -> None:
    attempts, at = [], 1.7e9
    for number in sorted({one[0] for one in drawn}):
        parts = [attempt(number, at + gap, *kinds) for n, *kinds, gap in drawn if n == number]
        attempts += parts
        at = max(one["ended_s"] for one in parts) + 1.0
    measured = _measured(attempts)
    kinds_s = sum(measured[name] for name in ("queue_s", "startup_s", "transfer_s", "compute_s"))
    assert kinds_s == pytest.approx(measured["wall_s"], abs=0.01)
