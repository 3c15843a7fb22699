"""What must hold after a run, whatever was done to it."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import time
from dataclasses import dataclass

from reporting.report import check_totals, parse_report
from runtime.keys import RunKeys, StepKeys
from tests.faults.stage import Run, Stage
from trivium.local.stack import home

QUIET_WITHIN_S = 60.0
LOOK_EVERY_S = 0.2
LONGEST_REASON = 2_500

type Bytes = dict[str, str]  # what a run's outputs are, by a digest


@dataclass(frozen=True)
class Verdict:
    """How a run ended, and what of it is not as it must be."""

    ended: str
    reason: str | None
    attempts: int
    usd: str
    broken: tuple[str, ...]


def outputs(stage: Stage, run: Run) -> Bytes:
    """Return the digest of every shard of every step, by step and place."""
    found: Bytes = {}
    for item in stage.ledger.query(f"run#{run.name}", "step#"):
        step = str(item["step"])
        output = stage.store.get_json(StepKeys(run.name, step).output)
        for key, _ in output["shards"]:
            name = key.removeprefix(StepKeys(run.name, step).root)
            found[f"{step}{name}"] = _digest(name, stage.store.get_bytes(key))
        found[f"{step} counts"] = _digest("counts.json", json.dumps(output["counts"]).encode())
    return found


def _digest(name: str, content: bytes) -> str:
    """Return a digest; whether a program began anew or went on is no part of its result."""
    if name.endswith(".json"):
        value = json.loads(content)
        if isinstance(value, dict):
            value.pop("resumed", None)
        content = json.dumps(value, sort_keys=True).encode()
    elif name.endswith(".gz"):
        content = gzip.decompress(content)
    return hashlib.sha256(content).hexdigest()


def judge(stage: Stage, run: Run, undisturbed: Bytes, *, may_fail: bool) -> Verdict:
    """Return what has become of a run that has ended, or should have."""
    item = stage.item(run)
    status = str(item.get("status", "not admitted"))
    broken: list[str] = []
    if status == "succeeded":
        found = outputs(stage, run)
        other = sorted(
            name for name in found | undisturbed if found.get(name) != undisturbed.get(name)
        )
        if other:
            broken.append(f"other bytes: {', '.join(other[:3])}")
    elif status == "failed":
        broken += _unclear(str(item.get("reason") or ""))
        if not may_fail:
            broken.append("failed where it could have gone on")
    else:
        broken.append(f"has not ended: {status}")
        return Verdict(status, None, 0, "", tuple(broken))
    broken += _left_over(stage, run)
    attempts, usd, wrong = _account(stage, run)
    broken += wrong + _twice(stage, run)
    return Verdict(status, item.get("reason"), attempts, usd, tuple(broken))


def _unclear(reason: str) -> list[str]:
    if not reason:
        return ["failed without a reason"]
    if "Traceback" in reason or len(reason) > LONGEST_REASON:
        return ["the reason is not a sentence"]
    if "threshold" in reason:
        return ["the reason is that of a Distributed Map, which says nothing"]
    return []


def _left_over(stage: Stage, run: Run) -> list[str]:
    """Return what still lies about of a run: messages, jobs, executions; it may take a moment."""
    deadline = time.monotonic() + QUIET_WITHIN_S
    while (left := _lying_about(stage, run)) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    return left


def _lying_about(stage: Stage, run: Run) -> list[str]:
    left: list[str] = []
    listed = [one for one in stage.ledger.query("runs") if one["run"] == run.name]
    if len(listed) != 1:
        left.append(f"listed {len(listed)} times among the runs")
    if run.lane in stage.agents:
        name = "RayQueueUrl" if run.lane == "ray" else "HpcQueueUrl"
        left += _messages(stage, stage.stack.outputs[name])
        jobs = [one["sk"] for one in stage.ledger.query(f"job#{run.lane}", run.name)]
        left += [f"{job} is still looked after" for job in jobs]
    client = stage.stack.root.client("stepfunctions")
    execution = stage.item(run)["execution"]
    machine = stage.stack.outputs["StepMachineArn"].replace(":stateMachine:", ":execution:")
    items = stage.ledger.query(f"run#{run.name}", "step#")
    begun = [f"{machine}:{run.name}-{item['step']}" for item in items if "token" in item]
    for arn in [execution, *begun]:
        if client.describe_execution(executionArn=arn)["status"] == "RUNNING":
            left.append(f"{arn.rsplit(':', 1)[-1]} still runs")
    return left


def _messages(stage: Stage, queue: str) -> list[str]:
    wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    client = stage.stack.root.client("sqs")
    found = client.get_queue_attributes(QueueUrl=queue, AttributeNames=wanted)["Attributes"]
    count = sum(int(found[name]) for name in wanted)
    return [f"{count} messages are left in the queue"] if count else []


def _account(stage: Stage, run: Run) -> tuple[int, str, list[str]]:
    """Return how many attempts are in the account, the run's cost, and what does not add up."""
    raw = stage.store.find(RunKeys(run.name).report_json)
    if raw is None:
        return 0, "", ["there is no report"]
    report = parse_report(raw)
    wrong: list[str] = []
    try:
        check_totals(report)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        wrong.append(f"the report does not add up: {error}")
    in_ledger = {
        (one["step"], one["attempt"], one["part"]): one
        for one in stage.ledger.query(f"run#{run.name}", "attempt#")
    }
    reported = {
        (step.step, one.attempt, one.part): one for step in report.steps for one in step.attempts
    }
    begun, calls = _on_record(stage, run)
    if set(in_ledger) != set(reported):
        wrong.append(f"attempts {sorted(set(in_ledger) ^ set(reported))} are not in both accounts")
    if begun - set(in_ledger):
        wrong.append(f"attempts {sorted(begun - set(in_ledger))} were made and are in no account")
    for name, one in sorted(in_ledger.items()):
        counted = calls.get(name, 0)
        if one.get("outcome") is None or one.get("open"):
            wrong.append(f"attempt {name} is not settled")
        elif int(one["calls"]) != counted:
            wrong.append(f"attempt {name} has {counted} calls, {one['calls']} in the account")
        elif counted and not any(float(item["usd"]) for item in one["items"]):
            wrong.append(f"attempt {name} cost nothing")
    return len(in_ledger), str(report.measured.usd), wrong


