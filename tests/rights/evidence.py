"""Where a denial can be read: in what a run, an agent, a job or a command says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.ledger import Ledger
from runtime.requests import Aws
from trivium.local.stack import LocalStack, home

# How many executions are looked through for that of an upload, the newest first: each file of it
# starts one, and others hardly run beside.
NEWEST = 10


@dataclass(frozen=True)
class Decision:
    """One line of the emulator's access log."""

    holder: str  # the name of a role or of a user
    action: str
    resource: str
    allowed: bool


class AccessLog:
    """What the emulator decided, from one moment on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._start = file.stat().st_size if file.exists() else 0

    def decisions(self) -> list[Decision]:
        """Return every decision since this object was made."""
        with self._file.open("rb") as log:
            log.seek(self._start)
            whole = log.read().rpartition(b"\n")[0]
        return [_decision(json.loads(line)) for line in whole.splitlines()]


def _decision(note: dict[str, Any]) -> Decision:
    kind, name = note["principal"].split(":")[5].split("/")[:2]
    assert kind in {"assumed-role", "user"}, note
    return Decision(name, note["action"], note["resource"], note["allowed"])


class Logs:
    """What the agents and their jobs have printed, from one moment on."""

    def __init__(self) -> None:
        self._start = {file: file.stat().st_size for file in _log_files()}

    def mention(self, words: str) -> str | None:
        """Return which log says these words."""
        for file in _log_files():
            with file.open("rb") as log:
                log.seek(self._start.get(file, 0))
                if words.encode() in log.read():
                    of_agent = file.name.startswith("agent-")
                    return "the agent's log" if of_agent else "the job's log"
        return None


def _log_files() -> list[Path]:
    processes = home() / "processes"
    ray = Path((processes / "ray.folder").read_text())
    return sorted(
        [
            *processes.glob("agent-*.log"),
            *home().glob("work-*/*.log"),
            *ray.glob("session_latest/logs/job-driver-*.log"),
        ]
    )


def mention(stack: LocalStack, upload: str, run: str | None, words: str) -> str | None:
    """Return where the words stand in what is on record of an upload, the plainest place first."""
    ledger = Ledger(stack.root, stack.outputs["Ledger"])
    if run is not None:
        item = ledger.get(f"run#{run}", "run") or {}
        if words in str(item.get("reason")):
            return "the run's reason"
        attempts = ledger.query(f"run#{run}", "attempt#")
        if any(words in json.dumps(one, default=str) for one in attempts):
            return "an attempt's reason"
    found = [execution(stack, upload)]
    if run is not None:
        found += steps(stack, run)
    if any(words in cause for arn in found if arn for cause in _causes(stack.root, arn)):
        return "the execution's history"
    if run is not None and any(
        words in cause for arn in steps(stack, run) for cause in _children(stack.root, arn)
    ):
        return "a child execution's cause"
    if words in _dead_letters(stack, upload):
        return "the dead letters of uploads"
    return None


def execution(stack: LocalStack, upload: str) -> str | None:
    """Return the workflow execution that an upload has started, if it has started one."""
    client = stack.root.client("stepfunctions")
    newest = client.list_executions(
        stateMachineArn=stack.outputs["WorkflowMachineArn"], maxResults=NEWEST
    )
    for entry in newest["executions"]:
        arn = str(entry["executionArn"])
        if upload in client.describe_execution(executionArn=arn)["input"]:
            return arn
    return None


def steps(stack: LocalStack, run: str) -> list[str]:
    """Return the executions of a run's steps."""
    client = stack.root.client("stepfunctions")
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=stack.outputs["StepMachineArn"]
    )
    return [
        str(entry["executionArn"])
        for page in pages
        for entry in page["executions"]
        if entry["name"].startswith(run)
    ]


def stop(stack: LocalStack, upload: str, run: str | None) -> None:
    """Stop what an upload has started and still runs."""
    client = stack.root.client("stepfunctions")
    for arn in [execution(stack, upload), *(steps(stack, run) if run is not None else [])]:
        if arn is not None and client.describe_execution(executionArn=arn)["status"] == "RUNNING":
            client.stop_execution(executionArn=arn)


def _causes(root: Aws, arn: str) -> Iterator[str]:
    pages = root.client("stepfunctions").get_paginator("get_execution_history")
    for page in pages.paginate(executionArn=arn):
        for event in page["events"]:
            yield from (
                str(details["cause"])
                for details in event.values()
                if isinstance(details, dict) and "cause" in details
            )


def _children(root: Aws, arn: str) -> Iterator[str]:
    """Yield why children of an execution's Distributed Maps have failed."""
    client = root.client("stepfunctions")
    for map_run in client.list_map_runs(executionArn=arn)["mapRuns"]:
        listed = client.list_executions(mapRunArn=map_run["mapRunArn"], statusFilter="FAILED")
        for child in listed["executions"]:
            yield str(client.describe_execution(executionArn=child["executionArn"]).get("cause"))


def _dead_letters(stack: LocalStack, upload: str) -> str:
    client = stack.root.client("sqs")
    found = client.receive_message(
        QueueUrl=stack.outputs["UploadDeadLettersUrl"],
        MaxNumberOfMessages=10,
        VisibilityTimeout=0,
        MessageAttributeNames=["All"],
    )
    return json.dumps([one for one in found.get("Messages", []) if upload in one["Body"]])
