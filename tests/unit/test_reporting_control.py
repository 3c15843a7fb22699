"""What no step can be charged with, and how attempts make up a step's measured time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.attempt_record import Attempt
from control.orchestration import orchestration_items, transitions
from control.reporting import _measured
from placement.account import Item, total
from placement.books import default_books
from placement.walltime import WallTime
from tests.attempts import an_attempt, settled

PRICES, _ = default_books()


def call(function: str, *, succeeded: bool = True, **requests: int) -> dict[str, Any]:
    return {
        "function": function,
        "succeeded": succeeded,
        "memory_mb": 512,
        "startup_s": 0.4,
        "duration_s": 0.1,
        "requests": requests,
    }


def calls(*functions: str) -> list[dict[str, Any]]:
    return [call(function) for function in functions]


def step(status: str = "done") -> dict[str, Any]:
    return {"step": "s", "status": status, "token": "t"}


def quantities(items: tuple[Item, ...]) -> dict[str, Decimal]:
    return {one.what: one.quantity for one in items}


BEFORE = ("Admit", "Plan", "Await", "Place")


def test_every_call_state_and_request_of_the_control_plane_is_charged() -> None:
    made = [
        call("Admit", s3_get=2, s3_put=1, dynamodb_read=3),
        call("Plan", dynamodb_write=4, sqs=5),
    ]
    assert quantities(orchestration_items(PRICES, made, [])) == {
        "Control functions compute 512 MB": Decimal("0.5"),  # GB-s: 2 times 0.5 GB for 0.5 s
        "Control functions requests": 2,
        "Step Functions transitions": 7,
        "S3 PUT": 1,
        "S3 GET": 2,
        "DynamoDB writes": 4,
        "DynamoDB reads": 3,
        "SQS requests": 5,
        "EventBridge events": 1,
    }


# Counted by hand from statemachines/*.json. Admit, Verdict, Plan, Steps, Report, Outcome and the
# last are 7; Step, Await, Place, Parts 4.
STORIES = {
    "a step that ends well": ([*BEFORE, "Settle"], ["done"], 7 + 5),
    "a failure in Parts, then another placement": (
        [*BEFORE, "Replace", "Place", "Settle"],
        ["done"],
        7 + 4 + 4 + 1,  # Replace, Replaced, Place, Parts; Settle
    ),
    "a step that fails in Parts": ([*BEFORE, "Replace"], ["failed"], 7 + 4 + 3),  # and StepFailed
    "a step that is stopped while it runs": (BEFORE, ["stopped"], 7 + 4),
    "a step that is stopped while it waits": (["Admit", "Plan", "Await"], ["stopped"], 7 + 2),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_the_states_of_a_run_follow_from_its_calls(
    story: tuple[list[str], list[str], int],
) -> None:
    made, statuses, states = story
    assert transitions(calls(*made), [step(status) for status in statuses]) == states


def test_a_settle_that_finds_a_result_missing_was_entered_too() -> None:
    made = [*calls(*BEFORE), call("Settle", succeeded=False), *calls("Replace")]
    assert transitions(made, [step("failed")]) == 7 + 4 + 1 + 3


def test_a_place_that_fails_enters_no_parts() -> None:
    made = [*calls("Admit", "Plan", "Await"), call("Place", succeeded=False), *calls("Replace")]
    assert transitions(made, [step("failed")]) == 7 + 3 + 3


def test_a_plan_that_fails_starts_no_steps() -> None:
    made = [*calls("Admit"), call("Plan", succeeded=False)]
    assert transitions(made, []) == 6  # Admit, Verdict, Plan, Report, Outcome, Failed


def test_a_call_that_is_made_again_is_a_transition_again() -> None:
    once = [*calls(*BEFORE), call("Settle")]
    assert transitions([*once, call("Settle", succeeded=False)], [step()]) == 7 + 5 + 1


def test_a_run_that_was_never_planned_still_cost_something() -> None:
    items = orchestration_items(PRICES, calls("Admit"), [])
    assert quantities(items)["Step Functions transitions"] == 5
    assert total(items) > 0


def attempt(
    number: int, queued: float, queue: float, startup: float, transfer: float, compute: float
) -> Attempt:
    wall = WallTime(queue, startup, transfer, compute)
    return settled(
        an_attempt("r", "s", number, queued_s=queued),
        started_s=queued + queue,
        ended_s=queued + wall.wall_s,
        wall=wall,
    )


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
        at = max(one.settled.ended_s for one in parts) + 1.0
    measured = _measured(attempts)
    kinds_s = sum(measured[name] for name in ("queue_s", "startup_s", "transfer_s", "compute_s"))
    assert kinds_s == pytest.approx(measured["wall_s"], abs=0.01)
