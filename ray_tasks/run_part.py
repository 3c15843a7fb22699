"""The driver of one part on Ray: `python -m ray_tasks.run_part PART_KEY`."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from ray_tasks.worker import clients, run_one
from runtime.batch import Part
from runtime.clock import now_s
from runtime.cluster_log import JobFacts
from runtime.exit_record import TaskFailedError, run_job
from runtime.settings import variable
from runtime.store import Store

LOOK_EVERY_S = 0.5

# A batch whose worker died is run again for what is left.
run_batch_remotely = ray.remote(num_cpus=1, max_retries=2)(run_one)


def run_part(store: Store, description: dict[str, Any], slots: int) -> float:
    """Run all batches of a part, as many at a time as it has slots; return when they could begin.

    What is offered to Ray is what its autoscaler launches nodes for: no more than was planned, also
    while no node is up. The rest waits here, not in the cluster.

    Raises:
        TaskFailedError: a batch failed; those that run are waited for no longer.

    """
    batches = list(store.get_json(description["batches_key"]))
    shared = ray.put(description)

    def offer(item: dict[str, int]) -> Any:
        return run_batch_remotely.remote(shared, item, now_s())

    ready_s = now_s() if _nodes_are_up() else None
    waiting = [offer(item) for item in batches[:slots]]
    while ready_s is None:
        time.sleep(LOOK_EVERY_S)
        ready_s = now_s() if _nodes_are_up() else None
    for item in batches[slots:]:
        waiting = [*_collect(waiting), offer(item)]
    while waiting:
        waiting = _collect(waiting)
    return ready_s


def _nodes_are_up() -> bool:
    return bool(ray.cluster_resources().get("CPU", 0) > 0)  # type: ignore[no-untyped-call]


def _collect(waiting: list[Any]) -> list[Any]:
    ready, rest = ray.wait(waiting, num_returns=1)
    try:
        ray.get(ready)
    except RayTaskError as error:
        cause = error.cause
        raise TaskFailedError(type(cause).__name__, str(cause)) from error
    except OutOfMemoryError as error:
        # The rest is a page of what else ran on the node.
        told = str(error).partition("\n")[0]
        advice = "give the step's profile more memory_mb."
        raise TaskFailedError("OutOfMemoryError", f"{told}; {advice}") from error
    except RayError as error:
        raise TaskFailedError(type(error).__name__, str(error)) from error
    return list(rest)


def main(part_key: str) -> int:
    """Run the part; return the exit code."""
    aws, store = clients()

    def work(_: Part) -> dict[str, Any]:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
        description = store.get_json(part_key)
        slots = JobFacts.of_part(description).slots
        return {"ready_s": run_part(store, description, slots), "slots": slots}

    # Ray starts a job's driver at once: what passes until it runs is the job's own time.
    return run_job(aws, store, part_key, float(variable("TRIVIUM_SUBMITTED_S")), work)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
