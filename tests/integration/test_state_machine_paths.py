"""What the state machines do and hand on, in moto's interpreter.

`test_state_machine_failures.py` has every path that a failure can take.
"""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest

from tests.definitions import definition_text
from tests.integration.interpreter import Interpreter
from tests.integration.machines import (
    EVENT,
    ON_HPC,
    ON_LAMBDA,
    ON_RAY,
    STEP,
    TIMED_OUT,
    create_step,
    create_workflow,
    failing,
    first_then,
    given_up,
    release,
    replaced,
)


@pytest.fixture
def step(machines: Interpreter) -> Interpreter:
    """Provide the step machine, whose functions do what lets it succeed on Lambda."""
    create_step(machines)
    return machines


def run(machines: Interpreter) -> Any:
    return machines.wait(machines.start("step", "w-s", STEP))


def test_a_step_awaits_is_placed_runs_and_settles(step: Interpreter) -> None:
    assert run(step).status == "SUCCEEDED"
    names = step.names()
    assert names[:2] == ["Await", "Place"]
    assert sorted(names[2:-1]) == ["RunTask", "RunTask"]
    assert names[-1] == "Settle"
    sent = [payload for name, payload in step.called if name == "RunTask"]
    assert sorted(payload["batch"]["batch"] for payload in sent) == [0, 1]
    assert {(payload["part_key"], payload["retry"]) for payload in sent} == {("part", 0)}
    assert step.called[-1] == ("Settle", STEP)


def test_nothing_is_placed_before_the_token_is_sent(step: Interpreter) -> None:
    tokens: list[str] = []
    step.functions["Await"] = lambda payload: tokens.append(payload["token"])
    execution = step.start("step", "w-s", STEP)
    while not tokens:
        time.sleep(0.01)
    time.sleep(0.2)
    assert step.names() == ["Await"]
    release({"token": tokens[0]})
    assert step.wait(execution).status == "SUCCEEDED"


@pytest.mark.parametrize(("part", "queue"), [(ON_RAY, "RayQueue"), (ON_HPC, "HpcQueue")])
def test_a_cluster_is_told_by_its_queue_and_answers_with_the_token(
    step: Interpreter, part: dict[str, Any], queue: str
) -> None:
    step.functions["Place"] = lambda _: {"parts": [part]}
    execution = step.start("step", "w-s", STEP)
    message = step.message(queue)
    assert {name: message[name] for name in ("part_key", "job")} == {
        "part_key": "part",
        "job": part["job"],
    }
    release(message)
    assert step.wait(execution).status == "SUCCEEDED"
    assert "Replace" not in step.names()


def test_parts_on_all_platforms_run_at_once(step: Interpreter) -> None:
    step.functions["Place"] = lambda _: {"parts": [ON_LAMBDA, ON_RAY, ON_HPC]}
    execution = step.start("step", "w-s", STEP)
    tokens = [step.message("HpcQueue"), step.message("RayQueue")]
    assert "Settle" not in step.names()
    for message in tokens:
        release(message)
    assert step.wait(execution).status == "SUCCEEDED"
    assert step.names().count("RunTask") == 2


def test_a_step_without_tasks_has_no_parts_and_settles(step: Interpreter) -> None:
    step.functions["Place"] = lambda _: {"parts": []}
    assert run(step).status == "SUCCEEDED"
    assert step.names() == ["Await", "Place", "Settle"]


def test_a_failed_job_is_replaced_with_its_error(step: Interpreter) -> None:
    step.functions["Place"] = first_then([ON_RAY], [ON_LAMBDA])
    execution = step.start("step", "w-s", STEP)
    token = step.message("RayQueue")["token"]
    boto3.client("stepfunctions").send_task_failure(taskToken=token, error="JobLost", cause="gone")
    assert step.wait(execution).status == "SUCCEEDED"
    (told,) = [payload for name, payload in step.called if name == "Replace"]
    assert told["attempt"] == 1
    assert told["failure"]["Error"] == "JobLost"
    placed = [payload["attempt"] for name, payload in step.called if name == "Place"]
    assert placed == [1, 2]
    assert step.called[-1] == ("Settle", STEP | {"attempt": 2})


def test_one_failed_part_fails_the_attempt(step: Interpreter) -> None:
    step.functions["Place"] = first_then([ON_RAY, ON_HPC], [ON_LAMBDA])
    execution = step.start("step", "w-s", STEP)
    token = step.message("HpcQueue")["token"]
    boto3.client("stepfunctions").send_task_failure(taskToken=token, error="JobLost", cause="gone")
    assert step.wait(execution).status == "SUCCEEDED"
    assert step.names().count("Replace") == 1


