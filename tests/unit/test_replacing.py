"""After a failure: the next platform, unless none is left or the input itself is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.replacing import CALLS_LEFT_NO_RECORD, readable_reason, replace
from control.stack import Stack
from runtime.keys import StepKeys
from tests.attempts import an_attempt, place_attempt

RUN, STEP = "w-0123456789ab", "s"
KEYS = StepKeys(RUN, STEP)
LAMBDA = [{"platform": "lambda", "size": {"memory_mb": 1024, "batches": 1}, "share": 1.0}]
RAY = [{"platform": "ray", "size": {"instance_type": "c7i.large", "nodes": 1}, "share": 1.0}]
# What AWS reports where a child of a Distributed Map has failed.
OF_THE_MAP = {
    "Error": "States.ExceedToleratedFailureThreshold",
    "Cause": "The specified tolerated failure threshold was exceeded",
}


def given_placements(stack: Stack, *placements: Any) -> None:
    fields = {"step": STEP, "status": "running", "placements": list(placements)}
    stack.ledger.put(f"run#{RUN}", f"step#{STEP}", fields)
    first = placements[0][0]
    platform, size = first["platform"], first["size"]
    place_attempt(stack, an_attempt(RUN, STEP, platform=platform, size=size, queued_s=1.7e9))


def given_failed_call(stack: Stack, error: str, reason: str, **fields: Any) -> None:
    record: dict[str, Any] = {
        "part": 0,
        "batch": 0,
        "call": "c",
        "worker": "w",
        "memory_mb": 1024,
        "tmp_mb": 512,
        "started_s": 1.7e9,
        "startup_s": 0.0,
        "compute_s": 0.5,
        "ended_s": 1.7e9 + 1,
        "outcome": "failed",
        "error": error,
        "reason": reason,
    } | fields
    stack.store.put_json(KEYS.call(1, 0, 0, record["call"]), record)


def step_item(stack: Stack) -> dict[str, Any]:
    return stack.ledger.get(f"run#{RUN}", f"step#{STEP}") or {}


def attempt_item(stack: Stack) -> dict[str, Any]:
    return stack.ledger.get(f"run#{RUN}", f"attempt#{STEP}#001#000") or {}


def test_a_failure_goes_to_the_next_placement(stack: Stack) -> None:
    given_placements(stack, LAMBDA, RAY)
    answer = replace(stack, RUN, STEP, 1, {"Error": "MemoryError", "Cause": "no more"})
    assert answer == {"run": RUN, "step": STEP, "attempt": 2, "reason": None, "verdict": "replaced"}
    assert (attempt_item(stack)["outcome"], attempt_item(stack)["reason"]) == (
        "replaced",
        "no more",
    )
    assert step_item(stack)["status"] == "running"


def test_after_the_last_placement_the_step_has_failed(stack: Stack) -> None:
    given_placements(stack, LAMBDA)
    answer = replace(stack, RUN, STEP, 1, {"Error": "MemoryError", "Cause": "no more"})
    assert answer["verdict"] == "failed"
    assert answer["reason"] == step_item(stack)["reason"] == "Step s failed: no more"
    assert step_item(stack)["status"] == attempt_item(stack)["outcome"] == "failed"


def test_the_reason_says_that_every_platform_was_tried(stack: Stack) -> None:
    given_placements(stack, LAMBDA, RAY)
    answer = replace(stack, RUN, STEP, 2, {"Error": "JobLost", "Cause": "gone"})
    assert answer["reason"] == (
        "Step s failed: gone. It was tried 2 times, on every platform that can run it."
    )


def test_a_wrong_input_is_final_at_once(stack: Stack) -> None:
    given_placements(stack, LAMBDA, RAY)
    answer = replace(stack, RUN, STEP, 1, {"Error": "UserError", "Cause": "a.txt is empty."})
    assert answer["verdict"] == "failed"
    assert answer["reason"] == "Step s failed: a.txt is empty."


def test_a_wrong_input_inside_a_distributed_map_is_final_at_once(stack: Stack) -> None:
    given_placements(stack, LAMBDA, RAY)
    given_failed_call(stack, "UserError", "a.txt is not text in UTF-8.")
    answer = replace(stack, RUN, STEP, 1, OF_THE_MAP)
    assert answer["verdict"] == "failed"
    assert answer["reason"] == "Step s failed: a.txt is not text in UTF-8."


def test_another_failure_inside_a_distributed_map_is_replaced_with_its_own_reason(
    stack: Stack,
) -> None:
    given_placements(stack, LAMBDA, RAY)
    given_failed_call(stack, "DoesNotFitError", "The inputs take 99 bytes.")
    assert replace(stack, RUN, STEP, 1, OF_THE_MAP)["verdict"] == "replaced"
    assert attempt_item(stack)["reason"] == "The inputs take 99 bytes."


def test_a_failure_that_was_made_good_is_not_the_reason(stack: Stack) -> None:
    given_placements(stack, LAMBDA)
    given_failed_call(stack, "UserError", "old", call="a")
    given_failed_call(stack, "", "", call="b", started_s=1.7e9 + 5, outcome="succeeded")
    answer = replace(stack, RUN, STEP, 1, OF_THE_MAP)
    assert answer["reason"] == f"Step s failed: {CALLS_LEFT_NO_RECORD}"


def test_a_failure_with_a_name_of_its_own_is_taken_at_its_word(stack: Stack) -> None:
    given_placements(stack, RAY, LAMBDA)
    given_failed_call(stack, "UserError", "of a call")
    answer = replace(stack, RUN, STEP, 1, {"Error": "JobLost", "Cause": "The job ended as FAILED."})
    assert answer["verdict"] == "replaced"


def test_a_map_without_records_says_where_to_look(stack: Stack) -> None:
    given_placements(stack, LAMBDA)
    answer = replace(stack, RUN, STEP, 1, OF_THE_MAP)
    assert answer["reason"] == f"Step s failed: {CALLS_LEFT_NO_RECORD}"


def test_replacing_again_is_harmless(stack: Stack) -> None:
    given_placements(stack, LAMBDA, RAY)
    failure = {"Error": "MemoryError", "Cause": "no more"}
    assert replace(stack, RUN, STEP, 1, failure) == replace(stack, RUN, STEP, 1, failure)
    assert len(stack.ledger.query(f"run#{RUN}", "attempt#")) == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ({"Error": "E", "Cause": "plain"}, "plain"),
        ({"Error": "E", "Cause": ""}, "E"),
        ({"Error": "E"}, "E"),
        ({}, "no reason was given"),
        ({"Cause": '{"errorMessage":"m","errorType":"UserError","stackTrace":[]}'}, "m"),
        (
            {"Cause": '{"Error":"StepFailed","Cause":"Step s failed: m","Status":"FAILED"}'},
            "Step s failed: m",
        ),
        ({"Cause": '{"Status":"TIMED_OUT","Error":"States.Timeout"}'}, "States.Timeout"),
        ({"Cause": '{"Status":"ABORTED"}'}, '{"Status":"ABORTED"}'),
        ({"Cause": '{"errorMessage":{"not":"text"}}'}, '{"errorMessage":{"not":"text"}}'),
        ({"Cause": "{cut off here"}, "{cut off here"),
        ({"Cause": "{}"}, "{}"),
    ],
)
def test_reasons_are_read_from_what_step_functions_reports(
    failure: dict[str, str], reason: str
) -> None:
    assert readable_reason(failure) == reason


@given(
    st.text(min_size=1).filter(lambda text: not text.lstrip().startswith("{")),
    st.lists(st.sampled_from(["errorMessage", "Cause", "Error"]), max_size=5),
)
def test_a_reason_is_dug_out_of_any_depth(sentence: str, wrappings: list[str]) -> None:
    cause = sentence
    for name in wrappings:
        cause = json.dumps({name: cause, "Status": "FAILED"})
    assert readable_reason({"Error": "E", "Cause": cause}) == sentence
