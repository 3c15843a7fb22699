"""The account as CloudWatch metrics, in the embedded metric format: one log line per attempt.

Dimensions are stack, workflow, step and platform, which have few values; run, attempt and part are
metadata, which can be searched in the logs and make no metric of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from control.attempt_record import Attempt

NAMESPACE = "Trivium"


def emit_job(platform: str) -> None:
    """Write that a job was queued for a cluster: SQS tells of a queue that slept late."""
    metrics = EphemeralMetrics(namespace=NAMESPACE, service="trivium")
    metrics.add_dimension("stack", os.environ["TRIVIUM_STACK"])
    metrics.add_dimension("platform", platform)
    metrics.add_metric("JobsQueued", MetricUnit.Count, 1)
    metrics.flush_metrics()


def emit_attempts(workflow: str, attempts: Iterable[Attempt]) -> None:
    """Write the metrics of all settled attempts: seconds and USD, failed, replaced.

    A cost is a plain number here; the exact one is in the ledger.
    """
    for one in attempts:
        measured = one.measured
        if measured is None:
            continue
        metrics = EphemeralMetrics(namespace=NAMESPACE, service="trivium")
        metrics.add_dimension("stack", os.environ["TRIVIUM_STACK"])
        metrics.add_dimension("workflow", workflow)
        metrics.add_dimension("step", one.step)
        metrics.add_dimension("platform", one.platform)
        wall_s = measured.ended_s - one.queued_s
        metrics.add_metric("AttemptSeconds", MetricUnit.Seconds, wall_s)
        metrics.add_metric("AttemptUsd", MetricUnit.NoUnit, float(measured.usd))
        metrics.add_metric("Failed", MetricUnit.Count, int(measured.outcome == "failed"))
        metrics.add_metric("Replaced", MetricUnit.Count, int(measured.outcome == "replaced"))
        for name, value in (("run", one.run), ("attempt", one.attempt), ("part", one.part)):
            metrics.add_metadata(name, value)
        metrics.flush_metrics()