def test_a_job_that_takes_too_long_is_replaced(step: Interpreter) -> None:
    step.functions["Place"] = first_then([ON_RAY | {"timeout_s": 1}], [ON_LAMBDA])
    assert run(step).status == "SUCCEEDED"
    (told,) = [payload for name, payload in step.called if name == "Replace"]
    assert told["failure"]["Error"] in TIMED_OUT


def test_a_job_whose_heartbeats_stop_is_replaced(machines: Interpreter) -> None:
    # 600 s in the definition; the same path with one second.
    text = definition_text("step").replace('"HeartbeatSeconds": 600', '"HeartbeatSeconds": 1')
    create_step(machines, text)
    machines.functions["Place"] = first_then([ON_HPC], [ON_LAMBDA])
    assert run(machines).status == "SUCCEEDED"
    (told,) = [payload for name, payload in machines.called if name == "Replace"]
    assert told["failure"]["Error"] in TIMED_OUT


def test_heartbeats_keep_a_job_alive(machines: Interpreter) -> None:
    text = definition_text("step").replace('"HeartbeatSeconds": 600', '"HeartbeatSeconds": 1')
    machines.create("step", text)
    machines.functions = {
        "Await": release,
        "Place": lambda _: {"parts": [ON_RAY]},
        "Settle": lambda _: {},
        "Replace": given_up,
    }
    execution = machines.start("step", "w-s", STEP)
    token = machines.message("RayQueue")["token"]
    for _ in range(8):
        boto3.client("stepfunctions").send_task_heartbeat(taskToken=token)
        time.sleep(0.2)
    release({"token": token})
    assert machines.wait(execution).status == "SUCCEEDED"


def test_a_step_that_cannot_be_placed_again_fails_with_its_reason(step: Interpreter) -> None:
    step.functions["Settle"] = failing(99, "IncompleteError", lambda _: {})
    step.functions["Replace"] = given_up
    ended = run(step)
    assert (ended.status, ended.error) == ("FAILED", "StepFailed")
    assert ended.cause == "Step s failed: it is so."


def test_an_attempt_that_does_not_settle_is_replaced(step: Interpreter) -> None:
    step.functions["Settle"] = failing(1, "IncompleteError", lambda _: {})
    assert run(step).status == "SUCCEEDED"
    assert [name for name in step.names() if name != "RunTask"] == [
        "Await",
        "Place",
        "Settle",
        "Replace",
        "Place",
        "Settle",
    ]
    (told,) = [payload for name, payload in step.called if name == "Replace"]
    assert told["failure"]["Error"] == "IncompleteError"
    assert json.loads(told["failure"]["Cause"])["errorMessage"] == "as told"


def test_a_platform_that_the_machine_does_not_have_is_replaced(step: Interpreter) -> None:
    step.functions["Place"] = first_then([{"platform": "abacus"}], [ON_LAMBDA])
    assert run(step).status == "SUCCEEDED"
    (told,) = [payload for name, payload in step.called if name == "Replace"]
    assert told["failure"]["Error"] == "UnknownPlatform"


def test_a_call_that_ran_out_of_time_is_called_again_for_the_rest(step: Interpreter) -> None:
    step.functions["RunTask"] = failing(3, "OutOfTimeError", lambda _: {"done": 1})
    assert run(step).status == "SUCCEEDED"
    assert step.names().count("RunTask") == 5
    retries = [payload["retry"] for name, payload in step.called if name == "RunTask"]
    assert sum(retry > 0 for retry in retries) == 3
    assert step.waited_s == [1, 1, 1]


@pytest.mark.parametrize("name", ["Await", "Place", "RunTask", "Settle", "Replace"])
def test_a_transient_error_is_tried_again_after_a_growing_wait(
    step: Interpreter, name: str
) -> None:
    if name == "Replace":
        step.functions["Settle"] = failing(1, "IncompleteError", lambda _: {})
    step.functions[name] = failing(3, "ClientError", step.functions[name])
    assert run(step).status == "SUCCEEDED"
    assert len(step.waited_s) == 3
    assert all(0 <= wait <= 4 for wait in step.waited_s)  # full jitter over 1, 2, 4 s


