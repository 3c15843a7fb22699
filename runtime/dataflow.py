"""Data flow: a step starts when the last of its predecessors is settled, and not before.

`Await` stores the step's task token, `Settle` deletes its own name from each successor's waiting
set, and whichever of the two finds "token present and nothing waiting" sends the token. Deleting
from a set and sending a token twice are both harmless, so all of it may be repeated.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from runtime.clock import now_s
from runtime.ledger import Ledger
from runtime.requests import Aws

STOPPED = "stopped"  # the status of a step whose run has failed before it could start
# A token whose wait is over, in any of the ways that Step Functions says so: nothing to send to.
TOKEN_IS_SPENT = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


def store_token(aws: Aws, ledger: Ledger, run: str, step: str, token: str) -> None:
    """Keep a step's token, and send it at once if nothing is waited for."""
    item = ledger.set(f"run#{run}", f"step#{step}", {"token": token})
    if item.get("status") == STOPPED:
        send_failure(aws, token, "RunFailed", item["reason"])
    else:
        _release_if_ready(aws, ledger, item)


def stop_waiting(aws: Aws, ledger: Ledger, run: str, reason: str) -> None:
    """End the wait of every step of a run that has failed: their inputs will never come.

    On AWS the Map over the steps fails with its first failure and aborts the others by itself; an
    interpreter that waits for all of them would wait for ever.
    """
    for item in ledger.query(f"run#{run}", "step#"):
        if item["status"] == "waiting":
            fields = {"status": STOPPED, "reason": reason, "ended_s": now_s()}
            item = ledger.set(item["pk"], item["sk"], fields)  # noqa: PLW2901
            if "token" in item:
                send_failure(aws, item["token"], "RunFailed", reason)


def release_successors(
    aws: Aws, ledger: Ledger, run: str, step: str, successors: list[str]
) -> None:
    """Tell each successor that this step is settled; start those that wait for nothing else."""
    for successor in successors:
        item = ledger.remove_from_set(f"run#{run}", f"step#{successor}", "waiting", [step])
        _release_if_ready(aws, ledger, item)


def _release_if_ready(aws: Aws, ledger: Ledger, item: dict[str, Any]) -> None:
    if item.get("waiting") or "token" not in item or item.get("status") == STOPPED:
        return
    if "ready_s" not in item:
        ledger.set(item["pk"], item["sk"], {"ready_s": now_s()})
    send_success(aws, item["token"], {})


def send_success(aws: Aws, token: str, output: dict[str, Any]) -> bool:
    """Send a token; return False where its wait was already over."""
    return _send(lambda sfn: sfn.send_task_success(taskToken=token, output=json.dumps(output)), aws)


def send_failure(aws: Aws, token: str, error: str, cause: str) -> bool:
    """Fail a token's wait; return False where its wait was already over."""
    return _send(
        lambda sfn: sfn.send_task_failure(taskToken=token, error=error[:256], cause=cause[:32_000]),
        aws,
    )


def send_heartbeat(aws: Aws, token: str) -> bool:
    """Say that the work behind a token goes on; return False where nobody waits for it any more."""
    return _send(lambda sfn: sfn.send_task_heartbeat(taskToken=token), aws)


def _send(call: Any, aws: Aws) -> bool:
    try:
        call(aws.client("stepfunctions"))
    except ClientError as error:
        if error.response["Error"]["Code"] in TOKEN_IS_SPENT:
            return False
        raise
    return True
