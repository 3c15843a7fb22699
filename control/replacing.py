"""After a failure: the next best platform, or the end of the step with its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from control.attempts import settle_attempt
from control.calls import failure_on_record
from control.settling import IncompleteError
from control.stack import Stack
from runtime.clock import now_s
from runtime.dataflow import stop_waiting
from runtime.keys import StepKeys

CALLS_LEFT_NO_RECORD = (
    "calls on Lambda failed before they could write to the bucket what of; the logs of RunTask "
    "and the children of the step's Distributed Map say it."
)


def replace(
    stack: Stack, run: str, step: str, attempt: int, failure: Mapping[str, Any]
) -> dict[str, Any]:
    """Record a failed attempt and choose the next placement; harmless when repeated."""
    item = stack.ledger.get(f"run#{run}", f"step#{step}") or {}
    parts = len(item["placements"][attempt - 1])
    error, reason = _what_failed(stack, StepKeys(run, step), attempt, parts, failure)
    if "refused" in item:
        error, reason = "UserError", item["refused"]
    hopeless = error == "UserError"
    possible = attempt < len(item["placements"])
    replaced = possible and not hopeless
    settle_attempt(stack, run, step, attempt, "replaced" if replaced else "failed", reason)
    answer = {"run": run, "step": step, "attempt": attempt + 1, "reason": None}
    if replaced:
        return answer | {"verdict": "replaced"}
    sentence = f"Step {step} failed: {reason}"
    if not hopeless and attempt > 1:
        tried = f"It was tried {attempt} times, on every platform that can run it."
        sentence = f"{sentence.rstrip('.')}. {tried}"
    ended = {"status": "failed", "reason": sentence, "ended_s": now_s()}
    stack.ledger.set(f"run#{run}", f"step#{step}", ended)
    stop_waiting(stack.aws, stack.ledger, run, f"The run failed: {sentence}")
    return answer | {"verdict": "failed", "reason": sentence}


def _what_failed(
    stack: Stack, keys: StepKeys, attempt: int, parts: int, failure: Mapping[str, Any]
) -> tuple[str, str]:
    """Return the error's name and its words.

    A Distributed Map fails with a `States.` error of its own, which does not say what its children
    failed of, and Settle knows only which results are missing: the records of the calls say more.
    """
    error = str(failure.get("Error", "Unknown"))
    if error.startswith("States.") or error == IncompleteError.__name__:
        found = failure_on_record(stack, keys, attempt, parts)
        if found is not None:
            return found
    if error == "States.ExceedToleratedFailureThreshold":
        return error, CALLS_LEFT_NO_RECORD
    return error, readable_reason(failure)


def readable_reason(failure: Mapping[str, Any]) -> str:
    """Return what failed in words, from the nested JSON that Step Functions wraps it in."""
    cause = failure.get("Cause") or failure.get("Error") or "no reason was given"
    while isinstance(cause, str) and cause.lstrip().startswith("{"):
        try:
            inner = json.loads(cause)
        except ValueError:
            break
        found = inner.get("errorMessage") or inner.get("Cause") or inner.get("Error")
        if not isinstance(found, str):
            break
        cause = found
    return str(cause)
