"""Plans a run: sizes and the state of the clusters in, a placement for every step out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from control.attempt_record import stamp_json
from control.calibrating import find_calibration
from control.catalogue import workflow_of
from control.stack import Stack
from placement.account import decimal_text
from placement.plan import Part, Plan, StepPlan
from placement.planner import plan
from placement.probe import plan_probe, too_dear
from placement.situation import ClusterState, Equipment, Situation
from placement.workflow import PLATFORMS, Workflow
from runtime.clock import now_s
from runtime.cluster_log import SILENT_AFTER_S
from runtime.keys import RunKeys


def plan_run(stack: Stack, run: str) -> dict[str, Any]:
    """Plan a run that was admitted; return its steps in topological order.

    Repeating it before the first step starts is harmless: a plan that is there already stands.

    Raises:
        UserError: the options are wrong, or no plan is feasible.

    """
    run_item = stack.ledger.get(f"run#{run}", "run") or {}
    workflow = workflow_of(run_item)
    found = stack.store.find(RunKeys(run).plan)
    made = _make_plan(stack, workflow, run_item) if found is None else Plan.from_json(found)
    if found is None:
        stack.store.put_json(RunKeys(run).plan, made.to_json())
    for order, step in enumerate(made.steps):
        fields = step_fields(workflow, step) | {"order": order}
        fields["books"] = [stamp_json(book) for book in made.books]
        stack.ledger.put(f"run#{run}", f"step#{step.step}", fields, new=True)
    deployed = {"lambda_concurrency": _lambda_concurrency()}
    stack.ledger.set(f"run#{run}", "run", _estimate(made) | deployed)
    return {"run": run, "steps": [step.step for step in made.steps]}


def _make_plan(stack: Stack, workflow: Workflow, run_item: dict[str, Any]) -> Plan:
    options = run_item["options"]
    uploads = {
        role: tuple(int(size) for _, size, *_ in files)
        for role, files in run_item["inputs"].items()
    }
    situation = situation_of(stack, uploads, _lambda_concurrency())
    if "probe" in options:
        return _make_probe(workflow, situation, options["probe"])
    return plan(
        workflow,
        situation,
        policy=options.get("policy", "trivium"),
        objective=options.get("objective"),
        deadline_s=options.get("deadline_s"),
        place=options.get("place"),
        calibration=find_calibration(stack),
    )


def _make_probe(workflow: Workflow, situation: Situation, options: dict[str, Any]) -> Plan:
    budget_usd, shards = Decimal(options["budget_usd"]), int(options["shards"])
    made = plan_probe(workflow, situation, shards, int(os.environ["TRIVIUM_PARTS_AT_ONCE"]))
    if made.usd > budget_usd:
        raise too_dear(made, shards, budget_usd)
    return made


def step_fields(workflow: Workflow, step: StepPlan) -> dict[str, Any]:
    """Return a step's ledger item: what it waits for, and its placements in order of preference."""
    placements = [[_placement(step, part) for part in parts] for parts in _choices(step)]
    if not step.fallbacks:
        # Nowhere else to go: once more where it was, on from what is done and checkpointed.
        placements += placements
    fields: dict[str, Any] = {
        "step": step.step,
        "status": "waiting",
        "kind": step.kind,
        "placements": placements,
        "tasks": step.tasks_estimate,
    }
    waiting = set(workflow.step(step.step).predecessors)
    if waiting:
        fields["waiting"] = waiting
    return fields


def _choices(step: StepPlan) -> list[tuple[Part, ...]]:
    return [step.parts, *((fallback,) for fallback in step.fallbacks)]


def _placement(step: StepPlan, part: Part) -> dict[str, Any]:
    """Return a part with its estimate; None where the plan has none of this part alone."""
    estimate: dict[str, Any] | None = None
    if step.parts == (part,):
        estimate = {"seconds": step.estimate.seconds, "usd": decimal_text(step.estimate.usd)}
    for other in step.rejected:
        same = (other.platform, dict(other.size)) == (part.platform, dict(part.size))
        if estimate is None and same and other.seconds is not None and other.usd is not None:
            estimate = {"seconds": other.seconds, "usd": decimal_text(other.usd)}
    return part.to_json() | {"estimate": estimate}


def _estimate(made: Plan) -> dict[str, Any]:
    return {
        "policy": made.policy,
        "objective": made.objective,
        "estimate": {"seconds": made.seconds, "usd": str(made.usd)},
    }


def situation_of(
    stack: Stack, uploads: Mapping[str, tuple[int, ...]], lambda_concurrency: int
) -> Situation:
    """Return what a plan is made for: uploads (bytes by role), and the clusters as they are now."""
    clusters = tuple(
        state
        for platform in PLATFORMS
        if (state := cluster_state(stack.ledger.get("cluster", platform), now_s())) is not None
    )
    return Situation(uploads, clusters, lambda_concurrency)


def _lambda_concurrency() -> int:
    return int(os.environ["TRIVIUM_LAMBDA_CONCURRENCY"])


def cluster_state(item: dict[str, Any] | None, at_s: float) -> ClusterState | None:
    """Return a cluster as its agent last announced it.

    None where no agent has spoken lately, unless that is because the head was stopped.
    """
    if item is None:
        return None
    head_off = float(item.get("head_off_s", 0)) > float(item["updated_s"])
    if at_s - float(item["updated_s"]) > SILENT_AFTER_S and not head_off:
        return None
    return ClusterState(
        platform=item["sk"],
        instance_type=item["instance_type"],
        warm_nodes=0 if head_off else int(item["warm_nodes"]),
        slots_per_node=int(item["slots_per_node"]),
        max_nodes=int(item["max_nodes"]),
        idle=head_off or int(item["busy_jobs"]) == 0,
        equipment=Equipment.from_json(item),
        head_off=head_off,
    )
