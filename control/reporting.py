"""Ends a run: stops what still runs after a failure, and writes the report."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from control.attempt_record import Attempt, stamp_json
from control.attempts import all_attempts, settle_attempt, settle_part
from control.catalogue import load_workflow
from control.metrics import emit_attempts
from control.orchestration import orchestration_items
from control.replacing import readable_reason
from control.shared_lines import ClusterUse, cluster_uses, heads_off, not_known, shared_lines
from control.stack import Stack
from control.timelines import read_timeline
from placement.account import decimal_text, merge_items, total
from placement.books import default_books
from placement.node_time import node_seconds
from placement.walltime import WallTime
from reporting.html import render
from reporting.report import check_totals, parse_report
from runtime.clock import iso, now_s
from runtime.cluster_log import ClusterLog
from runtime.dataflow import STOPPED
from runtime.keys import RunKeys, StepKeys, step_execution_name

# After a run has failed its agents cancel its jobs: they hear of it with the next heartbeat.
CANCELLED_WITHIN_S = 45.0
LOOK_EVERY_S = 1.0
RUN_ENDED = "The run failed in another step."
MACHINE_NOTES = {
    "laptop": "the measured seconds are this machine's, the prices are AWS's",
    "aws": "the measured seconds are those of AWS; the bill may differ by what it rounds",
}

type Json = dict[str, Any]


def report_run(stack: Stack, run: str, failure: Mapping[str, Any] | None) -> Json:
    """Settle a run that has ended, and write its report and its end into the ledger.

    Repeated, it settles to the same figures: the run has ended when this was first asked.
    """
    run_item = stack.ledger.get(f"run#{run}", "run") or {}
    steps = _steps(stack, run)
    if failure is not None:
        _stop_steps(stack, run_item, steps)
        steps = _steps(stack, run)
    status = "succeeded" if failure is None else "failed"
    reason = None if failure is None else _reason(steps, failure)
    noted = stack.ledger.note(f"run#{run}", "run", {"ended_s": now_s()})
    ended = {"status": status, "reason": reason, "ended_s": noted["ended_s"]}
    window_s = (float(run_item["started_s"]), float(noted["ended_s"]))
    settled = settle_run(stack, run, window_s)
    report = build_report(stack, run_item | ended, steps, settled)
    checked = parse_report(report)
    check_totals(checked)
    keys = RunKeys(run)
    stack.store.put_json(keys.report_json, report)
    stack.store.put_text(keys.report_html, render(checked), "text/html; charset=utf-8")
    account = {name: report[name] for name in ("shared_items", "other_items", "measured")}
    stack.ledger.put(f"run#{run}", "account", account)
    stack.ledger.set(f"run#{run}", "run", ended | {"measured": report["measured"]})
    if run_item.get("status") != status:  # a report that is written again measures nothing new
        emit_attempts(run_item["workflow"], settled.attempts)
    return {"run": run, "status": status, "reason": reason}


@dataclass(frozen=True)
class SettledRun:
    """All attempts of a run, settled for good, and the use of the clusters that they ran on."""

    attempts: tuple[Attempt, ...]
    uses: tuple[ClusterUse, ...]


def settle_run(stack: Stack, run: str, window_s: tuple[float, float]) -> SettledRun:
    """Settle for good every attempt of a run that is still open.

    Only now is it known what ran beside a job on its nodes.
    """
    attempts = all_attempts(stack, run)
    uses = cluster_uses(stack, attempts, window_s)
    node_us = {job: amount for use in uses for job, amount in use.node_us.items()}
    shares = {job: node_seconds(amount) for job, amount in node_us.items()}
    settled = [
        settle_part(stack, one, "failed", RUN_ENDED, node_s=shares.get(one.job), final=True)
        for one in attempts
    ]
    return SettledRun(tuple(settled), tuple(uses))


def _steps(stack: Stack, run: str) -> list[Json]:
    items = stack.ledger.query(f"run#{run}", "step#")
    return sorted(items, key=lambda item: int(item["order"]))


def _reason(steps: Sequence[Json], failure: Mapping[str, Any]) -> str:
    for step in steps:
        if step["status"] == "failed" and step.get("reason"):
            return str(step["reason"])
    return readable_reason(failure)


def _stop_steps(stack: Stack, run_item: Json, steps: Sequence[Json]) -> None:
    run = run_item["run"]
    left = [item for item in steps if item["status"] not in {"done", "failed", STOPPED}]
    for item in left:
        executions = run_item["execution"].rsplit(":", 2)[0]
        name = step_execution_name(run, item["step"])
        _stop_execution(stack, f"{executions}:{os.environ['TRIVIUM_STEP_MACHINE']}:{name}")
    _wait_for_jobs(stack, run)
    for item in left:
        if item["status"] == "running":
            settle_attempt(stack, run, item["step"], item["attempt"], "failed", RUN_ENDED)
        ended = {"status": STOPPED, "ended_s": now_s()}
        stack.ledger.set(item["pk"], item["sk"], ended)


def _wait_for_jobs(stack: Stack, run: str) -> None:
    """Wait until no job of the run holds a node any more, or for a while."""
    deadline = time.monotonic() + CANCELLED_WITHIN_S
    for one in all_attempts(stack, run):
        if one.platform == "lambda":
            continue
        log = ClusterLog(stack.ledger, one.platform)
        while (job := log.job(one.queued_s, one.job)) is not None and job.ended_s is None:
            if time.monotonic() > deadline:
                return
            time.sleep(LOOK_EVERY_S)


def _stop_execution(stack: Stack, arn: str) -> None:
    try:
        stack.aws.client("stepfunctions").stop_execution(
            executionArn=arn, error="RunFailed", cause="Another step of the run failed."
        )
    except ClientError as error:
        # It has ended by itself, or was never started.
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise


def build_report(stack: Stack, run_item: Json, steps: Sequence[Json], settled: SettledRun) -> Json:
    """Return the report of a run as its ledger items and objects tell it."""
    run = run_item["run"]
    prices, platforms = default_books()
    plan = stack.store.find(RunKeys(run).plan) or {}
    control = stack.ledger.query(f"run#{run}", "control#")
    started_s = float(run_item["started_s"])
    planned = {step["step"]: step for step in plan.get("steps", [])}
    rows = [
        _step_row(stack, item, planned[item["step"]], settled.attempts, started_s)
        for item in steps
        if item["step"] in planned
    ]
    others = orchestration_items(prices, control, steps)
    shared = shared_lines(prices, settled.uses, settled.attempts)
    spent = [one.settled.usd for one in settled.attempts]
    measured = sum(spent, total(others) + total(line.item for line in shared))
    makespan_s = float(run_item["ended_s"]) - started_s
    kind = os.environ["TRIVIUM_MACHINE"]
    return {
        "run": run,
        "workflow": run_item["workflow"],
        "uploads": _upload_bytes(run_item),
        "status": run_item["status"],
        "reason": run_item["reason"],
        "started_at": iso(started_s),
        "ended_at": iso(float(run_item["ended_s"])),
        "makespan_s": round(makespan_s, 3),
        "policy": run_item.get("policy", "trivium"),
        "objective": run_item.get("objective", "cost"),
        "estimate": plan.get("estimate"),
        "estimated_shared_items": plan.get("shared_items", []),
        "estimate_by_book": plan.get("by_book"),
        "measured": {"seconds": round(makespan_s, 3), "usd": decimal_text(measured)},
        "steps": rows,
        "shared_items": [line.to_json() for line in shared],
        "other_items": [item.to_json() for item in others],
        "heads_off": [one.to_json() for one in heads_off(prices, settled.uses, settled.attempts)],
        "not_known": not_known(settled.uses),
        "alternatives": plan.get("alternatives", []),
        "books": _books(plan, [stamp_json(prices.stamp), stamp_json(platforms.stamp)]),
        "machine": {"kind": kind, "note": MACHINE_NOTES[kind]},
        "score": _score(run_item, steps),
    }


def _books(plan: Json, own: list[Json]) -> list[Json]:
    """Return the books of the measured figures, then those that only the estimates rest on."""
    return [*own, *(book for book in plan.get("books", []) if book not in own)]


def _score(run_item: Json, steps: Sequence[Json]) -> Json | None:
    if run_item["status"] != "succeeded":
        return None
    wanted = load_workflow(run_item["workflow"]).score
    for item in steps:
        if wanted is not None and item["step"] == wanted.step:
            value = item.get("counts", {}).get(wanted.value)
            return None if value is None else {"name": wanted.value, "value": value}
    return None


def _step_row(
    stack: Stack, item: Json, planned: Json, attempts: Sequence[Attempt], run_started_s: float
) -> Json:
    mine = [one for one in attempts if one.step == item["step"]]
    number = int(item.get("attempt", 1))
    parts = [
        {name: part[name] for name in ("platform", "size", "share")}
        for part in item["placements"][number - 1]
    ]
    items = merge_items([line for one in mine for line in one.settled.items])
    keys = StepKeys(item["pk"].removeprefix("run#"), item["step"])
    several = len(parts) > 1
    return {
        "step": item["step"],
        "platform": "mixed" if several else parts[0]["platform"],
        "parts": parts if several else [],
        "size": {} if several else parts[0]["size"],
        "tasks": int(item["tasks"]),
        "output": _output(stack, keys),
        "attempts": [_attempt_row(one) for one in mine],
        "estimate": {name: planned["estimate"][name] for name in ("seconds", "usd")},
        "estimate_by_book": planned.get("by_book"),
        "calibrated": planned.get("calibrated", ""),
        "measured": _measured(mine) | {"usd": decimal_text(total(items))},
        "items": [one.to_json() for one in items],
        "counts": {
            name: value
            for name, value in item.get("counts", {}).items()
            if isinstance(value, int | float)
        },
        "workers": [
            worker
            for one in mine
            for worker in _workers(stack, keys, one, run_started_s, several=len(mine) > 1)
        ],
        "rejected": planned["rejected"],
    }


def _upload_bytes(run_item: Json) -> dict[str, list[int]]:
    inputs = run_item.get("inputs") or {}
    return {role: [int(size) for _, size, *_ in files] for role, files in inputs.items()}


def _output(stack: Stack, keys: StepKeys) -> Json | None:
    """Return how much a step has left; None where it is not done."""
    found = stack.store.find(keys.output)
    if found is None:
        return None
    sizes = [int(size) for _, size, *_ in found["shards"]]
    return {"shards": len(sizes), "bytes": sum(sizes)}


def _attempt_row(one: Attempt) -> Json:
    measured, estimate = one.settled, one.estimate
    return {
        "attempt": one.attempt,
        "part": one.part,
        "platform": one.platform,
        "size": dict(one.size),
        "outcome": measured.outcome,
        "reason": measured.reason,
        "queued_at": iso(one.queued_s),
        "started_at": iso(measured.started_s),
        "ended_at": iso(measured.ended_s),
        "estimate": estimate and {"seconds": estimate.seconds, "usd": decimal_text(estimate.usd)},
        "books": [stamp_json(book) for book in one.books],
        "measured": _kinds(measured.wall),
        "task_s": measured.task_s,
        "usd": decimal_text(measured.usd),
        "items": [item.to_json() for item in measured.items],
    }


def _kinds(wall: WallTime) -> Json:
    """Return the kinds of a wall time to the millisecond, and the whole."""
    kinds = {
        "queue_s": wall.queue_s,
        "startup_s": wall.startup_s,
        "transfer_s": wall.transfer_s,
        "compute_s": wall.compute_s,
        "wall_s": wall.wall_s,
    }
    return {name: round(max(0.0, value), 3) for name, value in kinds.items()}


def _measured(attempts: Sequence[Attempt]) -> Json:
    """Return the wall time of all attempts, one after another, split into its kinds.

    Of parts that ran at the same time the longest counts. What lies between attempts is queueing.
    """
    queue_s = startup_s = transfer_s = compute_s = 0.0
    ends = [one.settled.ended_s for one in attempts]
    for number in sorted({one.attempt for one in attempts}):
        walls = [one.settled.wall for one in attempts if one.attempt == number]
        longest = max(walls, key=lambda wall: wall.wall_s)
        queue_s += longest.queue_s
        startup_s += longest.startup_s
        transfer_s += longest.transfer_s
        compute_s += longest.compute_s
    wall_s = max(ends) - min(one.queued_s for one in attempts) if ends else 0.0
    queue_s += max(0.0, wall_s - (queue_s + startup_s + transfer_s + compute_s))
    return _kinds(WallTime(queue_s, startup_s, transfer_s, compute_s)) | {
        "wall_s": round(wall_s, 3)
    }


def _workers(
    stack: Stack, keys: StepKeys, one: Attempt, run_started_s: float, *, several: bool
) -> list[Json]:
    prefix = f"{one.attempt}.{one.part} " if several else ""
    return [
        {
            "worker": f"{prefix}{row['worker']}",
            "events": [
                {
                    "kind": kind,
                    "start_s": round(max(0.0, start - run_started_s), 3),
                    "end_s": round(max(0.0, start - run_started_s, end - run_started_s), 3),
                }
                for kind, start, end in row["events"]
            ],
        }
        for row in read_timeline(stack, keys, one.attempt, one.part)
    ]
