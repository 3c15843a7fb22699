"""Roles hold what they need and no more: a few rights, taken away on the running stack.

`python -m tests.rights` does so with all of them.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.rights.evidence import AccessLog
from tests.rights.jobs import Job, Stage, jobs
from tests.rights.sweep import job_for, rehearse, try_without
from trivium.local.stack import LocalStack
from trivium.target import Target

pytestmark = pytest.mark.timeout(600)
SEED = 20261122


def access_log() -> AccessLog:
    return AccessLog(Path(os.environ["TRIVIUM_ACCESS_LOG"]))


def job(name: str) -> Job:
    return next(one for one in jobs() if one.name == name)


@pytest.mark.parametrize(("name", "rights"), [("a job on Lambda", 3), ("a job on Ray", 1)])
def test_a_right_that_is_taken_away_is_missed_by_name(
    local_stack: LocalStack, name: str, rights: int
) -> None:
    stage = Stage(local_stack)
    uses = list(rehearse(stage, [job(name)], access_log))
    used = [
        (document, right)
        for document in stage.documents
        for right in document.rights()
        if job_for(document, right, uses) is not None
        and (uses[0].job.agent is None or document.owner.startswith("RayAgent"))
    ]
    assert len(used) > rights
    for document, right in random.Random(SEED).sample(used, rights):  # noqa: S311 - a choice of tests
        finding = try_without(stage, document, right, job(name), access_log)
        assert finding.well, finding


def test_a_user_may_not_write_results_nor_read_what_others_uploaded(target: Target) -> None:
    client, bucket = target.stack.aws.client("s3"), target.stack.store.bucket
    with pytest.raises(ClientError, match="s3:PutObject"):
        client.put_object(Bucket=bucket, Key="runs/x/report.json", Body=b"{}")
    with pytest.raises(ClientError, match="s3:GetObject"):
        client.get_object(Bucket=bucket, Key="raw/word-count/a.txt")
    with pytest.raises(ClientError, match="states:StartExecution"):
        target.stack.aws.client("stepfunctions").start_execution(
            stateMachineArn=target.outputs["WorkflowMachineArn"]
        )


def test_the_bucket_refuses_what_did_not_come_over_tls(target: Target) -> None:
    def openly(request: Any, **_: Any) -> None:
        request.headers["X-Forwarded-Proto"] = "http"

    client = target.stack.aws.client("s3")
    client.meta.events.register("before-send.s3", openly)
    try:
        with pytest.raises(ClientError, match="explicit deny"):
            client.put_object(
                Bucket=target.stack.store.bucket, Key="raw/word-count/open/a.txt", Body=b"a\n"
            )
    finally:
        client.meta.events.unregister("before-send.s3", openly)
