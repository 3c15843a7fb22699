"""Ends a run: stops what still runs after a failure, and writes the report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from control.attempts import read_timeline, record_attempt
from control.catalogue import load_workflow
from control.replacing import readable_reason
from control.stack import Stack
from placement.account import (
    Item,
    LambdaCall,
    billed_ms,
    event_items,
    lambda_items,
    ledger_items,
    s3_request_items,
    sqs_items,
    total,
    transition_items,
)
from placement.books import PriceBook, default_books
from reporting.html import render
from reporting.report import check_totals, parse_report
from runtime.clock import iso, now_s
from runtime.dataflow import STOPPED
from runtime.keys import RunKeys, StepKeys, step_execution_name

# States entered in one run of the workflow machine: Admit, Verdict, Plan, Steps, Report, Outcome
# and the last; in one step: Step of the workflow machine, Await, Place, Parts, Settle; and in each
# further attempt: Replace, Replaced, Place, Parts.
STATES_PER_RUN = 7
STATES_PER_STEP = 5
STATES_PER_FURTHER_ATTEMPT = 4
MACHINE_NOTES = {
    "laptop": "the measured seconds are this machine's, the prices are AWS's",
    "aws": "the measured seconds are those of AWS; the bill may differ by what it rounds",
}

type Json = dict[str, Any]


def report_run(stack: Stack, run: str, failure: Mapping[str, Any] | None) -> Json:
    """Write the report of a run that has ended, and its end into the ledger."""
    run_item = stack.ledger.get(f"run#{run}", "run") or {}
    steps = _steps(stack, run)
    if failure is not None:
        _stop_steps(stack, run_item, steps)
        steps = _steps(stack, run)
    status = "succeeded" if failure is None else "failed"
    reason = None if failure is None else _reason(steps, failure)
    ended = {"status": status, "reason": reason, "ended_s": now_s()}
    report = build_report(stack, run_item | ended, steps)
    checked = parse_report(report)
    check_totals(checked)
    keys = RunKeys(run)
    stack.store.put_json(keys.report_json, report)
    stack.store.put_text(keys.report_html, render(checked), "text/html; charset=utf-8")
    ended["measured"] = report["measured"]
    stack.ledger.set(f"run#{run}", "run", ended)
    return {"run": run, "status": status, "reason": reason}


def _steps(stack: Stack, run: str) -> list[Json]:
    items = stack.ledger.query(f"run#{run}", "step#")
    return sorted(items, key=lambda item: int(item["order"]))


def _reason(steps: Sequence[Json], failure: Mapping[str, Any]) -> str:
    for step in steps:
        if step["status"] == "failed" and step.get("reason"):
            return str(step["reason"])
    return readable_reason(failure)


def _stop_steps(stack: Stack, run_item: Json, steps: Sequence[Json]) -> None:
    for item in steps:
        if item["status"] in {"done", "failed", STOPPED}:
            continue
        executions = run_item["execution"].rsplit(":", 2)[0]
        name = step_execution_name(run_item["run"], item["step"])
        _stop_execution(stack, f"{executions}:{os.environ['TRIVIUM_STEP_MACHINE']}:{name}")
        if item["status"] == "running":
            reason = "The run failed in another step."
            record_attempt(stack, run_item["run"], item["step"], item["attempt"], "failed", reason)
        ended = {"status": STOPPED, "ended_s": now_s()}
        stack.ledger.set(item["pk"], item["sk"], ended)


def _stop_execution(stack: Stack, arn: str) -> None:
    try:
        stack.aws.client("stepfunctions").stop_execution(
            executionArn=arn, error="RunFailed", cause="Another step of the run failed."
        )
    except ClientError as error:
        # It has ended by itself, or was never started.
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise


def build_report(stack: Stack, run_item: Json, steps: Sequence[Json]) -> Json:
    """Return the report of a run as its ledger items and objects tell it."""
    run = run_item["run"]
    prices, platforms = default_books()
    plan = stack.store.find(RunKeys(run).plan) or {}
    attempts = stack.ledger.query(f"run#{run}", "attempt#")
    control = stack.ledger.query(f"run#{run}", "control#")
    started_s = float(run_item["started_s"])
    planned = {step["step"]: step for step in plan.get("steps", [])}
    rows = [
        _step_row(stack, item, planned[item["step"]], attempts, started_s)
        for item in steps
        if item["step"] in planned
    ]
    others = control_items(prices, control, steps)
    measured = sum((_total(row["items"]) for row in rows), total(others))
    makespan_s = float(run_item["ended_s"]) - started_s
    books = [prices.stamp, platforms.stamp]
    kind = os.environ["TRIVIUM_MACHINE"]
    return {
        "run": run,
        "workflow": run_item["workflow"],
        "status": run_item["status"],
        "reason": run_item["reason"],
        "started_at": iso(started_s),
        "ended_at": iso(float(run_item["ended_s"])),
        "makespan_s": round(makespan_s, 3),
        "policy": run_item.get("policy", "trivium"),
        "objective": run_item.get("objective", "cost"),
        "estimate": plan.get("estimate"),
        "measured": {"seconds": round(makespan_s, 3), "usd": f"{measured:f}"},
        "steps": rows,
        "other_items": [item.to_json() for item in others],
        "alternatives": plan.get("alternatives", []),
        "books": [{"name": b.name, "date": b.date, "region": b.region} for b in books],
        "machine": {"kind": kind, "note": MACHINE_NOTES[kind]},
        "score": _score(run_item, steps),
    }


def _total(items: Sequence[Json]) -> Any:
    return total(Item.from_json(item) for item in items)


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
    stack: Stack, item: Json, planned: Json, attempts: Sequence[Json], run_started_s: float
) -> Json:
    mine = [one for one in attempts if one["step"] == item["step"]]
    number = int(item.get("attempt", 1))
    parts = item["placements"][number - 1]
    items = merge_items([Item.from_json(one) for each in mine for one in each["items"]])
    keys = StepKeys(item["pk"].removeprefix("run#"), item["step"])
    several = len(parts) > 1
    return {
        "step": item["step"],
        "platform": "mixed" if several else parts[0]["platform"],
        "parts": parts if several else [],
        "size": {} if several else parts[0]["size"],
        "tasks": int(item["tasks"]),
        "attempts": [_attempt_row(one) for one in mine],
        "estimate": {name: planned["estimate"][name] for name in ("seconds", "usd")},
        "measured": _measured(mine) | {"usd": f"{total(items):f}"},
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


def _attempt_row(one: Json) -> Json:
    times = {f"{name}_at": iso(float(one[f"{name}_s"])) for name in ("queued", "started", "ended")}
    kept = ("attempt", "part", "platform", "size", "outcome", "reason", "usd")
    return {name: one[name] for name in kept} | times


def _measured(attempts: Sequence[Json]) -> Json:
    """Return the wall time of all attempts, one after another, split into its kinds.

    Of parts that ran at the same time the longest counts. What lies between attempts is queueing.
    """
    kinds = ("queue_s", "startup_s", "transfer_s", "compute_s")
    split = dict.fromkeys(kinds, 0.0)
    if not attempts:
        return split | {"wall_s": 0.0}
    for number in sorted({one["attempt"] for one in attempts}):
        parts = [one["measured"] for one in attempts if one["attempt"] == number]
        longest = max(parts, key=lambda measured: float(measured["wall_s"]))
        for kind in kinds:
            split[kind] += float(longest[kind])
    wall_s = max(float(one["ended_s"]) for one in attempts) - min(
        float(one["queued_s"]) for one in attempts
    )
    split["queue_s"] += max(0.0, wall_s - sum(split.values()))
    return {name: round(value, 3) for name, value in (split | {"wall_s": wall_s}).items()}


def _workers(
    stack: Stack, keys: StepKeys, one: Json, run_started_s: float, *, several: bool
) -> list[Json]:
    prefix = f"{one['attempt']}.{one['part']} " if several else ""
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
        for row in read_timeline(stack, keys, one["attempt"], one["part"])
    ]


def merge_items(items: Sequence[Item]) -> tuple[Item, ...]:
    """Return the items with those of one kind and price put together, in order of appearance.

    The sum of the amounts is kept: an amount is added up, not computed anew.
    """
    merged: dict[tuple[str, str, Any], Item] = {}
    for one in items:
        key = (one.what, one.unit, one.unit_usd)
        before = merged.get(key)
        merged[key] = (
            one
            if before is None
            else Item(
                one.what,
                before.quantity + one.quantity,
                one.unit,
                one.unit_usd,
                before.usd + one.usd,
            )
        )
    return tuple(merged.values())


def control_items(
    prices: PriceBook, control: Sequence[Json], steps: Sequence[Json]
) -> tuple[Item, ...]:
    """Cost what no step can be charged with: the control plane's calls, states and requests.

    The call that writes the report is not on record while it writes it.
    """
    calls = [
        LambdaCall(
            int(one["memory_mb"]), billed_ms(float(one["startup_s"]) + float(one["duration_s"]))
        )
        for one in control
    ]
    counts = [one["requests"] for one in control]

    def requests(kind: str) -> int:
        return sum(int(count.get(kind, 0)) for count in counts)

    further = sum(max(0, int(item.get("attempt", 1)) - 1) for item in steps)
    states = STATES_PER_RUN + STATES_PER_STEP * len(steps) + STATES_PER_FURTHER_ATTEMPT * further
    return (
        *lambda_items(prices, calls, "Control functions"),
        *transition_items(prices, states),
        *s3_request_items(prices, put=requests("s3_put"), get=requests("s3_get")),
        *ledger_items(prices, writes=requests("dynamodb_write"), reads=requests("dynamodb_read")),
        *sqs_items(prices, requests("sqs")),
        *event_items(prices, 1),
    )
