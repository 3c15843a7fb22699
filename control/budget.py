"""What a probe has spent so far, and whether its next step still fits into its budget.

An estimate may be wrong, so that the budget is looked at again before each step: what is overspent
is at most what the steps under way take beyond their estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from control.attempt_record import Attempt
from control.attempts import measure
from control.orchestration import orchestration_items
from control.shared_lines import cluster_uses, shared_lines
from control.stack import Stack
from placement.account import decimal_text, total
from placement.books import default_books
from placement.errors import UserError
from placement.plan import Plan
from runtime.clock import now_s
from runtime.keys import RunKeys


def check_budget(stack: Stack, run_item: Mapping[str, Any], step: str) -> None:
    """Refuse a step that the rest of a probe's budget does not pay for, by its estimate.

    The refusal is noted on the step's item, where Replace finds it: it is final anywhere.

    Raises:
        UserError: what is spent, and the estimates of the step and of those under way, are more
            than the budget.

    """
    budget_usd = Decimal(run_item["options"]["probe"]["budget_usd"])
    plan = Plan.from_json(stack.store.get_json(RunKeys(run_item["run"]).plan))
    items = stack.ledger.query(f"run#{run_item['run']}")
    running = {item["step"] for item in _of_kind("step", items) if item["status"] == "running"}
    next_usd = sum((step_usd(plan, name) for name in sorted({step} | running)), Decimal(0))
    spent_usd = spent_so_far(stack, run_item, items)
    if spent_usd + next_usd > budget_usd:
        refused = (
            f"the probe has spent ${decimal_text(round(spent_usd, 6))} of its budget of "
            f"${decimal_text(budget_usd)}, and what comes next is estimated at "
            f"${decimal_text(round(next_usd, 6))}; what was measured before stays on record."
        )
        stack.ledger.set(f"run#{run_item['run']}", f"step#{step}", {"refused": refused})
        raise UserError(refused)


def step_usd(plan: Plan, step: str) -> Decimal:
    """Return a step's estimate with its share, by time, of what belongs to no step."""
    estimate = plan.step(step).estimate
    whole_s = sum(Decimal(str(each.estimate.seconds)) for each in plan.steps)
    beside = total(line.item for line in plan.shared_items) + total(plan.other_items)
    return estimate.usd + beside * Decimal(str(estimate.seconds)) / whole_s


def spent_so_far(
    stack: Stack, run_item: Mapping[str, Any], items: Sequence[dict[str, Any]]
) -> Decimal:
    """Return what a run under way has cost until now: attempts, clusters beside them, control.

    `items` is all that the ledger has of the run.
    """
    prices, _ = default_books()
    attempts = [Attempt.from_json(item) for item in _of_kind("attempt", items)]
    measured = [one.measured or measure(stack, one, "running", None)[0] for one in attempts]
    uses = cluster_uses(stack, attempts, (float(run_item["started_s"]), now_s()))
    shared = shared_lines(prices, uses, attempts)
    control = orchestration_items(prices, _of_kind("control", items), _of_kind("step", items))
    return sum((one.usd for one in measured), total([*(each.item for each in shared), *control]))


def _of_kind(kind: str, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["sk"].startswith(f"{kind}#")]
