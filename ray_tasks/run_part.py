"""The driver of one part on Ray: `python -m ray_tasks.run_part PART_KEY`."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from runtime.batch import Batch, Call, Part, run_batch
from runtime.clock import now_s
from runtime.exit_record import TaskFailedError, run_job
from runtime.requests import Aws
from runtime.settings import from_environment
from runtime.store import Store

IN_FLIGHT_PER_SLOT = 2  # enough to keep every slot busy; the rest waits here, not in the cluster


@ray.remote(num_cpus=1, max_retries=2)
def run_batch_remotely(description: dict[str, Any], item: dict[str, int]) -> int:
    """Run one batch in a Ray worker; a batch whose worker died is run again for what is left."""
    begun_s = now_s()
    settings = from_environment()
    aws = Aws()
    context = ray.get_runtime_context()
    call = Call(
        call_id=f"{context.get_task_id()}-{os.getpid()}",
        worker=f"{context.get_node_id()[:6]}-{os.getpid()}",
        started_s=begun_s,
        startup_s=0.0,
    )
    part, batch = Part.from_json(description), Batch.from_json(item)
    return run_batch(aws, Store(aws, settings.bucket), part, batch, call, retried=True)


def run_part(store: Store, description: dict[str, Any], slots: int) -> None:
    """Run all batches of a part, a bounded number at a time.

    Raises:
        TaskFailedError: a batch failed; those that run are waited for no longer.

    """
    batches = list(store.get_json(description["batches_key"]))
    shared = ray.put(description)
    waiting: list[ray.ObjectRef[int]] = []
    for item in batches:
        if len(waiting) >= slots * IN_FLIGHT_PER_SLOT:
            waiting = _collect(waiting)
        waiting.append(run_batch_remotely.remote(shared, item))
    while waiting:
        waiting = _collect(waiting)


def _collect(waiting: list[Any]) -> list[Any]:
    ready, rest = ray.wait(waiting, num_returns=1)
    try:
        ray.get(ready)
    except RayTaskError as error:
        cause = error.cause
        raise TaskFailedError(type(cause).__name__, str(cause)) from error
    except RayError as error:
        raise TaskFailedError(type(error).__name__, str(error)) from error
    return list(rest)


def main(part_key: str) -> int:
    """Run the part; return the exit code."""
    settings = from_environment()
    aws = Aws()
    store = Store(aws, settings.bucket)

    def work(_: Part) -> dict[str, Any]:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
        slots = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        ready_s = now_s()
        run_part(store, store.get_json(part_key), slots)
        return {"ready_s": ready_s, "slots": slots}

    return run_job(aws, store, part_key, work)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
