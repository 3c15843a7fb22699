"""Turns a step's placement into work: tasks, parts and batches, all as objects in the bucket."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from control.attempt_record import Attempt
from control.attempts import queue_attempt
from control.budget import check_budget
from control.catalogue import load_workflow
from control.metrics import emit_job
from control.stack import Stack
from placement.probe import spread
from placement.workflow import InputRef, Step
from runtime.batch import Batch
from runtime.clock import now_s
from runtime.cluster_log import JOB_TIMEOUT_S
from runtime.keys import StepKeys


@dataclass(frozen=True)
class TaskList:
    """A step's tasks as they lie in the bucket: where each line starts, and how much it reads."""

    starts: tuple[int, ...]  # one more than there are tasks: the last is the length
    input_bytes: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """What a probe does of a step: so many shards, the same on each of its places."""

    shards: int
    places: int

    def inputs(self, shards: Sequence[Any]) -> list[list[Any]]:
        """Return the inputs of all tasks, one place's after another's."""
        chosen = spread([int(size) for _, size, *_ in shards], self.shards)
        return [[shards[index]] for index in chosen] * self.places

    def shares(self, remaining: Sequence[int], count: int) -> list[list[int]]:
        """Return the remaining of `count` tasks by the place that they are to measure."""
        each = count // self.places
        return [
            [task for task in remaining if task // each == place] for place in range(self.places)
        ]


def place(stack: Stack, run: str, step_name: str, attempt: int) -> dict[str, Any]:
    """Write what one attempt of a step is to do; return its parts for the state machine.

    Repeating it writes the same objects again.
    """
    item = stack.ledger.get(f"run#{run}", f"step#{step_name}") or {}
    run_item = stack.ledger.get(f"run#{run}", "run") or {}
    step = load_workflow(run_item["workflow"]).step(step_name)
    keys = StepKeys(run, step_name)
    parts, books = item["placements"][attempt - 1], item.get("books", [])
    probe = run_item.get("options", {}).get("probe")
    sample = None if probe is None else Sample(int(probe["shards"]), len(parts))
    if sample is not None:
        check_budget(stack, run_item, step_name)
    tasks = _write_tasks(stack, step, keys, run_item, sample)
    remaining = _remaining(stack, keys, len(tasks.input_bytes), attempt)
    count = len(tasks.input_bytes)
    started = {"attempt": attempt, "status": "running", "tasks": count, "started_s": now_s()}
    if sample is None:
        shares = divide(remaining, tasks.input_bytes, [float(part["share"]) for part in parts])
    else:
        shares = sample.shares(remaining, count)
        started["places"] = sample.places
    stack.ledger.set(f"run#{run}", f"step#{step_name}", started)
    placed = [
        _write_part(
            stack,
            step,
            queue_attempt(stack, keys, attempt, number, part, books),
            mine,
            tasks,
        )
        for number, (part, mine) in enumerate(zip(parts, shares, strict=True))
        if mine
    ]
    return {"parts": placed}


def _write_tasks(
    stack: Stack, step: Step, keys: StepKeys, run_item: dict[str, Any], sample: Sample | None
) -> TaskList:
    def shards(ref: InputRef) -> list[Any]:
        if ref.source == "upload":
            return list(run_item["inputs"].get(ref.name, []))
        return list(stack.store.get_json(StepKeys(keys.run, ref.name).output)["shards"])

    shared = [shard for ref in step.whole for shard in shards(ref)]
    inputs = _inputs(None if step.over is None else shards(step.over), sample)
    lines = [
        json.dumps({"task": number, "inputs": mine}, separators=(",", ":")) + "\n"
        for number, mine in enumerate(inputs)
    ]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    stack.store.put_json(keys.shared, shared)
    stack.store.put_text(keys.tasks, "".join(lines), "application/x-ndjson")
    whole = sum(int(size) for _, size, *_ in shared)
    return TaskList(
        tuple(starts), tuple(whole + sum(int(size) for _, size, *_ in mine) for mine in inputs)
    )


def _inputs(over: Sequence[Any] | None, sample: Sample | None) -> list[list[Any]]:
    """Return what each task maps over; a step that maps over nothing has one task."""
    if over is None:
        return [[]] * (1 if sample is None else sample.places)
    return [[shard] for shard in over] if sample is None else sample.inputs(over)


def _remaining(stack: Stack, keys: StepKeys, count: int, attempt: int) -> list[int]:
    if attempt == 1:
        return list(range(count))
    done = set(read_results(stack, keys))
    return [number for number in range(count) if number not in done]


def read_results(stack: Stack, keys: StepKeys) -> dict[int, dict[str, Any]]:
    """Return the results of all tasks that are done, by task, of whichever attempt."""
    names = [stored.key for stored in stack.store.listing(keys.results)]
    results: dict[int, dict[str, Any]] = {}
    for batch in stack.store.get_all_json(names):
        for entry in batch:
            results.setdefault(int(entry["task"]), entry)
    return results


def divide(
    tasks: Sequence[int], input_bytes: Sequence[int], shares: Sequence[float]
) -> list[list[int]]:
    """Divide tasks into consecutive groups whose inputs are in proportion to the shares.

    A task goes to the group in which the middle of its bytes falls. Every task counts one byte
    more than its input, so that empty inputs are divided as well.
    """
    weights = [input_bytes[task] + 1 for task in tasks]
    total, whole = sum(weights), sum(shares)
    bounds: list[float] = []
    for share in shares:
        bounds.append((bounds[-1] if bounds else 0.0) + share / whole * total)
    groups: list[list[int]] = [[] for _ in shares]
    behind, group = 0, 0
    for task, weight in zip(tasks, weights, strict=True):
        while group < len(shares) - 1 and behind + weight / 2 > bounds[group]:
            group += 1
        groups[group].append(task)
        behind += weight
    return groups


def batches_of(tasks: Sequence[int], list_of: TaskList, wanted: int) -> list[Batch]:
    """Group tasks into about `wanted` batches of consecutive lines, balanced by input bytes."""
    count = max(1, min(wanted, len(tasks)))
    each = [[task] for task in tasks]
    groups = each if count == len(tasks) else divide(tasks, list_of.input_bytes, [1.0] * count)
    batches: list[Batch] = []
    for group in groups:
        for span in _consecutive(group):
            start, end = list_of.starts[span[0]], list_of.starts[span[-1] + 1]
            batches.append(Batch(len(batches), start, end, len(span)))
    return batches


def _consecutive(tasks: Sequence[int]) -> list[list[int]]:
    spans: list[list[int]] = []
    for task in tasks:
        if spans and spans[-1][-1] + 1 == task:
            spans[-1].append(task)
        else:
            spans.append([task])
    return spans


def _write_part(
    stack: Stack, step: Step, record: Attempt, tasks: list[int], list_of: TaskList
) -> dict[str, Any]:
    platform, size = record.platform, dict(record.size)
    keys, attempt, number = StepKeys(record.run, record.step), record.attempt, record.part
    batches = batches_of(tasks, list_of, int(size["batches"]))
    part_key, batches_key = keys.part(attempt, number), keys.batches(attempt, number)
    stack.store.put_json(batches_key, [batch.to_json() for batch in batches])
    description = {
        "run": keys.run,
        "step": keys.step,
        "attempt": attempt,
        "part": number,
        "platform": platform,
        "size": size,
        "kind": step.kind,
        "code": {
            "run": step.run,
            "command": list(step.command) or None,
            "parameters": dict(step.parameters),
        },
        "output": step.output_suffix,
        "batches_key": batches_key,
        "queued_s": record.queued_s,
    }
    stack.store.put_json(part_key, description)
    placed = {"platform": platform, "part_key": part_key, "batches_key": batches_key}
    if platform == "lambda":
        functions = json.loads(os.environ["TRIVIUM_RUN_TASK_FUNCTIONS"])
        return placed | {"function": functions[str(size["memory_mb"])]}
    emit_job(platform)
    return placed | {"job": record.job, "timeout_s": JOB_TIMEOUT_S}
