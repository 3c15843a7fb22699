"""The records that a part's calls have left: what they took, and what failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from control.stack import Stack
from placement.account import LambdaCall, billed_ms
from runtime.keys import StepKeys

# A call that died without a word is charged for at most as long as it can have run.
LAMBDA_TIMEOUT_S = 900

type Json = dict[str, Any]


def calls_of(stack: Stack, keys: StepKeys, attempt: int, part: int) -> list[Json]:
    """Return the records of all calls of one part, in the order of their keys."""
    prefix = f"{keys.calls}a{attempt}-p{part}-"
    names = [stored.key for stored in stack.store.listing(prefix)]
    return stack.store.get_all_json(names)


def failure_on_record(
    stack: Stack, keys: StepKeys, attempt: int, parts: int
) -> tuple[str, str] | None:
    """Return the error and the sentence of the call that failed an attempt; None: none says so.

    A failed call counts only where no later call did its batch. Of several failures a wrong input
    goes first, because it is final anywhere, and running out of time last, because it is called
    again; then the earliest. Where no call failed, one that never ended is told of.
    """
    calls = [call for number in range(parts) for call in calls_of(stack, keys, attempt, number)]
    left = [call for call in calls if not _done_later(call, calls)]
    failed = [call for call in left if call["outcome"] == "failed"]
    rank = {"UserError": 0, "OutOfTimeError": 2}
    failed.sort(key=lambda call: (rank.get(call["error"], 1), call["ended_s"], call["call"]))
    if failed:
        return str(failed[0]["error"]), str(failed[0]["reason"])
    lost = sum(call["outcome"] == "running" for call in left)
    if lost:
        calls_ended = "1 call" if lost == 1 else f"{lost} calls"
        return "CallLost", f"{calls_ended} ended without a word: out of memory, or out of time."
    return None


def _done_later(call: Json, calls: Sequence[Json]) -> bool:
    return any(
        other["outcome"] == "succeeded"
        and (other["part"], other["batch"]) == (call["part"], call["batch"])
        and other["started_s"] >= call["started_s"]
        for other in calls
    )


def task_seconds(calls: Sequence[Json]) -> float:
    """Return what calls computed in all, whose tasks are done: they ended well, or ran out of time.

    A call that failed may have done some tasks before; they are left out.
    """
    useful = [
        float(call["compute_s"])
        for call in calls
        if call["outcome"] == "succeeded" or call.get("error") == "OutOfTimeError"
    ]
    return round(math.fsum(useful), 6)


def lambda_calls(calls: Sequence[Json], ended_s: float) -> list[LambdaCall]:
    """Return calls on Lambda as they are billed, start-up included.

    One that never said how it ended is billed until the next call of its batch began, which is
    when Step Functions knew of its end; where there is none, until the attempt ended.
    """
    return [
        LambdaCall(
            int(call["memory_mb"]),
            billed_ms(_call_seconds(call, _next_s(call, calls, ended_s))),
            tmp_mb=int(call["tmp_mb"]),
        )
        for call in calls
    ]


def _next_s(call: Json, calls: Sequence[Json], ended_s: float) -> float:
    later = [
        float(other["started_s"])
        for other in calls
        if other["batch"] == call["batch"] and other["started_s"] > call["started_s"]
    ]
    return min([*later, ended_s])


def _call_seconds(call: Json, ended_s: float) -> float:
    if "ended_s" in call:
        alive_s = float(call["ended_s"]) - float(call["started_s"])
    else:
        alive_s = min(ended_s - float(call["started_s"]), LAMBDA_TIMEOUT_S)
    return float(call["startup_s"]) + max(0.0, alive_s)
