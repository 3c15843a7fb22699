"""Every catcher, retrier and time-out of both machines, in moto's interpreter.

The list comes from the definitions: one that is added there fails the first test until it is here.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched, groupby
from typing import Any

import boto3
import pytest

from tests.definitions import MACHINES, definition_text, failure_paths, retried_errors, scopes
from tests.definitions import states as states_of
from tests.integration.interpreter import Ended, Function, Interpreter, LambdaError, with_numbers
from tests.integration.machines import (
    EVENT,
    ON_HPC,
    ON_LAMBDA,
    ON_RAY,
    STEP,
    create_step,
    create_workflow,
    failing,
    given_up,
)
from tests.support import BUCKET

type Change = Callable[[Interpreter], None]
TRIES = 7  # the first, and six more
REASON = "Step s failed: it is so."


@dataclass(frozen=True)
class Path:
    """What takes a machine down a path, the functions that it calls, and how it ends."""

    change: Change
    called: list[str]
    status: str = "FAILED"
    error: str | None = None
    cause: str | None = None


def always(name: str, error: str) -> Change:
    """Let a function fail always."""
    return lambda machines: machines.functions.update({name: failing(999, error, lambda _: {})})


def replies(name: str, function: Function) -> Change:
    """Let a function do this."""
    return lambda machines: machines.functions.update({name: function})


def slow(name: str, times: int = 999) -> Change:
    """Let a function's first calls take longer than a time-out of a second."""

    def change(machines: Interpreter) -> None:
        then, left = machines.functions[name], threading.Semaphore(times)

        def function(payload: dict[str, Any]) -> Any:
            if left.acquire(blocking=False):
                time.sleep(1.5)
            return then(payload)

        machines.functions[name] = function

    return change


def both(*changes: Change) -> Change:
    def change(machines: Interpreter) -> None:
        for one in changes:
            one(machines)

    return change


NEVER_SENT = replies("Await", lambda _: {})
ONE_TASK = replies("Place", lambda _: {"parts": [ON_LAMBDA | {"batches_key": "one.json"}]})
# In moto a failed child does not fail its Distributed Map: Settle counts what is there.
NOT_ALL_DONE = always("Settle", "IncompleteError")
BEFORE = ["Await", "Place"]
AWAY = {"cause": REASON, "error": "StepFailed"}
REPORTED = {"cause": "The reason.", "error": "RunFailed"}


def placed(part: dict[str, Any]) -> Change:
    return replies("Place", lambda _: {"parts": [part]})


PATHS = {
    "step: TimeoutSeconds": Path(NEVER_SENT, ["Await"], "TIMED_OUT"),
    "step: Await TimeoutSeconds": Path(NEVER_SENT, ["Await"], error="States.Timeout"),
    "step: Await Retry 0": Path(
        always("Await", "ClientError"), TRIES * ["Await"], error="ClientError"
    ),
    "step: Place TimeoutSeconds": Path(slow("Place"), [*BEFORE, "Replace"], **AWAY),
    "step: Place Retry 0": Path(
        always("Place", "ClientError"), ["Await", *TRIES * ["Place"], "Replace"], **AWAY
    ),
    "step: Place Catch 0": Path(always("Place", "KeyError"), [*BEFORE, "Replace"], **AWAY),
    "step: Parts Catch 0": Path(placed({"platform": "abacus"}), [*BEFORE, "Replace"], **AWAY),
    "step: RunTask TimeoutSeconds": Path(
        both(ONE_TASK, slow("RunTask"), NOT_ALL_DONE),
        [*BEFORE, "RunTask", "Settle", "Replace"],
        **AWAY,
    ),
    "step: RunTask Retry 0": Path(
        both(ONE_TASK, always("RunTask", "OutOfTimeError"), NOT_ALL_DONE),
        [*BEFORE, *101 * ["RunTask"], "Settle", "Replace"],
        **AWAY,
    ),
    "step: RunTask Retry 1": Path(
        both(ONE_TASK, always("RunTask", "ClientError"), NOT_ALL_DONE),
        [*BEFORE, *TRIES * ["RunTask"], "Settle", "Replace"],
        **AWAY,
    ),
    "step: OnRay TimeoutSecondsPath": Path(
        placed(ON_RAY | {"timeout_s": 1}), [*BEFORE, "Replace"], **AWAY
    ),
    "step: OnRay HeartbeatSeconds": Path(placed(ON_RAY), [*BEFORE, "Replace"], **AWAY),
    "step: OnHpc TimeoutSecondsPath": Path(
        placed(ON_HPC | {"timeout_s": 1}), [*BEFORE, "Replace"], **AWAY
    ),
    "step: OnHpc HeartbeatSeconds": Path(placed(ON_HPC), [*BEFORE, "Replace"], **AWAY),
    "step: Settle TimeoutSeconds": Path(
        both(ONE_TASK, slow("Settle")), [*BEFORE, "RunTask", "Settle", "Replace"], **AWAY
    ),
    "step: Settle Retry 0": Path(
        both(ONE_TASK, always("Settle", "ClientError")),
        [*BEFORE, "RunTask", *TRIES * ["Settle"], "Replace"],
        **AWAY,
    ),
    "step: Settle Catch 0": Path(
        both(ONE_TASK, always("Settle", "UserError")),
        [*BEFORE, "RunTask", "Settle", "Replace"],
        **AWAY,
    ),
    "step: Replace TimeoutSeconds": Path(
        both(always("Place", "KeyError"), slow("Replace")),
        [*BEFORE, "Replace"],
        error="States.Timeout",
    ),
    "step: Replace Retry 0": Path(
        both(always("Place", "KeyError"), always("Replace", "ClientError")),
        [*BEFORE, *TRIES * ["Replace"]],
        error="ClientError",
    ),
    "workflow: TimeoutSeconds": Path(slow("Step"), ["Admit", "Plan", "Step"], "TIMED_OUT"),
    "workflow: Admit TimeoutSeconds": Path(slow("Admit"), ["Admit"], error="States.Timeout"),
    "workflow: Admit Retry 0": Path(
        always("Admit", "ClientError"), TRIES * ["Admit"], error="ClientError"
    ),
    "workflow: Plan TimeoutSeconds": Path(slow("Plan"), ["Admit", "Plan", "Report"], **REPORTED),
    "workflow: Plan Retry 0": Path(
        always("Plan", "ClientError"), ["Admit", *TRIES * ["Plan"], "Report"], **REPORTED
    ),
    "workflow: Plan Catch 0": Path(
        always("Plan", "UserError"), ["Admit", "Plan", "Report"], **REPORTED
    ),
    "workflow: Steps Catch 0": Path(
        always("Step", "StepFailed"), ["Admit", "Plan", "Step", "Report"], **REPORTED
    ),
    "workflow: Step TimeoutSeconds": Path(
        slow("Step"), ["Admit", "Plan", "Step", "Report"], **REPORTED
    ),
    "workflow: Report TimeoutSeconds": Path(
        slow("Report", 1), ["Admit", "Plan", "Step", "Report", "Report"], "SUCCEEDED"
    ),
    "workflow: Report Retry 0": Path(
        always("Report", "KeyError"),
        ["Admit", "Plan", "Step", *TRIES * ["Report"]],
        error="KeyError",
    ),
}


