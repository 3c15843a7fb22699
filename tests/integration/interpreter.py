"""Runs the state machines in moto's interpreter, with Python callables as their Lambda functions.

Departures from AWS, seen in moto 5: a failed child does not fail a Distributed Map (it ends without
a result, and Settle finds that out); a time-out inside a Map comes out of it as States.Runtime; the
cause of a failed token is dropped;
`states:startExecution.sync:2` cannot be run, so the state Step of the workflow machine is replaced
by a call of a stand-in function.
"""

from __future__ import annotations

import importlib.util
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest import mock

import boto3
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils

from tests.definitions import ROOT, definition_text
from tests.support import BUCKET, REGION

ROLE = "arn:aws:iam::123456789012:role/machine"
LONGEST_S = 30.0
type Function = Callable[[dict[str, Any]], dict[str, Any] | None]


class LambdaError(Exception):
    """Raised by a stand-in to fail with an error of a given name."""

    def __init__(self, name: str, message: str = "") -> None:
        super().__init__(message)
        self.name = name


class Ended(NamedTuple):
    """How an execution ended."""

    status: str
    error: str | None
    cause: str | None
    output: Any


@dataclass
class Interpreter:
    """Functions by name, what they were called with, and how long retries have waited."""

    functions: dict[str, Function] = field(default_factory=dict)
    called: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)
    queues: dict[str, str] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)

    def invoke(self, FunctionName: str, Payload: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        """Stand in for the Lambda client, and report errors as the Lambda runtime does."""
        payload = json.loads(Payload)
        self.called.append((FunctionName, payload))
        try:
            answer: Any = self.functions[FunctionName](payload)
        except Exception as error:  # noqa: BLE001 - as the Lambda runtime does
            name = error.name if isinstance(error, LambdaError) else type(error).__name__
            said = {"errorMessage": str(error), "errorType": name, "stackTrace": []}
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": _body(said)}
        return {"StatusCode": 200, "Payload": _body(answer)}

    def names(self) -> list[str]:
        """Return the names of the functions that were called, in order."""
        return [name for name, _ in self.called]

    def create(self, machine: str, text: str | None = None, **more: str) -> None:
        """Create a machine from its definition file, or from a text made from it."""
        values = {f"{name}Arn": name for name in ("Admit", "Plan", "Report", *STEP_FUNCTIONS)}
        values |= {"Bucket": BUCKET, "LambdaConcurrency": "2", "StepsAtOnce": "4"}
        values |= {"PartsAtOnce": "4"} | more
        for name in ("RayQueue", "HpcQueue"):
            url = boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
            values[f"{name}Url"] = self.queues[name] = url
        text = definition_text(machine) if text is None else text
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        made = boto3.client("stepfunctions").create_state_machine(
            name=f"trivium-{machine}", definition=text, roleArn=ROLE
        )
        self.machines[machine] = made["stateMachineArn"]

    def start(self, machine: str, name: str, value: Mapping[str, Any]) -> str:
        """Start an execution; return its ARN."""
        made = boto3.client("stepfunctions").start_execution(
            stateMachineArn=self.machines[machine], name=name, input=json.dumps(value)
        )
        return str(made["executionArn"])

    def wait(self, execution: str) -> Ended:
        """Wait for an execution's end, for at most half a minute."""
        until = time.monotonic() + LONGEST_S
        while time.monotonic() < until:
            found = boto3.client("stepfunctions").describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                output = json.loads(found["output"]) if found.get("output") else None
                return Ended(found["status"], found.get("error"), found.get("cause"), output)
            time.sleep(0.02)
        raise AssertionError(f"{execution} did not end; called: {self.names()}")

    def message(self, queue: str) -> dict[str, Any]:
        """Take one message from a queue, as an agent does; wait for it."""
        sqs, url = boto3.client("sqs"), self.queues[queue]
        until = time.monotonic() + LONGEST_S
        while time.monotonic() < until:
            for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                return dict(json.loads(message["Body"]))
            time.sleep(0.02)
        raise AssertionError(f"nothing came into {queue}; called: {self.names()}")


STEP_FUNCTIONS = ("Await", "Place", "Settle", "Replace")


@contextmanager
def interpreting() -> Iterator[Interpreter]:
    """Mock AWS with machines that run; retries wait a moment only, and how long they would."""
    interpreter = Interpreter()
    inner: Any = vars(lambda_eval_utils)["boto_client_for"]

    def client_for(service: str, **parameters: Any) -> Any:
        return interpreter if service == "lambda" else inner(service=service, **parameters)

    def sleep(seconds: float) -> None:
        interpreter.waited_s.append(seconds)
        time.sleep(0.01)

    with (
        mock_aws(config={"stepfunctions": {"execute_state_machine": True}}),
        mock.patch.object(lambda_eval_utils, "boto_client_for", client_for),
        mock.patch.object(retrier_decl, "time", mock.Mock(sleep=sleep)),
    ):
        yield interpreter


def without_nesting(text: str) -> str:
    """Return the workflow machine with a call of the function Step for a nested execution."""
    nested = '"Resource": "arn:aws:states:::states:startExecution.sync:2"'
    assert text.count(nested) == 1
    state = json.loads(with_numbers(text))["States"]["Steps"]["ItemProcessor"]["States"]["Step"]
    assert set(state["Parameters"]) == {"StateMachineArn", "Name.$", "Input"}
    whole = json.loads(with_numbers(text))
    whole["States"]["Steps"]["ItemProcessor"]["States"]["Step"] = state | {
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {
            "FunctionName": "Step",
            "Payload": state["Parameters"]["Input"] | {"name.$": state["Parameters"]["Name.$"]},
        },
        "ResultSelector": {"status.$": "$.Payload.Status"},
    }
    return json.dumps(whole)


def with_numbers(text: str) -> str:
    """Return a definition with the numbers that the deployment fills in, so that it is JSON."""
    for name, value in (("StepsAtOnce", "4"), ("PartsAtOnce", "4"), ("LambdaConcurrency", "2")):
        text = text.replace(f"${{{name}}}", value)
    return text


class Context:
    """A Lambda context: names and time left."""

    function_name = "function"
    function_version = "$LATEST"
    memory_limit_in_mb = 512
    invoked_function_arn = f"arn:aws:lambda:{REGION}:123456789012:function:function"
    aws_request_id = ""
    _made = 0

    def __init__(self) -> None:
        Context._made += 1
        self.aws_request_id = f"request-{Context._made}"

    def get_remaining_time_in_millis(self) -> int:
        """Return a minute."""
        return 60_000


def handler_of(folder: str) -> Function:
    """Load a handler as the Lambda runtime does; the environment must be set."""
    path = ROOT / "functions" / folder / "app.py"
    spec = importlib.util.spec_from_file_location(f"function_{folder}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda payload: dict(module.lambda_handler(payload, Context()))


def _body(value: Any) -> io.BytesIO:
    return io.BytesIO(json.dumps(value).encode())
