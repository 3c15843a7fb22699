"""Whole steps with the real handlers and the real tasks, in moto's interpreter.

All step executions of a run start at once, as the workflow machine starts them, and each waits for
its own inputs only. Ray and MPI are stood in for by this process, which does what their agents do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from control.orchestration import transitions
from control.stack import Stack
from runtime.batch import Batch, Call, Part, run_batch
from runtime.clock import now_s
from runtime.cluster_log import ClusterLog, JobFacts
from runtime.keys import StepKeys
from tests.integration.interpreter import Ended, Interpreter, handler_of, interpreting
from tests.support import BUCKET, ENVIRONMENT, make_stack, set_environment

TEXT = "b a\nc b\na b\n" * 40
EVENT = {
    "execution": "arn:aws:states:us-east-1:123456789012:execution:trivium-workflow:e",
    "started_at": "2026-01-01T00:00:00Z",
}
# The others are states of a part, which its attempt is charged with.
OF_A_STEP = {"Await", "Place", "Parts", "Settle", "Replace", "Replaced", "StepFailed"}
CONTROL = ("admit", "plan", "await", "place", "settle", "replace", "report")


@dataclass
class Run:
    """One run on one stack: admitted, planned, with its step executions."""

    machines: Interpreter
    stack: Stack
    name: str = ""
    ended: dict[str, Ended] = field(default_factory=dict)

    def begin(self, text: bytes = TEXT.encode(), **options: Any) -> list[str]:
        """Upload, admit and plan as the workflow machine does; return the steps."""
        folder = "raw/word-count/a sample"
        s3 = boto3.client("s3")
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/my text.txt", Body=text)
        manifest = json.dumps({"files": ["my text.txt"], **options}).encode()
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/manifest.json", Body=manifest)
        detail = {"bucket": {"name": BUCKET}, "object": {"key": f"{folder}/manifest.json"}}
        answer = self.call("Admit", EVENT | {"object": detail})
        assert answer["verdict"] == "admitted", answer
        self.name = answer["run"]
        return list(self.call("Plan", {"run": self.name})["steps"])

    def call(self, function: str, payload: dict[str, Any]) -> dict[str, Any]:
        return self.machines.functions[function](payload) or {}

    def start(self, steps: list[str]) -> dict[str, str]:
        """Start all step executions at once, the last first."""
        return {
            step: self.machines.start(
                "step", f"{self.name}-{step}", {"run": self.name, "step": step, "attempt": 1}
            )
            for step in reversed(steps)
        }

    def wait(self, executions: dict[str, str]) -> dict[str, Ended]:
        return {step: self.machines.wait(arn) for step, arn in executions.items()}

    def item(self, step: str) -> dict[str, Any]:
        return self.stack.ledger.get(f"run#{self.name}", f"step#{step}") or {}

    def attempts(self, step: str) -> list[dict[str, Any]]:
        return self.stack.ledger.query(f"run#{self.name}", f"attempt#{step}#")

    def entered(self, executions: dict[str, str]) -> int:
        """Count the states of a run by the histories of its steps, but for those of its parts.

        The workflow machine, which does not run here, enters seven, and Step for each step.
        """
        pages = [
            page
            for arn in executions.values()
            for page in boto3.client("stepfunctions")
            .get_paginator("get_execution_history")
            .paginate(executionArn=arn)
        ]
        names = [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]
        return 7 + len(executions) + sum(name in OF_A_STEP for name in names)

    def charged_states(self) -> int:
        """Return the states that the account derives, before the run is reported."""
        items = self.stack.ledger.query(f"run#{self.name}", "step#")
        return transitions(self.stack.ledger.query(f"run#{self.name}", "control#"), items)

    def report(self, failure: dict[str, Any] | None = None) -> dict[str, Any]:
        payload = {"run": self.name} | ({} if failure is None else {"failure": failure})
        self.call("Report", payload)
        return dict(self.stack.store.get_json(f"runs/{self.name}/report.json"))

    def answer(self) -> dict[str, Any]:
        """Return what the workflow found out."""
        ((key, _),) = self.stack.store.get_json(StepKeys(self.name, "summary").output)["shards"]
        return dict(self.stack.store.get_json(key))


@contextmanager
def a_run(patch: pytest.MonkeyPatch) -> Iterator[Run]:
    functions = dict.fromkeys(("1024", "1769", "7076"), "RunTask")
    more = {
        "TRIVIUM_RUN_TASK_FUNCTIONS": json.dumps(functions),
        "TRIVIUM_TMP_MB": "512",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    }
    set_environment(patch, ENVIRONMENT | more)
    with interpreting() as machines:
        stack = make_stack()
        machines.create("step")
        machines.functions = {name.capitalize(): handler_of(name) for name in CONTROL}
        machines.functions["RunTask"] = handler_of("run_task")
        yield Run(machines, stack)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    with a_run(monkeypatch) as made:
        yield made


@pytest.fixture(scope="class")
def finished() -> Iterator[Run]:
    """Provide a run of a diamond that has ended well and is reported; only to be looked at."""
    with pytest.MonkeyPatch.context() as patch, a_run(patch) as made:
        steps = made.begin(policy="all-lambda")
        made.ended = made.wait(made.start(steps))
        made.report()
        yield made


def counted(text: str) -> dict[str, int]:
    """Count words apart from the code under test."""
    return dict(Counter(text.split()))


STEPS = ["pieces", "sizes", "words", "summary"]


class TestAFinishedRun:
    def test_a_diamond_of_steps_runs_to_the_right_answer(self, finished: Run) -> None:
        assert {one.status for one in finished.ended.values()} == {"SUCCEEDED"}
        answer = finished.answer()
        assert answer["counts"] == counted(TEXT)
        assert (answer["lines"], answer["words"]) == (120, 240)
        assert {finished.item(step)["status"] for step in STEPS} == {"done"}

    def test_no_step_begins_before_its_predecessors_are_settled(self, finished: Run) -> None:
        before = {"words": ["pieces"], "sizes": ["pieces"], "summary": ["words", "sizes"]}
        for step in STEPS:
            (attempt,) = finished.attempts(step)
            for earlier in before.get(step, []):
                assert finished.item(earlier)["ended_s"] <= attempt["queued_s"]
            assert attempt["queued_s"] <= attempt["started_s"] <= attempt["ended_s"]

    def test_every_call_that_was_made_is_charged(self, finished: Run) -> None:
        control = finished.stack.ledger.query(f"run#{finished.name}", "control#")
        made = Counter(name for name in finished.machines.names() if name != "RunTask")
        made.update(["Admit", "Plan", "Report"])  # called by this test, not by a machine
        assert Counter(item["function"] for item in control) == made
        calls = sum(int(one["calls"]) for step in STEPS for one in finished.attempts(step))
        assert calls == finished.machines.names().count("RunTask")

    def test_a_run_ends_with_a_report_of_every_step(self, finished: Run) -> None:
        report = finished.stack.store.get_json(f"runs/{finished.name}/report.json")
        assert (report["status"], report["reason"]) == ("succeeded", None)
        assert [row["step"] for row in report["steps"]] == STEPS
        assert {row["platform"] for row in report["steps"]} == {"lambda"}
        assert all(row["measured"]["wall_s"] > 0 for row in report["steps"])
        item = finished.stack.ledger.get(f"run#{finished.name}", "run") or {}
        assert (item["status"], item["measured"]) == ("succeeded", report["measured"])
        page = finished.stack.store.get_bytes(f"runs/{finished.name}/report.html").decode()
        assert finished.name in page


def test_a_wrong_input_ends_the_run_with_its_sentence_and_on_no_other_platform(run: Run) -> None:
    steps = run.begin(text=b"caf\xe9 au lait")
    run.stack.ledger.set(
        f"run#{run.name}",
        "step#pieces",
        {"placements": [LAMBDA, RAY]},
    )
    executions = run.start(steps)
    ended = run.machines.wait(executions["pieces"])
    assert (ended.status, ended.error) == ("FAILED", "StepFailed")
    # The local name of the input is the one that a shell would take for a name.
    assert ended.cause == (
        "Step pieces failed: my_text.txt is not text in UTF-8 (byte 3); convert it first."
    )
    report = run.report({"Error": "StepFailed", "Cause": json.dumps({"Cause": ended.cause})})
    assert (report["status"], report["reason"]) == ("failed", ended.cause)
    assert [one["outcome"] for one in run.attempts("pieces")] == ["failed"]


def test_the_other_steps_of_a_failed_run_stop_waiting(run: Run) -> None:
    steps = run.begin(policy="all-lambda")
    run.stack.ledger.set(f"run#{run.name}", "step#pieces", {"placements": [RAY]})
    executions = run.start(steps)
    token = run.machines.message("RayQueue")["token"]
    boto3.client("stepfunctions").send_task_failure(taskToken=token, error="JobLost", cause="gone")
    ended = run.wait(executions)
    assert {step: (one.status, one.error) for step, one in ended.items()} == {
        "pieces": ("FAILED", "StepFailed"),
        "words": ("FAILED", "RunFailed"),
        "sizes": ("FAILED", "RunFailed"),
        "summary": ("FAILED", "RunFailed"),
    }
    assert run.entered(executions) == run.charged_states()
    report = run.report({"Error": "RunFailed", "Cause": "The run failed."})
    assert report["reason"] == ended["pieces"].cause
    assert {step: run.item(step)["status"] for step in steps} == {
        "pieces": "failed",
        "words": "stopped",
        "sizes": "stopped",
        "summary": "stopped",
    }


LAMBDA = [{"platform": "lambda", "size": {"memory_mb": 1024, "batches": 2}, "share": 1.0}]
RAY = [
    {
        "platform": "ray",
        "size": {
            "instance_type": "c7i.large",
            "nodes": 1,
            "slots": 2,
            "batches": 2,
            "start": "warm",
        },
        "share": 1.0,
    }
]


def do_as_an_agent(run: Run, message: dict[str, Any], *, batches: int | None = None) -> None:
    """Run a part's batches as the runners on a cluster do, and leave the exit record."""
    stack = run.stack
    description = stack.store.get_json(message["part_key"])
    part, begun_s = Part.from_json(description), now_s()
    for number, item in enumerate(stack.store.get_json(description["batches_key"])[:batches]):
        call = Call(f"call-{number}", "worker", now_s(), 0.0)
        run_batch(stack.aws, stack.store, part, Batch.from_json(item), call, retried=True)
    record = {
        "started_s": begun_s,
        "ready_s": begun_s,
        "ended_s": now_s(),
        "outcome": "succeeded",
        "requests": {},
    }
    stack.store.put_json(part.keys.exit_record(part.attempt, part.part), record)


