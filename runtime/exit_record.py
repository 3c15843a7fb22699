"""The record that a job leaves beside its results: what came of it, and when it ran.

A cluster forgets a finished job (Slurm after `MinJobAge`) and has no accounting database by
default; this record is what the agent and the account go by.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
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


def run_job(
    aws: Aws, store: Store, part_key: str, started_s: float, work: Callable[[Part], dict[str, Any]]
) -> int:
    """Run a job's work on its part and leave the exit record; return the process's exit code.

    The nodes are the job's, and paid for, from `started_s`. `work` returns further fields of the
    record, among them `ready_s`: when the first task could begin.
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
        requests = aws.requests.since(Counter())
        requests["s3_put"] = requests.get("s3_put", 0) + 1  # the record itself
        record["requests"] = requests
        store.put_json(part.keys.exit_record(part.attempt, part.part), record)
    return 0 if record["outcome"] == "succeeded" else 1