def test_every_path_that_a_failure_can_take_has_a_case() -> None:
    assert set(PATHS) == {path for machine in MACHINES for path in failure_paths(machine)}


@pytest.mark.parametrize("name", PATHS)
def test_a_failure_ends_where_it_must(machines: Interpreter, name: str) -> None:
    path = PATHS[name]
    machine = create(machines, name)
    path.change(machines)
    ended = run(machines, machine)
    assert (ended.status, machines.names()) == (path.status, path.called)
    assert path.error in {None, ended.error}
    assert path.cause in {None, ended.cause}
    told = [payload for name, payload in machines.called if name in {"Replace", "Report"}]
    if path.cause:
        assert all(payload["failure"]["Error"] for payload in told)


def errors_by_state() -> Iterator[tuple[str, str, list[str]]]:
    """Yield errors that one state tries again, as many at once as it tries."""
    for machine in MACHINES:
        for (name, number), found in groupby(retried_errors(machine), lambda one: one[:2]):
            most = states_of(machine)[name]["Retry"][number]["MaxAttempts"]
            # Names of classes of errors, not of errors: PATHS has those.
            errors = [error for *_, error in found if not error.startswith("States.")]
            yield from ((machine, name, list(some)) for some in batched(errors, most, strict=False))


@pytest.mark.parametrize(("machine", "name", "errors"), list(errors_by_state()))
def test_every_error_that_is_said_to_pass_is_tried_again(
    machines: Interpreter, machine: str, name: str, errors: list[str]
) -> None:
    create(machines, machine)
    if machine == "step":
        ONE_TASK(machines)
    if name == "Replace":
        always("Place", "KeyError")(machines)
    machines.functions[name] = failing_with(errors, machines.functions[name])
    ended = run(machines, machine)
    assert ended.status == ("FAILED" if name == "Replace" else "SUCCEEDED")
    assert ended.cause == (REASON if name == "Replace" else None)
    assert machines.names().count(name) == len(errors) + 1


def failing_with(errors: Sequence[str], then: Function) -> Function:
    left = list(reversed(errors))

    def function(payload: dict[str, Any]) -> Any:
        if left:
            raise LambdaError(left.pop(), "as told")
        return then(payload)

    return function


def create(machines: Interpreter, path: str) -> str:
    """Create the machine that a path belongs to, with its time-out, if it is one, of a second."""
    machine, _, place = path.partition(": ")
    text = shortened(machine, place)
    if machine == "step":
        create_step(machines, text)
        boto3.client("s3").put_object(Bucket=BUCKET, Key="one.json", Body=b"[{}]")
        machines.functions["Replace"] = given_up
    else:
        create_workflow(machines, text)
        machines.functions["Plan"] = lambda _: {"run": "r", "steps": ["a"]}
    return machine


def shortened(machine: str, place: str) -> str:
    whole = json.loads(with_numbers(definition_text(machine)))
    *name, field = place.split(" ")
    if field.endswith("Seconds"):
        holders = (
            [
                state
                for scope in scopes(whole)
                for key, state in scope["States"].items()
                if key in name
            ]
            if name
            else [whole]
        )
        for holder in holders:
            holder[field] = 1
    return json.dumps(whole)


def run(machines: Interpreter, machine: str) -> Ended:
    value = STEP if machine == "step" else EVENT
    return machines.wait(machines.start(machine, "e-1", value))
