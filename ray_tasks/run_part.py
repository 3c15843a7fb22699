"""The driver of one part on Ray: `python -m ray_tasks.run_part PART_KEY`."""

from __future__ import annotations

import logging
import sys
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ray_tasks.worker import clients, run_one
from runtime.batch import Part
from runtime.clock import now_s
from runtime.exit_record import TaskFailedError, run_job
from runtime.settings import variable
from runtime.store import Store

IN_FLIGHT_PER_SLOT = 2  # enough to keep every slot busy; the rest waits here, not in the cluster

# A batch whose worker died is run again for what is left.
run_batch_remotely = ray.remote(num_cpus=1, max_retries=2)(run_one)


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
        waiting.append(run_batch_remotely.remote(shared, item, now_s()))
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
    aws, store = clients()

    def work(_: Part) -> dict[str, Any]:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
        slots = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        ready_s = now_s()
        run_part(store, store.get_json(part_key), slots)
        return {"ready_s": ready_s, "slots": slots}

    # Ray starts a job's driver at once: what passes until it runs is the job's own time.
    return run_job(aws, store, part_key, float(variable("TRIVIUM_SUBMITTED_S")), work)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
