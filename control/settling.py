"""Ends an attempt of a step: all there? Into the ledger, and the successors start."""

from __future__ import annotations

from typing import Any

from control.attempts import settle_attempt
from control.catalogue import workflow_of
from control.placing import read_results
from control.stack import Stack
from runtime.clock import now_s
from runtime.dataflow import release_successors
from runtime.keys import StepKeys


class IncompleteError(Exception):
    """Tasks ended without a result: nobody's wrong input, so the next placement is tried."""


def settle(stack: Stack, run: str, step: str, attempt: int) -> dict[str, Any]:
    """Settle a step whose parts have all ended; harmless when repeated.

    Raises:
        IncompleteError: a task has no result; the attempt has failed.

    """
    item = stack.ledger.get(f"run#{run}", f"step#{step}") or {}
    keys = StepKeys(run, step)
    results = read_results(stack, keys)
    missing = int(item["tasks"]) - len(results)
    if missing:
        raise IncompleteError(
            f"{missing} of the {item['tasks']} tasks of step {step} ended without a result."
        )
    kept = [results[task] for task in once_each(sorted(results), int(item.get("places", 1)))]
    shards = [shard for result in kept for shard in result["outputs"]]
    counts = merge_counts([result["counts"] for result in kept])
    stack.store.put_json(keys.output, {"shards": shards, "counts": counts})
    settle_attempt(stack, run, step, attempt, "succeeded", None)
    done = {"status": "done", "ended_s": now_s(), "counts": counts}
    stack.ledger.set(f"run#{run}", f"step#{step}", done)
    run_item = stack.ledger.get(f"run#{run}", "run") or {}
    successors = workflow_of(run_item).successors(step)
    release_successors(stack.aws, stack.ledger, run, step, list(successors))
    return {"run": run, "tasks": len(results)}


def once_each(tasks: list[int], places: int) -> list[int]:
    """Return the tasks whose outputs count: all, or those of a probe's first place.

    A probe does the same shards on every place, one place's tasks after another's.
    """
    return tasks[: len(tasks) // places]


def merge_counts(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum of each number that tasks have returned; of one task, all that it returned."""
    if len(counts) == 1:
        return counts[0]
    total: dict[str, Any] = {}
    for one in counts:
        for name in sorted(one):
            value = one[name]
            if isinstance(value, int | float) and not isinstance(value, bool):
                total[name] = total.get(name, 0) + value
    return total
