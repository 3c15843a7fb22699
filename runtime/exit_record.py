"""The record that a job leaves beside its results: what came of it, and when it ran.

A cluster forgets a finished job (Slurm after `MinJobAge`) and has no accounting database by
default; this record is what the agent and the account go by.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from placement.errors import UserError
from runtime.batch import Part
from runtime.clock import now_s
from runtime.requests import Aws
from runtime.store import Store


class TaskFailedError(Exception):
    """A task failed elsewhere: the name of its error, and its words."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error


@dataclass(frozen=True)
class Element:
    """Which of the alike jobs this is that share out a map, each on a node of its own."""

    index: int = 0
    count: int = 1


def run_job(
    aws: Aws,
    store: Store,
    part_key: str,
    started_s: float,
    work: Callable[[Part], dict[str, Any]],
    element: Element = Element(),
) -> int:
    """Run a job's work on its part and leave the exit record; return the process's exit code.

    The nodes are the job's, and paid for, from `started_s`. `work` returns further fields of the
    record, among them `ready_s`: when the first task could begin, and `slots`.
    """
    description = store.get_json(part_key)
    part = Part.from_json(description)
    record: dict[str, Any] = {
        "started_s": started_s,
        "instance_type": os.environ.get("TRIVIUM_INSTANCE_TYPE"),
        "outcome": "failed",
        "error": "JobInterrupted",
        "reason": "The job was interrupted.",
    }
    try:
        record |= work(part) | {"outcome": "succeeded", "error": None, "reason": None}
    except TaskFailedError as error:
        record |= {"outcome": "failed", "error": error.error, "reason": str(error)}
    except UserError as error:
        record |= {"outcome": "failed", "error": "UserError", "reason": str(error)}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        record |= {"outcome": "failed", "error": type(error).__name__, "reason": reason}
        raise
    finally:
        record["ended_s"] = now_s()
        if element.count > 1:
            _leave_elements_record(aws, store, part, element, record)
        else:
            record["requests"] = _requests_and_one_put(aws)
            store.put_json(part.keys.exit_record(part.attempt, part.part), record)
    return 0 if record["outcome"] == "succeeded" else 1


def left(store: Store, part: Part, element: Element) -> bool:
    """Return whether the job, or this element of it, has left its record."""
    keys, attempt, number = part.keys, part.attempt, part.part
    wanted = [keys.exit_record(attempt, number)]
    wanted += [keys.element(attempt, number, element.index)] if element.count > 1 else []
    return any(store.find(key) is not None for key in wanted)


def _leave_elements_record(
    aws: Aws, store: Store, part: Part, element: Element, record: dict[str, Any]
) -> None:
    """Leave an element's record, and the job's if it failed or was the last to end.

    Two that end at once both leave the job's, of the same content but for their requests.
    """
    keys, attempt, number = part.keys, part.attempt, part.part
    record["requests"] = _requests_and_one_put(aws)
    store.put_json(keys.element(attempt, number, element.index), record)
    before = aws.requests.snapshot()
    found = sorted(stored.key for stored in store.listing(keys.elements(attempt, number)))
    if record["outcome"] == "failed" or len(found) == element.count:
        whole = _joined(store.get_all_json(found))
        asked = Counter(whole["requests"]) + Counter(aws.requests.since(before))
        whole["requests"] = dict(sorted((asked + Counter(s3_put=1)).items()))
        store.put_json(keys.exit_record(attempt, number), whole)


def _joined(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of a job from those of its elements; the first that failed failed it."""
    failed = [record for record in records if record["outcome"] == "failed"]
    whole = {name: (failed or records)[0][name] for name in ("outcome", "error", "reason")}
    ready = [record["ready_s"] for record in records if "ready_s" in record]
    if ready:
        whole["ready_s"] = min(ready)
    return whole | {
        "instance_type": records[0]["instance_type"],
        "started_s": min(record["started_s"] for record in records),
        "ended_s": max(record["ended_s"] for record in records),
        "spans": [[record["started_s"], record["ended_s"]] for record in records],
        "slots": sum(record.get("slots", 0) for record in records),
        "requests": sum((Counter(record["requests"]) for record in records), Counter()),
    }


def _requests_and_one_put(aws: Aws) -> dict[str, int]:
    """Return what was asked of AWS so far, and the record that is still to be put."""
    requests = aws.requests.since(Counter())
    requests["s3_put"] = requests.get("s3_put", 0) + 1
    return requests
