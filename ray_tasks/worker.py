"""What a Ray worker does with one batch."""

from __future__ import annotations

import functools
import os
from typing import Any

import ray

from runtime.batch import Batch, Call, Part, run_batch
from runtime.clock import now_s, process_started_s
from runtime.requests import Aws
from runtime.settings import from_environment
from runtime.store import Store

_warm: set[int] = set()  # this process, once it has run a batch


def run_one(description: dict[str, Any], item: dict[str, int], offered_s: float) -> int:
    """Run the tasks of one batch that are not done yet; return how many were run.

    Where Ray had to start this process for a batch that was offered before, that was start-up.
    """
    begun_s = now_s()
    started_s = max(offered_s, process_started_s()) if _first_batch() else begun_s
    aws, store = clients()
    context = ray.get_runtime_context()
    call = Call(
        call_id=f"{context.get_task_id()}-{os.getpid()}",
        worker=f"{context.get_node_id()[:6]}-{os.getpid()}",
        started_s=begun_s,
        startup_s=begun_s - started_s,
    )
    return run_batch(
        aws, store, Part.from_json(description), Batch.from_json(item), call, retried=True
    )


def _first_batch() -> bool:
    first = os.getpid() not in _warm
    _warm.add(os.getpid())
    return first


@functools.cache
def clients() -> tuple[Aws, Store]:
    """Return this process's clients: making them takes longer than many a batch."""
    aws = Aws()
    return aws, Store(aws, from_environment().bucket)
