"""`trivium probe`: measures a few shards of every stateless step on every place, in a budget."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from control.calls import calls_of
from control.catalogue import load_workflow, workflow_of
from control.planning import situation_of
from control.stack import Stack
from placement.account import decimal_text
from placement.engine import quantities
from placement.errors import UserError
from placement.plan import Plan
from placement.probe import plan_within, whole_per_sample
from placement.workflow import Workflow
from reporting.live import follow
from reporting.probing.probe_file import probe_file_json
from reporting.probing.result import MeasuredShard, ProbedPlace, ProbeResult
from reporting.probing.terminal import probe_table
from reporting.report import Attempt
from runtime.keys import StepKeys
from trivium.console import AsJson, out, say, talk
from trivium.reports import read_report
from trivium.target import StackName, Target
from trivium.upload import check_files, upload
from trivium.watching import Watch


def probe(
    workflow: Annotated[str, typer.Argument(help="The workflow to probe.")],
    files: Annotated[list[Path], typer.Argument(help="The files of one sample.")],
    budget: Annotated[str, typer.Option(help="What the probe may cost, in USD.")],
    stack: StackName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Measure a few shards of every stateless step on every platform and Lambda size."""
    budget_usd = quantities.money_usd(budget, "--budget")
    found = load_workflow(workflow)
    check_files(files)
    target = Target.choose(stack)
    shards, plan = affordable(target, found, files, budget_usd)
    say(_announcement(plan, shards, budget_usd))
    options = {"probe": {"budget_usd": decimal_text(budget_usd), "shards": shards}}
    run = upload(target, workflow, files, options)
    say(f"run {run}")
    watch = Watch(target.stack, run)
    with follow(talk) as show:
        for steps in watch.follow():
            show(steps)
    result, raw = probe_result(target.stack, run)
    if as_json:
        sys.stdout.write(json.dumps(probe_file_json(result, raw), indent=2) + "\n")
    else:
        out.print(probe_table(result))
    if result.report.status != "succeeded":
        raise typer.Exit(1)


def affordable(
    target: Target, workflow: Workflow, files: Sequence[Path], budget_usd: Decimal
) -> tuple[int, Plan]:
    """Return how many shards the budget allows on each place, and the plan of the probe.

    Raises:
        UserError: a file fits no input, or the budget is too small.

    """
    sizes = {path.name: path.stat().st_size for path in files}
    uploads = {
        role: tuple(sizes[name] for name in names) for role, names in workflow.assign(sizes).items()
    }
    situation = situation_of(target.stack, uploads, _limit(target, "LambdaConcurrency"))
    return plan_within(budget_usd, workflow, situation, _limit(target, "PartsAtOnce"))


def _limit(target: Target, name: str) -> int:
    if name not in target.outputs:
        raise UserError("The stack was deployed before it could be probed; deploy it again.")
    return int(target.outputs[name])


def _announcement(plan: Plan, shards: int, budget_usd: Decimal) -> str:
    places = max((len(step.parts) for step in plan.steps), default=0)
    return (
        f"{len(plan.steps)} steps, up to {shards} shards on each of up to {places} places: "
        f"estimated at ${plan.usd:.6f} of a budget of ${decimal_text(budget_usd)}"
    )


def probe_result(stack: Stack, run: str) -> tuple[ProbeResult, dict[str, Any]]:
    """Return what a probe that has ended has found out, and its report as it is stored.

    Raises:
        UserError: it has not ended, or is no probe.

    """
    item = Watch(stack, run).item()
    report, raw = read_report(stack, run)
    options = item.get("options", {}).get("probe")
    if options is None:
        raise UserError(f"The run {run} is no probe; `trivium report {run}` shows it.")
    places = tuple(
        ProbedPlace(step.step, attempt, _shards(stack, StepKeys(run, step.step), attempt))
        for step in report.steps
        for attempt in step.attempts
    )
    budget_usd, shards = Decimal(options["budget_usd"]), int(options["shards"])
    whole = _whole(stack, item, shards)
    return ProbeResult(report, budget_usd, shards, places, whole), raw


def _shards(stack: Stack, keys: StepKeys, attempt: Attempt) -> tuple[MeasuredShard, ...]:
    """Return the shards that a place has done, in the order of their tasks."""
    calls = calls_of(stack, keys, attempt.attempt, attempt.part)
    return tuple(
        MeasuredShard(
            input_bytes=int(call["bytes_in"]),
            output_bytes=int(call["bytes_out"]),
            startup_s=float(call["startup_s"]),
            transfer_s=float(call["transfer_s"]),
            compute_s=float(call["compute_s"]),
        )
        for call in calls
        if call["outcome"] == "succeeded"
    )


def _whole(stack: Stack, item: dict[str, Any], shards: int) -> dict[str, float]:
    """Return by step how many times what was probed there is in all."""
    workflow = workflow_of(item)
    sizes = {
        f"upload.{role}": [int(size) for _, size, *_ in files]
        for role, files in item["inputs"].items()
    }
    for step in workflow.steps:
        output = stack.store.find(StepKeys(item["run"], step.name).output) or {"shards": []}
        sizes[step.name] = [int(size) for _, size, *_ in output["shards"]]
    return whole_per_sample(workflow, sizes, shards)
