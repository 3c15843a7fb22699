"""What the tasks of a part had to do, from the records of its calls: what calibration learns of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from placement.calibration.samples import CallWork, Work

type Json = dict[str, Any]


def work_of(calls: Sequence[Json], platform: str) -> Work | None:
    """Return what the calls of a part did; None where not every batch was one call's whole work.

    A batch that was called again did only a part of its tasks at a time, and says nothing of how
    long they take together.
    """
    batches = {call["batch"] for call in calls}
    whole = all(call["outcome"] == "succeeded" and "done" in call for call in calls)
    if not calls or not whole or len(batches) < len(calls):
        return None
    seen: set[str] = set()
    works = []
    for call in sorted(calls, key=lambda each: (float(each["started_s"]), each["call"])):
        first = call["worker"] not in seen
        seen.add(call["worker"])
        # An environment of Lambda outlives the part; a worker on a cluster begins with it.
        fresh = float(call["startup_s"]) > 0 if platform == "lambda" else first
        works.append(_call_work(call, fresh=fresh))
    done = [call["done"] for call in calls]
    return Work(
        tasks=sum(one["tasks"] for one in done),
        over_bytes=sum(one["over_bytes"] for one in done),
        largest_bytes=max(one["largest_bytes"] for one in done),
        whole_bytes=max(one["whole_bytes"] for one in done),
        whole_files=max(one["whole_files"] for one in done),
        output_bytes=sum(work.output_bytes for work in works),
        output_shards=sum(one["output_shards"] for one in done),
        calls=tuple(works),
    ).thinned()


def _call_work(call: Json, *, fresh: bool) -> CallWork:
    done, compute_s = call["done"], float(call["compute_s"])
    alive_s = float(call["ended_s"]) - float(call["started_s"])
    return CallWork(
        tasks=int(done["tasks"]),
        over_bytes=int(done["over_bytes"]),
        output_bytes=int(call["bytes_out"]),
        output_shards=int(done["output_shards"]),
        fresh=fresh,
        startup_s=float(call["startup_s"]),
        moving_s=round(max(0.0, alive_s - compute_s), 6),
        compute_s=compute_s,
        first_bytes=int(done["first_bytes"]),
        first_s=float(done["first_s"]),
    )