def test_a_step_whose_platform_fails_goes_on_where_it_stopped_on_the_next(run: Run) -> None:
    steps = run.begin(policy="all-lambda")
    run.stack.ledger.set(f"run#{run.name}", "step#words", {"placements": [RAY, LAMBDA]})
    executions = run.start(steps)
    message = run.machines.message("RayQueue")
    facts = JobFacts.of_part(run.stack.store.get_json(message["part_key"]))
    log = ClusterLog(run.stack.ledger, "ray")
    log.note_job(facts, started_s=facts.queued_s + 1, ended_s=facts.queued_s + 3)
    boto3.client("stepfunctions").send_task_failure(
        taskToken=message["token"], error="JobLost", cause="The job ended as FAILED."
    )
    ended = run.wait(executions)
    assert {one.status for one in ended.values()} == {"SUCCEEDED"}
    assert run.entered(executions) == run.charged_states()
    assert run.answer()["counts"] == counted(TEXT)
    first, second = run.attempts("words")
    assert (first["platform"], first["outcome"]) == ("ray", "replaced")
    assert (second["platform"], second["outcome"]) == ("lambda", "succeeded")
    report = run.report()
    (row,) = [row for row in report["steps"] if row["step"] == "words"]
    assert row["platform"] == "lambda"
    assert [one["outcome"] for one in row["attempts"]] == ["replaced", "succeeded"]
    names = {item["what"] for item in row["items"]}
    assert {"c7i.large nodes", "Lambda requests"} <= names


