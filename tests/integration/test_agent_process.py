"""Agents as processes of their own, from the message in the queue to the verdict on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from runtime.ledger import Ledger
from runtime.requests import Aws
from tests.integration.support import (
    SLOTS,
    TABLE,
    Desk,
    PartJob,
    Parts,
    began,
    gone,
    kill,
    reason_of,
    until,
)
from trivium.local.ray_head import RayHead

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(params=["mpirun", "slurm", "ray"])
def kind(request: pytest.FixtureRequest, desk: Desk) -> str:
    """Return one kind of cluster after another, with what its agent has to be told."""
    kind = str(request.param)
    if kind == "slurm":
        desk.environment |= request.getfixturevalue("slurm_variables")
    if kind == "ray":
        head: RayHead = request.getfixturevalue("ray")
        desk.environment |= {"TRIVIUM_RAY_ADDRESS": head.address, "RAY_AUTH_TOKEN": head.token}
    return kind


@pytest.fixture
def platform(kind: str) -> str:
    return "ray" if kind == "ray" else "hpc"


@pytest.fixture
def gated(kind: str, parts: Parts, gate: Path) -> Callable[[], PartJob]:
    """Return what makes a job that ends when the gate opens: MPI where there is MPI."""

    def make() -> PartJob:
        if kind == "ray":
            return parts.map("gated", tasks=2, gate=str(gate))
        return parts.mpi("gated", gate=str(gate))

    return make


def tasks_at_once(kind: str) -> int:
    return 1 if kind == "ray" else SLOTS  # two tasks make one batch


def succeeded(verdict: dict[str, Any], job: PartJob) -> bool:
    return (verdict["status"], json.loads(verdict.get("output", "{}"))) == (
        "SUCCEEDED",
        {"job": job.name},
    )


def test_a_job_goes_through_and_the_cluster_is_announced(
    desk: Desk, kind: str, platform: str, parts: Parts, aws: Aws
) -> None:
    begun_s = time.time()
    job = parts.map("upper")
    waiting = desk.wait_for(job)
    desk.start_agent(kind)
    assert succeeded(waiting.verdict(), job), desk.log()
    assert job.texts == [f"TEXT {number}\n" for number in range(4)]
    until(lambda: desk.jobs(platform) == [], "an empty ledger")
    assert desk.messages(desk.queue_url) == 0
    announced = Ledger(aws, TABLE).get("cluster", platform)
    assert announced is not None
    assert announced["updated_s"] > begun_s
    assert (announced["warm_nodes"], announced["slots_per_node"]) == (1, SLOTS)
    assert announced["instance_type"] == "c5n.9xlarge"


def test_a_users_error_reaches_the_state_machine_as_its_sentence(desk: Desk, parts: Parts) -> None:
    waiting = desk.wait_for(parts.map("refuse", tasks=1))
    desk.start_agent("mpirun")
    expected = ("UserError", "000.txt: says nothing; write something for .txt.")
    assert reason_of(waiting.verdict()) == expected, desk.log()
    until(lambda: desk.jobs("hpc") == [], "an empty ledger")


def test_an_agent_that_is_killed_while_its_job_runs_is_followed_by_one_that_adopts_it(
    desk: Desk, kind: str, platform: str, gated: Callable[[], PartJob], gate: Path
) -> None:
    job = gated()
    waiting = desk.wait_for(job)
    agent = desk.start_agent(kind)
    tasks = began(gate, tasks_at_once(kind))
    kill(agent)
    assert not gone(tasks)
    assert desk.jobs(platform) == [job.name]
    desk.start_agent(kind)
    until(lambda: f"adopted job {job.name}" in desk.log(), "the adoption")
    (gate / "open").touch()
    assert succeeded(waiting.verdict(), job), desk.log()
    assert len(job.calls) == 1
    assert desk.log().count("submitted job") == 1


def test_asked_to_end_the_agent_ends_with_0_and_its_job_lives_on_and_is_reported_by_the_next(
    desk: Desk, kind: str, platform: str, gated: Callable[[], PartJob], gate: Path
) -> None:
    job = gated()
    waiting = desk.wait_for(job)
    agent = desk.start_agent(kind)
    tasks = began(gate, tasks_at_once(kind))
    agent.terminate()
    assert agent.wait(timeout=30) == 0, desk.log()
    assert not gone(tasks)
    assert desk.jobs(platform) == [job.name]
    (gate / "open").touch()
    until(lambda: job.exit_record, "the end of the job")
    desk.start_agent(kind)
    assert succeeded(waiting.verdict(), job), desk.log()
    assert desk.log().count("submitted job") == 1


def test_a_job_for_which_nobody_waits_any_more_is_cancelled(
    desk: Desk, kind: str, platform: str, gated: Callable[[], PartJob], gate: Path, aws: Aws
) -> None:
    job = gated()
    waiting = desk.wait_for(job)
    agent = desk.start_agent(kind)
    tasks = began(gate, tasks_at_once(kind))
    token = Ledger(aws, TABLE).query(f"job#{platform}")[0]["token"]
    aws.client("stepfunctions").send_task_failure(taskToken=token, error="Aborted", cause="test")
    assert reason_of(waiting.verdict()) == ("Aborted", "test")
    # A heartbeat is due every twenty seconds, and at once in an agent that has just adopted it.
    kill(agent)
    desk.start_agent(kind)
    until(lambda: gone(tasks), "the end of the tasks")
    until(lambda: desk.jobs(platform) == [], "an empty ledger")
    assert f"nobody waits for job {job.name} any more: cancelled" in desk.log()


def test_a_job_that_somebody_cancels_is_lost_or_interrupted_and_fails(
    desk: Desk, kind: str, platform: str, gated: Callable[[], PartJob], gate: Path
) -> None:
    job = gated()
    waiting = desk.wait_for(job)
    desk.start_agent(kind)
    tasks = began(gate, tasks_at_once(kind))
    cancel_by_hand(kind, desk, job, tasks)
    error, cause = reason_of(waiting.verdict())
    assert error in {"JobLost", "JobInterrupted"}, desk.log()
    if kind == "slurm":
        assert cause == "The job ended (CANCELLED) and left no exit record."
    until(lambda: gone(tasks), "the end of the tasks")
    until(lambda: desk.jobs(platform) == [], "an empty ledger")


def cancel_by_hand(kind: str, desk: Desk, job: PartJob, tasks: list[int]) -> None:
    """Do what an administrator, or the kernel out of memory, might do."""
    if kind == "slurm":
        environment = os.environ | desk.environment
        subprocess.run(["scancel", f"--name={job.name}"], check=True, env=environment)
        return
    words = "ray_tasks.run_part" if kind == "ray" else "hpc.job"
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[-2:] == [words, job.part_key]:
            process.kill()
    assert tasks


def test_a_message_that_is_no_job_stays_in_the_queue_and_holds_up_nothing(
    desk: Desk, parts: Parts, aws: Aws
) -> None:
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=desk.queue_url, MessageBody='{"job": "no token"}')
    job = parts.map("upper", tasks=1)
    waiting = desk.wait_for(job)
    desk.start_agent("mpirun")
    assert succeeded(waiting.verdict(), job), desk.log()
    assert "a message that is not a job" in desk.log()
    # It is hidden for a minute; SQS moves it when it has been received often enough.
    assert desk.messages(desk.queue_url) == 1


def test_a_job_without_a_description_fails_at_once_with_the_sentence_that_says_so(
    desk: Desk, parts: Parts, aws: Aws
) -> None:
    job = parts.map("upper", tasks=1)
    aws.client("s3").delete_object(Bucket="tests", Key=job.part_key)
    waiting = desk.wait_for(job)
    desk.start_agent("mpirun")
    error, cause = reason_of(waiting.verdict())
    assert error == "UserError"
    assert f"There is no object s3://tests/{job.part_key}" in cause


def test_two_jobs_on_one_machine_run_one_after_the_other(
    desk: Desk, parts: Parts, gate: Path
) -> None:
    first, second = parts.mpi("gated", gate=str(gate)), parts.mpi("add")
    waiting = [desk.wait_for(first)]
    desk.start_agent("mpirun")
    began(gate, SLOTS)
    waiting.append(desk.wait_for(second))
    until(lambda: f"submitted job {second.name}" in desk.log(), "the second job")
    (gate / "open").touch()
    assert succeeded(waiting[0].verdict(), first), desk.log()
    assert succeeded(waiting[1].verdict(), second), desk.log()
    assert first.exit_record is not None
    assert second.exit_record is not None
    assert second.exit_record["ready_s"] >= first.exit_record["ended_s"]


def test_an_idle_agent_ends_with_0_when_it_is_asked_to(desk: Desk) -> None:
    agent = desk.start_agent("mpirun")
    until(lambda: desk.jobs("hpc") == [], "a quiet ledger")
    time.sleep(2)
    agent.send_signal(signal.SIGINT)
    assert agent.wait(timeout=30) == 0, desk.log()


@pytest.mark.parametrize(
    ("kind", "missing"),
    [("mpirun", "TRIVIUM_BUCKET"), ("ray", "TRIVIUM_RAY_ADDRESS"), ("ray", "RAY_AUTH_TOKEN")],
)
def test_an_agent_that_is_not_told_enough_says_what_is_missing_and_ends_with_2(
    kind: str, missing: str, tmp_path: Path
) -> None:
    environment = os.environ | {
        "TRIVIUM_BUCKET": "b",
        "TRIVIUM_TABLE": "t",
        "TRIVIUM_RAY_ADDRESS": "http://127.0.0.1:1",
        "RAY_AUTH_TOKEN": "token",
    }
    del environment[missing]
    words = [sys.executable, "-m", "agents", kind, "--queue-url", "http://127.0.0.1:1/q"]
    words += ["--instance-type", "c7i.large", "--work", str(tmp_path)]
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"The environment variable {missing} is not set; the deployment sets it.\n"
    )
