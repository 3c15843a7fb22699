"""Every call of a function of the control plane leaves its cost on the run, however it ends."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from control.handler import handler
from control.stack import Stack
from tests.support import FakeClock


class Context:
    function_name = "trivium-Place"
    function_version = "$LATEST"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:trivium-Place"
    aws_request_id = "request-1"


def records(stack: Stack, run: str = "r") -> list[dict[str, Any]]:
    return stack.ledger.query(f"run#{run}", "control#")


@pytest.fixture(autouse=True)
def memory(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.settings  # it sets the environment first
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
    monkeypatch.setattr("control.handler._cold", False)


def test_a_call_is_recorded_with_its_time_and_requests(stack: Stack, clock: FakeClock) -> None:
    def logic(mine: Stack, event: dict[str, Any], _: Any) -> dict[str, Any]:
        mine.ledger.put("p", "s", {})
        mine.store.put_json("k", {})
        mine.store.get_json("k")
        clock.forward(2.5)
        return {"run": event["run"], "parts": []}

    begun = clock.at_s
    assert handler("Place")(logic)({"run": "r", "step": "s"}, Context()) == {
        "run": "r",
        "parts": [],
    }
    (record,) = records(stack)
    assert record["sk"] == "control#request-1"
    assert (record["function"], record["memory_mb"]) == ("Place", 1024)
    assert (record["started_s"], record["duration_s"], record["startup_s"]) == (begun, 2.5, 0)
    assert record["requests"] == {"dynamodb_write": 2, "s3_get": 1, "s3_put": 1}


def test_a_failed_call_is_recorded_and_fails(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    def logic(*_: Any) -> dict[str, Any]:
        raise ZeroDivisionError("of the logic")

    with pytest.raises(ZeroDivisionError, match="of the logic"):
        handler("Place")(logic)({"run": "r"}, Context())
    assert len(records(stack)) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["Errors"] for line in lines if "Errors" in line] == [[1.0]]


def test_a_call_learns_the_run_from_its_answer(stack: Stack) -> None:
    handler("Admit")(lambda *_: {"run": "new"})({"object": {}}, Context())
    assert [record["function"] for record in records(stack, "new")] == ["Admit"]


def test_a_call_without_a_run_is_recorded_nowhere(stack: Stack) -> None:
    handler("Admit")(lambda *_: {"run": None, "verdict": "waiting"})({"object": {}}, Context())
    table = stack.aws.client("dynamodb").scan(TableName=stack.settings.table)
    assert table["Items"] == []


def test_only_the_first_call_of_a_process_is_charged_with_its_start(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.handler._cold", True)
    handle = handler("Place")(lambda *_: {"run": "r"})
    for number in range(2):
        context = Context()
        context.aws_request_id = f"request-{number}"
        handle({"run": "r"}, context)
    first, second = records(stack)
    assert first["startup_s"] > 0
    assert second["startup_s"] == 0
    assert sys.modules["control.handler"]._cold is False