def _on_record(
    stage: Stage, run: Run
) -> tuple[set[tuple[str, int, int]], dict[tuple[str, int, int], int]]:
    """Return the attempts that were described or called, and how often each was called."""
    begun: set[tuple[str, int, int]] = set()
    calls: dict[tuple[str, int, int], int] = {}
    for stored in stage.store.listing(f"{RunKeys(run.name).root}/steps/"):
        _, _, _, step, folder, *rest = stored.key.split("/")
        if folder == "calls":
            attempt, part = rest[0].split("-")[:2]
            name = (step, int(attempt[1:]), int(part[1:]))
            calls[name] = calls.get(name, 0) + 1
            begun.add(name)
        elif folder[0] == "a" and folder[1:].isdigit():
            begun.add((step, int(folder[1:]), int(rest[0].split(".")[0][1:])))
    return begun, calls


def _twice(stage: Stage, run: Run) -> list[str]:
    """Return what was done twice: jobs of one name that Slurm ran. Ray refuses a second.

    One that found its work done, and said so, did nothing.
    """
    if run.lane != "hpc" or stage.stack.mpi != "slurm":
        return []
    environment = stage.environment("slurmctld")
    told = subprocess.run(
        ["squeue", "--noheader", "--states=all", "--format=%j"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout.split()
    mine = [name for name in told if name.startswith(run.name)]
    return [
        f"{name} was run twice"
        for name in sorted(set(mine))
        if mine.count(name) - _log_of(name).count("done already") > 1
    ]


def _log_of(job: str) -> str:
    return "".join(path.read_text() for path in sorted(home().glob(f"work-*/{job}.log")))