def test_a_call_that_was_killed_for_time_or_memory_is_not_made_again_but_placed_anew(
    step: Interpreter,
) -> None:
    step.functions["RunTask"] = failing(1, "Lambda.Unknown", lambda _: {"done": 1})
    step.functions["Replace"] = given_up
    # In moto a failed child does not fail its Map: what counts is that none was called again.
    run(step)
    retries = [payload["retry"] for name, payload in step.called if name == "RunTask"]
    assert retries
    assert set(retries) == {0}


def test_a_step_that_cannot_be_placed_is_replaced_until_it_is_given_up(step: Interpreter) -> None:
    step.functions["Place"] = failing(99, "ClientError", lambda _: {})
    step.functions["Replace"] = lambda p: (replaced if p["attempt"] == 1 else given_up)(p)
    ended = run(step)
    assert (ended.status, ended.cause) == ("FAILED", "Step s failed: it is so.")
    assert step.names() == ["Await"] + 2 * (7 * ["Place"] + ["Replace"])


def test_a_mistake_in_a_function_is_not_tried_again(step: Interpreter) -> None:
    step.functions["Place"] = failing(99, "KeyError", lambda _: {})
    step.functions["Replace"] = given_up
    assert run(step).status == "FAILED"
    assert step.names() == ["Await", "Place", "Replace"]
    assert step.called[-1][1]["failure"]["Error"] == "KeyError"


def test_a_wait_that_is_ended_with_a_failure_ends_the_step(step: Interpreter) -> None:
    step.functions["Await"] = lambda payload: boto3.client("stepfunctions").send_task_failure(
        taskToken=payload["token"], error="RunFailed", cause="Another step failed."
    )
    ended = run(step)
    assert (ended.status, ended.error) == ("FAILED", "RunFailed")
    assert step.names() == ["Await"]


# the workflow machine; Step is a stand-in function (see tests/integration/interpreter.py)


@pytest.fixture
def workflow(machines: Interpreter) -> Interpreter:
    """Provide the workflow machine, whose functions do what lets it succeed."""
    create_workflow(machines)
    return machines


def run_workflow(machines: Interpreter) -> Any:
    return machines.wait(machines.start("workflow", "event-1", EVENT))


def test_a_run_is_admitted_planned_run_and_reported(workflow: Interpreter) -> None:
    assert run_workflow(workflow).status == "SUCCEEDED"
    names = workflow.names()
    assert (names[:2], names[-1]) == (["Admit", "Plan"], "Report")
    told = workflow.called[0][1]
    assert told["object"] == EVENT["detail"]
    assert told["execution"].endswith(":execution:trivium-workflow:event-1")
    steps = sorted(
        (p["step"], p["run"], p["attempt"], p["name"]) for n, p in workflow.called if n == "Step"
    )
    assert steps == [(name, "r", 1, f"r-{name}") for name in "abc"]
    assert "failure" not in workflow.called[-1][1]


@pytest.mark.parametrize("verdict", ["waiting", "duplicate"])
def test_an_upload_that_is_not_to_run_ends_well_at_once(
    workflow: Interpreter, verdict: str
) -> None:
    workflow.functions["Admit"] = lambda _: {"verdict": verdict, "run": None, "reason": None}
    assert run_workflow(workflow).status == "SUCCEEDED"
    assert workflow.names() == ["Admit"]


def test_a_refused_upload_ends_badly_with_its_sentence(workflow: Interpreter) -> None:
    refusal = {"verdict": "refused", "run": "r", "reason": "There is no workflow."}
    workflow.functions["Admit"] = lambda _: refusal
    ended = run_workflow(workflow)
    assert (ended.status, ended.error, ended.cause) == (
        "FAILED",
        "RunFailed",
        "There is no workflow.",
    )
    assert workflow.names() == ["Admit"]


def test_a_run_that_cannot_be_planned_is_reported(workflow: Interpreter) -> None:
    workflow.functions["Plan"] = failing(99, "UserError", lambda _: {})
    ended = run_workflow(workflow)
    assert (ended.status, ended.cause) == ("FAILED", "The reason.")
    name, payload = workflow.called[-1]
    assert (name, payload["run"], payload["failure"]["Error"]) == ("Report", "r", "UserError")
    assert "Step" not in workflow.names()


def test_a_failed_step_fails_the_run_and_is_reported(workflow: Interpreter) -> None:
    workflow.functions["Step"] = failing(1, "StepFailed", lambda _: {"Status": "SUCCEEDED"})
    ended = run_workflow(workflow)
    assert (ended.status, ended.error, ended.cause) == ("FAILED", "RunFailed", "The reason.")
    name, payload = workflow.called[-1]
    assert (name, payload["run"], payload["failure"]["Error"]) == ("Report", "r", "StepFailed")
