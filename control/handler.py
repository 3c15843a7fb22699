"""What every handler shares: logs, traces, metrics, and its own cost on record."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from control.stack import Stack
from runtime.clock import now_s, process_started_s

logger = Logger(service="trivium")
tracer = Tracer(service="trivium")
metrics = Metrics(namespace="Trivium", service="trivium")

type Event = dict[str, Any]
type Logic = Callable[[Stack, Event, Any], dict[str, Any]]

_cold = True


def handler(function: str) -> Callable[[Logic], Callable[[Event, Any], dict[str, Any]]]:
    """Turn `logic(stack, event, context)` into a Lambda handler.

    However the call ends, it leaves a control record on its run: a function of the control plane
    is billed like any other.
    """

    def decorate(logic: Logic) -> Callable[[Event, Any], dict[str, Any]]:
        """Wrap the logic; the stack is that of the environment, the same for all calls."""
        stack = Stack.here()

        @logger.inject_lambda_context(clear_state=True)
        @tracer.capture_lambda_handler(capture_response=False)
        @functools.wraps(logic)
        def handle(event: Event, context: Any) -> dict[str, Any]:
            call = _ControlCall(stack, function, context)
            logger.append_keys(run=event.get("run"), step=event.get("step"), function=function)
            try:
                answer = logic(stack, event, context)
                call.run, call.succeeded = answer.get("run") or event.get("run"), True
            except Exception:
                call.run = event.get("run")
                metrics.add_metric(name="Errors", unit=MetricUnit.Count, value=1)
                metrics.flush_metrics()
                raise
            finally:
                call.record()
            return answer

        decorated: Callable[[Event, Any], dict[str, Any]] = handle
        return decorated

    return decorate


class _ControlCall:
    """One invocation: what it takes, for the account."""

    def __init__(self, stack: Stack, function: str, context: Any) -> None:
        global _cold  # noqa: PLW0603 - a cold start happens once per process
        self._stack, self._function = stack, function
        self._request = context.aws_request_id
        self._started_s = now_s()
        self._init_s = self._started_s - process_started_s() if _cold else 0.0
        self._before = stack.aws.requests.snapshot()
        _cold = False
        self.run: str | None = None
        self.succeeded = False

    def record(self) -> None:
        """Leave a control record on the run; a call that concerns no run leaves none."""
        if self.run is None:
            return
        requests = self._stack.aws.requests.since(self._before)
        requests["dynamodb_write"] = requests.get("dynamodb_write", 0) + 1  # this record
        self._stack.ledger.put(
            f"run#{self.run}",
            f"control#{self._request}",
            {
                "function": self._function,
                "succeeded": self.succeeded,
                "started_s": self._started_s,
                "startup_s": round(self._init_s, 6),
                "duration_s": round(now_s() - self._started_s, 6),
                "memory_mb": int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")),
                "requests": requests,
            },
        )