def test_a_job_that_says_it_is_done_but_left_a_task_out_is_not_believed(run: Run) -> None:
    steps = run.begin(policy="all-lambda")
    run.stack.ledger.set(f"run#{run.name}", "step#words", {"placements": [RAY, LAMBDA]})
    executions = run.start(steps)
    message = run.machines.message("RayQueue")
    do_as_an_agent(run, message, batches=0)
    boto3.client("stepfunctions").send_task_success(taskToken=message["token"], output="{}")
    ended = run.wait(executions)
    assert {one.status for one in ended.values()} == {"SUCCEEDED"}
    assert run.entered(executions) == run.charged_states()
    assert [one["outcome"] for one in run.attempts("words")] == ["replaced", "succeeded"]
    assert run.answer()["counts"] == counted(TEXT)


def test_a_step_on_a_cluster_settles_like_one_on_lambda(run: Run) -> None:
    steps = run.begin(policy="all-lambda")
    run.stack.ledger.set(f"run#{run.name}", "step#words", {"placements": [RAY]})
    executions = run.start(steps)
    message = run.machines.message("RayQueue")
    assert message["job"] == f"{run.name}-words-a1-p0"
    do_as_an_agent(run, message)
    boto3.client("stepfunctions").send_task_success(taskToken=message["token"], output="{}")
    ended = run.wait(executions)
    assert {one.status for one in ended.values()} == {"SUCCEEDED"}
    assert run.answer()["counts"] == counted(TEXT)
    assert [row["platform"] for row in run.report()["steps"]] == [
        "lambda",
        "lambda",
        "ray",
        "lambda",
    ]
