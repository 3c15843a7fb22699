"""The smallest jobs that together use every right of a stack."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from runtime.keys import StepKeys, run_id
from runtime.ledger import Ledger
from runtime.store import Store
from tests.rights import evidence
from tests.rights.rights import Document, documents, taken
from trivium.local import ministack
from trivium.local.deployment import STACK_NAME
from trivium.local.stack import LocalStack, home, root

STEPS = ("pieces", "words", "sizes", "summary")
TEXT = b"one two\nthree\n"
NO_TEXT = b"\xff\xfe is not UTF-8\n"
LOOK_EVERY_S = 0.2
POWER_TRIES = 4
ENDED = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"})

type Stop = Callable[[], bool]


@dataclass
class Outcome:
    """What became of a job: how it ended, None while it stands still, and what it said."""

    status: str | None
    upload: str = ""
    run: str | None = None
    words: str = ""


@dataclass(frozen=True)
class Job:
    """A job: what it does, how it ends where nothing is missing, and whose agent it needs."""

    name: str
    do: Callable[[Stage, Stop], Outcome]
    ends: str
    agent: str | None = None  # ray or hpc


@dataclass
class Stage:
    """A local stack and what jobs find on it."""

    stack: LocalStack
    documents: list[Document] = field(init=False)
    functions: dict[str, str] = field(init=False)  # logical id to name
    done: str = ""  # a run that has succeeded on Lambda, and the key of its upload
    done_upload: str = ""
    failed: str = ""  # a run that has failed
    refused: str = ""  # one that was not begun, and so has no report

    def __post_init__(self) -> None:
        self.documents = documents(self.stack.root, STACK_NAME)
        pages = self.stack.root.client("cloudformation").get_paginator("list_stack_resources")
        self.functions = {
            entry["LogicalResourceId"]: entry["PhysicalResourceId"]
            for page in pages.paginate(StackName=STACK_NAME)
            for entry in page["StackResourceSummaries"]
            if entry["ResourceType"] == "AWS::Lambda::Function"
        }

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.stack.root, self.stack.outputs["Ledger"])

    @property
    def store(self) -> Store:
        return Store(self.stack.root, self.stack.outputs["Bucket"])

    def invoke(self, function: str, payload: Mapping[str, Any]) -> Outcome:
        """Call a function as a state machine would that repeats a call."""
        answer = self.stack.root.client("lambda").invoke(
            FunctionName=self.functions[function], Payload=json.dumps(payload)
        )
        said = answer["Payload"].read().decode()
        return Outcome("failed" if "FunctionError" in answer else "succeeded", words=said)


def jobs() -> list[Job]:
    """Return all jobs, those first on which others build."""
    lambdas, ray, hpc = (_placed(platform) for platform in ("lambda", "ray", "hpc"))
    return [
        Job("a job on Lambda", _keeping("done", _upload(TEXT, lambdas)), "succeeded"),
        Job("a job that fails", _keeping("failed", _upload(NO_TEXT, lambdas)), "failed"),
        Job("a job in little time", _upload(TEXT, lambdas | {"objective": "time"}), "succeeded"),
        Job("a job on Ray", _upload(TEXT, ray), "succeeded", "ray"),
        Job("a job that fails on Ray", _upload(NO_TEXT, ray), "failed", "ray"),
        Job("a job on the cluster", _upload(TEXT, hpc), "succeeded", "hpc"),
        Job("a job that fails on the cluster", _upload(NO_TEXT, hpc), "failed", "hpc"),
        Job("a manifest of a file that is not there", _keeping("refused", _missing_file), "failed"),
        Job("no step can begin", _no_step_begins, "failed"),
        Job("a step that begins after its run has failed", _late_step, "failed"),
        Job("a step that is placed anew, on 7,076 MB", _placed_anew, "succeeded"),
        Job("a call of Admit that is repeated", _admit_again, "succeeded"),
        Job("a call of RunTask that is repeated", _batch_again, "succeeded"),
        Job("a head is stopped and started", _head_power, "succeeded"),
        Job("Ray's agent starts", _agent_starts("agent-ray"), "succeeded", "ray"),
        Job(
            "the cluster's agent starts",
            _agent_starts("agent-slurm", "agent-mpirun"),
            "succeeded",
            "hpc",
        ),
        Job(
            "a person runs a job", _person("run", "{text}", "--workflow", "word-count"), "succeeded"
        ),
        Job("a person lists runs", _person("runs", "--stack", STACK_NAME), "succeeded"),
        Job(
            "a person asks for a report that there is not", _person("report", "{refused}"), "failed"
        ),
        Job(
            "a person probes a job",
            _person("probe", "word-count", "{text}", "--budget", "0.1"),
            "succeeded",
        ),
        # Last, because plans are others then.
        Job("a person calibrates", _person("calibrate", "--stack", STACK_NAME), "succeeded"),
    ]


def _placed(platform: str) -> dict[str, Any]:
    return {"place": dict.fromkeys(STEPS, "lambda") | {"pieces": platform}}


def _upload(text: bytes, options: Mapping[str, Any]) -> Callable[[Stage, Stop], Outcome]:
    def upload(stage: Stage, stop: Stop) -> Outcome:
        folder = f"raw/word-count/{secrets.token_hex(4)}"
        _put(stage, f"{folder}/a.txt", text)
        return _start(stage, folder, {"files": ["a.txt"], **options}, stop)

    return upload


def _put(stage: Stage, key: str, body: bytes) -> str:
    client = stage.stack.root.client("s3")
    answer = client.put_object(Bucket=stage.stack.outputs["Bucket"], Key=key, Body=body)
    return str(answer["VersionId"])


def _start(stage: Stage, folder: str, manifest: Mapping[str, Any], stop: Stop) -> Outcome:
    """Upload a manifest and wait until its run has ended, or until told to stop waiting."""
    key = f"{folder}/manifest.json"
    version = _put(stage, key, json.dumps(manifest).encode())
    run = run_id("word-count", stage.stack.outputs["Bucket"], key, version)
    arn = None
    while True:
        item = stage.ledger.get(f"run#{run}", "run") or {}
        arn = arn or item.get("execution") or evidence.execution(stage.stack, key)
        if arn is not None and (status := _status(stage, arn)) in ENDED:
            return Outcome("succeeded" if status == "SUCCEEDED" else "failed", key, run)
        if stop():
            return Outcome(None, key, run)
        time.sleep(LOOK_EVERY_S)


def _status(stage: Stage, arn: str) -> str:
    client = stage.stack.root.client("stepfunctions")
    return str(client.describe_execution(executionArn=arn)["status"])


def _keeping(name: str, do: Callable[[Stage, Stop], Outcome]) -> Callable[[Stage, Stop], Outcome]:
    """Do a job, and keep its run for the jobs that build on one."""

    def keeping(stage: Stage, stop: Stop) -> Outcome:
        outcome = do(stage, stop)
        if not getattr(stage, name):
            setattr(stage, name, outcome.run)
            if name == "done":
                stage.done_upload = outcome.upload
        return outcome

    return keeping


def _missing_file(stage: Stage, stop: Stop) -> Outcome:
    return _start(stage, f"raw/word-count/{secrets.token_hex(4)}", {"files": ["a.txt"]}, stop)


def _no_step_begins(stage: Stage, stop: Stop) -> Outcome:
    """Run a job whose steps are never told to wait: Report has to stop them."""
    document, right = next(
        (document, right)
        for document in stage.documents
        for right in document.rights()
        if right.owner == "StepMachineRole" and stage.functions["Await"] in right.resource
    )
    with taken(stage.stack.root, document, right):
        return _upload(TEXT, _placed("lambda"))(stage, stop)


def _late_step(stage: Stage, stop: Stop) -> Outcome:
    return _run_step(stage, stage.failed, "summary", 1, stop)


def _run_step(stage: Stage, run: str, step: str, attempt: int, stop: Stop) -> Outcome:
    client = stage.stack.root.client("stepfunctions")
    arn = client.start_execution(
        stateMachineArn=stage.stack.outputs["StepMachineArn"],
        name=f"{run}-{step}-{secrets.token_hex(4)}",
        input=json.dumps({"run": run, "step": step, "attempt": attempt}),
    )["executionArn"]
    while (status := _status(stage, arn)) not in ENDED:
        if stop():
            client.stop_execution(executionArn=arn)
            return Outcome(None, stage.done_upload, run)
        time.sleep(LOOK_EVERY_S)
    return Outcome("succeeded" if status == "SUCCEEDED" else "failed", stage.done_upload, run)


def _placed_anew(stage: Stage, stop: Stop) -> Outcome:
    """Do a step of a finished run again, its results gone, where its plan had not put it."""
    keys = StepKeys(stage.done, "sizes")
    for stored in stage.store.listing(keys.results):
        stage.stack.root.client("s3").delete_object(
            Bucket=stage.stack.outputs["Bucket"], Key=stored.key
        )
    item = stage.ledger.get(f"run#{stage.done}", "step#sizes") or {}
    size = {"memory_mb": 7076, "batches": 1}
    anew = [[{"platform": "lambda", "size": size, "share": 1, "estimate": None}]]
    placements = item["placements"] + anew
    stage.ledger.set(f"run#{stage.done}", "step#sizes", {"placements": placements})
    return _run_step(stage, stage.done, "sizes", len(placements), stop)


def _admit_again(stage: Stage, _: Stop) -> Outcome:
    run = stage.ledger.get(f"run#{stage.done}", "run") or {}
    key = {"key": stage.done_upload, "version-id": _version(stage, stage.done_upload)}
    return stage.invoke(
        "Admit",
        {
            "object": {"bucket": {"name": stage.stack.outputs["Bucket"]}, "object": key},
            "execution": run["execution"],
            "started_at": run["event_time"],
        },
    )


def _version(stage: Stage, key: str) -> str:
    client = stage.stack.root.client("s3")
    head = client.head_object(Bucket=stage.stack.outputs["Bucket"], Key=key)
    return str(head["VersionId"])


def _batch_again(stage: Stage, _: Stop) -> Outcome:
    """Call a batch once more that has left no result, as after a crash."""
    keys = StepKeys(stage.done, "pieces")
    batch = stage.store.get_json(keys.batches(1, 0))[0]
    result = keys.result(1, 0, 0)
    kept = stage.store.get_json(result)
    bucket = stage.stack.outputs["Bucket"]
    stage.stack.root.client("s3").delete_object(Bucket=bucket, Key=result)
    try:
        call = {"part_key": keys.part(1, 0), "batch": batch, "retry": 1}
        return stage.invoke("RunTask1024", call)
    finally:
        stage.store.put_json(result, kept)


def _head_power(stage: Stage, _: Stop) -> Outcome:
    """Have the heads of both clusters stopped because they are idle, and started for a message."""
    done = [_stopped_and_started(stage, *one) for one in (("ray", "Ray"), ("hpc", "Hpc"))]
    words = " ".join(one.words for one in done)
    failed = any(one.status == "failed" for one in done)
    return Outcome("failed" if failed else "succeeded", words=words)


def _stopped_and_started(stage: Stage, platform: str, queue: str) -> Outcome:
    ec2, sqs = (stage.stack.root.client(name) for name in ("ec2", "sqs"))
    tag = {"Key": "trivium:stack", "Value": STACK_NAME}
    made = ec2.run_instances(
        ImageId="ami-0123456789abcdef0",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [tag]}],
    )
    head = made["Instances"][0]["InstanceId"]
    url = stage.stack.outputs[f"{queue}QueueUrl"]
    try:
        idle = {"alarmData": {"alarmName": f"{STACK_NAME}-{platform}-idle"}}
        stopped = _power(stage, platform, head, idle, "stop")
        # The agent takes the message for no job, and leaves it in the queue.
        sqs.send_message(QueueUrl=url, MessageBody="{}")
        started = _power(stage, platform, head, {"source": "aws.ec2"}, "start")
    finally:
        sqs.purge_queue(QueueUrl=url)
        stage.ledger.set("cluster", platform, {"head_instance": None, "head_off_s": 0})
        ec2.terminate_instances(InstanceIds=[head])
    failed = stopped.status == "failed" or started.status == "failed"
    return Outcome("failed" if failed else "succeeded", words=f"{stopped.words} {started.words}")


def _power(stage: Stage, platform: str, head: str, event: Mapping[str, Any], order: str) -> Outcome:
    """Tell Power of an event until it has given its order, or failed.

    The agent says every ten seconds that its head, this machine, is always on.
    """
    for _ in range(POWER_TRIES):
        stage.ledger.set("cluster", platform, {"head_instance": head})
        answer = stage.invoke("Power", dict(event))
        if answer.status == "failed" or f'"{order}"' in answer.words:
            return answer
    return Outcome("failed", words=answer.words)


def _agent_starts(*names: str) -> Callable[[Stage, Stop], Outcome]:
    """Start an agent beside that of one of these names, with its words and its environment."""

    def agent_starts(_: Stage, __: Stop) -> Outcome:
        file = next(path for one in names if (path := home() / "processes" / f"{one}.pid").exists())
        running = psutil.Process(json.loads(file.read_text())["pid"])
        second = subprocess.Popen(
            running.cmdline(),
            env=running.environ(),
            cwd=running.cwd(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        time.sleep(6)
        second.terminate()
        said, _unused = second.communicate(timeout=30)
        refused = "AWS does not answer" in said
        return Outcome("failed" if refused else "succeeded", words=said)

    return agent_starts


def _person(*words: str) -> Callable[[Stage, Stop], Outcome]:
    """Do what a person does on the command line, with a user's key."""

    def person(stage: Stage, _: Stop) -> Outcome:
        text = home() / "person.txt"
        text.write_bytes(TEXT)
        named = [word.format(text=text, refused=stage.refused) for word in words]
        mine = {
            "AWS_ACCESS_KEY_ID": stage.stack.user_key,
            "AWS_SECRET_ACCESS_KEY": stage.stack.user_secret,
            "TRIVIUM_LOCAL": str(home()),
        }
        done = subprocess.run(
            [sys.executable, "-m", "trivium", *named],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=root(),
            env=ministack.without_aws(os.environ) | ministack.place(stage.stack.endpoint) | mine,
        )
        status = "succeeded" if done.returncode == 0 else "failed"
        return Outcome(status, words=done.stdout + done.stderr)

    return person
