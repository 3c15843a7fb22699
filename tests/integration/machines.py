"""Both machines in moto's interpreter, with functions that let them succeed, or fail as wanted."""

from __future__ import annotations

import threading
from typing import Any

import boto3

from tests.definitions import definition_text
from tests.integration.interpreter import Interpreter, LambdaError, without_nesting
from tests.support import BUCKET

STEP = {"run": "w-0123456789ab", "step": "s", "attempt": 1}
ON_LAMBDA = {
    "platform": "lambda",
    "part_key": "part",
    "batches_key": "batches.json",
    "function": "RunTask",
}
ON_RAY = {"platform": "ray", "part_key": "part", "job": "job-1", "timeout_s": 600}
ON_HPC = {"platform": "hpc", "part_key": "part", "job": "job-2", "timeout_s": 600}
# The names on AWS, and the one that moto makes of them on the way out of a Map.
TIMED_OUT = {"States.Timeout", "States.HeartbeatTimeout", "States.Runtime"}

EVENT = {"detail": {"bucket": {"name": BUCKET}, "object": {"key": "raw/w/a.txt"}}}


def create_step(machines: Interpreter, text: str | None = None) -> None:
    """Create the step machine, from a text made from its definition if one is given."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="batches.json", Body=b'[{"batch": 0}, {"batch": 1}]')
    machines.create("step", text)
    machines.functions = {
        "Await": release,
        "Place": lambda _: {"parts": [ON_LAMBDA]},
        "RunTask": lambda _: {"done": 1},
        "Settle": lambda _: {"tasks": 2},
        "Replace": replaced,
    }


def create_workflow(machines: Interpreter, text: str | None = None) -> None:
    """Create the workflow machine, from a text made from its definition if one is given.

    Its state Step calls a stand-in function.
    """
    machines.create("workflow", without_nesting(text or definition_text("workflow")))
    machines.functions = {
        "Admit": lambda _: {"verdict": "admitted", "run": "r", "reason": None},
        "Plan": lambda _: {"run": "r", "steps": ["a", "b", "c"]},
        "Step": lambda _: {"Status": "SUCCEEDED"},
        "Report": reported,
    }


def release(payload: dict[str, Any]) -> dict[str, Any]:
    boto3.client("stepfunctions").send_task_success(taskToken=payload["token"], output="{}")
    return {}


def replaced(payload: dict[str, Any]) -> dict[str, Any]:
    more = {"verdict": "replaced", "attempt": payload["attempt"] + 1, "reason": None}
    return {"run": payload["run"], "step": payload["step"]} | more


def given_up(payload: dict[str, Any]) -> dict[str, Any]:
    return replaced(payload) | {"verdict": "failed", "reason": "Step s failed: it is so."}


def reported(payload: dict[str, Any]) -> dict[str, Any]:
    if "failure" in payload:
        return {"run": payload["run"], "status": "failed", "reason": "The reason."}
    return {"run": payload["run"], "status": "succeeded", "reason": None}


def first_then(first: list[Any], then: list[Any]) -> Any:
    """Return a Place that places the first attempt there, and all others here."""
    return lambda payload: {"parts": first if payload["attempt"] == 1 else then}


def failing(times: int, error: str, then: Any) -> Any:
    """Return a function that fails so many times and then does as `then`."""
    left = threading.Semaphore(times)

    def function(payload: dict[str, Any]) -> Any:
        if left.acquire(blocking=False):
            raise LambdaError(error, "as told")
        return then(payload)

    return function
