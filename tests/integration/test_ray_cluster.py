"""Jobs on a real Ray head, through its Jobs API."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from agents.cluster import ClusterUnavailableError, JobRefusedError
from ray_tasks.ray_cluster import RayCluster
from tests.integration.support import (
    SLOTS,
    PartJob,
    Parts,
    began,
    ended,
    gone,
    listeners,
    until,
)
from trivium.local.processes import Processes
from trivium.local.ray_head import RayHead

# The first test waits for the head to start.
pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("environment")]


@pytest.fixture
def cluster(ray: RayHead) -> Iterator[RayCluster]:
    cluster = RayCluster(ray.address, ray.token, "c7i.large", 3)
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def stopped_after(cluster: RayCluster) -> Iterator[Callable[[PartJob], PartJob]]:
    """Return what submits a job that is stopped at the end of the test."""
    jobs: list[PartJob] = []

    def submit(job: PartJob) -> PartJob:
        jobs.append(job)
        cluster.submit(*job.asked)
        return job

    yield submit
    for job in jobs:
        cluster.cancel(job.name)
        ended(cluster, job)


@pytest.fixture
def stub() -> Iterator[Callable[[Callable[[httpx.Request], httpx.Response]], RayCluster]]:
    """Return what makes a cluster whose head answers as a function says."""
    made: list[RayCluster] = []

    def make(answer: Callable[[httpx.Request], httpx.Response]) -> RayCluster:
        cluster = RayCluster("http://head", "token", "c7i.large", 3, httpx.MockTransport(answer))
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.close()


Stub = Callable[[Callable[[httpx.Request], httpx.Response]], RayCluster]


def test_the_head_is_one_warm_node_with_its_slots(cluster: RayCluster) -> None:
    assert cluster.nodes().to_json() == {
        "instance_type": "c7i.large",
        "warm_nodes": 1,
        "slots_per_node": SLOTS,
        "max_nodes": 3,
        "booting_nodes": None,
        "stopping_nodes": None,
    }


def test_every_service_of_the_head_listens_on_loopback_only(
    ray: RayHead, ray_processes: Processes
) -> None:
    found = listeners(ray_processes)
    assert ("127.0.0.1", int(ray.address.rsplit(":", 1)[1])) in found
    assert {address for address, _ in found} == {"127.0.0.1"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/jobs/"),
        ("POST", "/api/jobs/"),
        ("GET", "/api/jobs/some-job"),
        ("POST", "/api/jobs/some-job/stop"),
        ("GET", "/api/v0/nodes"),
        ("GET", "/nodes?view=summary"),
    ],
)
def test_no_request_without_the_token_is_served(
    ray: RayHead, headers: dict[str, str], method: str, path: str
) -> None:
    body = {"entrypoint": "touch /tmp/never"} if method == "POST" else None
    answer = httpx.request(method, ray.address + path, headers=headers, json=body, timeout=30)
    assert answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


def test_with_a_wrong_token_the_cluster_is_unavailable(ray: RayHead) -> None:
    cluster = RayCluster(ray.address, "wrong", "c7i.large", 1)
    try:
        for call in (cluster.nodes, lambda: cluster.find("job"), lambda: cluster.cancel("job")):
            with pytest.raises(ClusterUnavailableError, match=r"Ray says 40[13]"):
                call()
        with pytest.raises(ClusterUnavailableError, match=r"Ray says 40[13]"):
            cluster.submit("job", "part.json", 1, SLOTS, "mpi")
    finally:
        cluster.close()


def test_a_map_part_runs_and_leaves_its_results_and_its_records(
    cluster: RayCluster, parts: Parts
) -> None:
    job = parts.map("upper", tasks=7)
    assert cluster.find(job.name) is None
    before = time.time()
    cluster.submit(*job.asked)
    submitted = time.time()
    assert ended(cluster, job).detail.startswith("SUCCEEDED")
    record = job.exit_record
    assert record is not None
    assert (record["outcome"], record["error"], record["reason"]) == ("succeeded", None, None)
    assert (record["slots"], record["instance_type"]) == (SLOTS, "c7i.large")
    # The node is paid for from the submission: the driver's start is the job's own time.
    assert before <= record["started_s"] <= submitted
    assert record["started_s"] < record["ready_s"] < record["ended_s"] < time.time()
    assert record["requests"]["s3_get"] > 0
    assert job.texts == [f"TEXT {number}\n" for number in range(7)]
    assert [call["outcome"] for call in job.calls] == ["succeeded"] * 4
    assert all(record["ready_s"] <= call["started_s"] <= call["ended_s"] for call in job.calls)
    for worker in {call["worker"] for call in job.calls}:
        first, *later = sorted(
            (call for call in job.calls if call["worker"] == worker), key=lambda c: c["started_s"]
        )
        assert 0 < first["startup_s"] <= first["started_s"] - record["ready_s"]
        assert all(call["startup_s"] == 0 for call in later)


def test_a_second_submission_of_one_name_is_no_error_and_runs_nothing(
    cluster: RayCluster,
    parts: Parts,
    gate: Path,
    stopped_after: Callable[[PartJob], PartJob],
) -> None:
    job = stopped_after(parts.map("gated", tasks=1, gate=str(gate)))
    cluster.submit(*job.asked)
    began(gate, 1)
    cluster.submit(*job.asked)
    (gate / "open").touch()
    ended(cluster, job)
    cluster.submit(*job.asked)
    assert len(job.calls) == 1
    assert len(list(gate.glob("began-*"))) == 1


@pytest.mark.parametrize(
    ("how", "error", "reason"),
    [
        ("refuse", "UserError", "000.txt: says nothing; write something for .txt."),
        ("crash", "ZeroDivisionError", "no 000000.txt from 000.txt"),
    ],
)
def test_what_a_failing_task_says_is_the_jobs_reason(
    cluster: RayCluster, parts: Parts, how: str, error: str, reason: str
) -> None:
    job = parts.map(how, tasks=1)
    cluster.submit(*job.asked)
    assert ended(cluster, job).detail.startswith("FAILED")
    record = job.exit_record
    assert record is not None
    assert (record["outcome"], record["error"], record["reason"]) == ("failed", error, reason)
    [call] = job.calls
    assert call["outcome"] == "failed"


def test_cancelling_stops_the_job_and_its_tasks(
    cluster: RayCluster,
    parts: Parts,
    gate: Path,
    stopped_after: Callable[[PartJob], PartJob],
) -> None:
    job = stopped_after(parts.map("gated", tasks=4, gate=str(gate)))
    workers = began(gate, SLOTS)
    found = cluster.find(job.name)
    assert found is not None
    assert found.state == "running"
    cluster.cancel(job.name)
    assert ended(cluster, job).detail.startswith("STOPPED")
    until(lambda: gone(workers), "the end of the workers")
    # Ray asks the driver to end before it kills it, so it may have had time to say so.
    assert job.exit_record is None or job.exit_record["error"] == "JobInterrupted"
    cluster.cancel(job.name)


def test_cancelling_an_unknown_job_is_harmless(cluster: RayCluster) -> None:
    cluster.cancel("never-heard-of")
    assert cluster.find("never-heard-of") is None


def test_a_batch_whose_worker_was_killed_is_run_again_for_what_is_left(
    cluster: RayCluster,
    parts: Parts,
    gate: Path,
    stopped_after: Callable[[PartJob], PartJob],
) -> None:
    job = stopped_after(parts.map("gated", tasks=1, gate=str(gate)))
    [worker] = began(gate, 1)
    os.kill(worker, signal.SIGKILL)
    (gate / "open").touch()
    assert ended(cluster, job).detail.startswith("SUCCEEDED")
    assert job.texts == ["TEXT 0\n"]
    assert job.exit_record is not None
    assert job.exit_record["outcome"] == "succeeded"
    # Both calls are on record: the one that died is paid for as well.
    assert sorted(call["outcome"] for call in job.calls) == ["running", "succeeded"]


def test_a_job_whose_driver_was_killed_ends_without_an_exit_record(
    cluster: RayCluster,
    parts: Parts,
    gate: Path,
    stopped_after: Callable[[PartJob], PartJob],
) -> None:
    job = stopped_after(parts.map("gated", tasks=1, gate=str(gate)))
    workers = began(gate, 1)
    drivers = [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[-2:] == ["ray_tasks.run_part", job.part_key]
    ]
    assert drivers
    for driver in drivers:
        driver.kill()
    assert ended(cluster, job).detail.startswith("FAILED")
    assert job.exit_record is None
    until(lambda: gone(workers), "the end of the workers")


def test_a_part_key_with_blanks_and_quotes_reaches_the_driver_whole(stub: Stub) -> None:
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={})

    stub(answer).submit("job", "runs/it's a run; reboot/p0.json", 1, SLOTS, "map")
    entrypoint = str(json.loads(asked[0].content)["entrypoint"])
    assert entrypoint.endswith(""" -m ray_tasks.run_part 'runs/it'"'"'s a run; reboot/p0.json'""")
    assert asked[0].headers["Authorization"] == "Bearer token"


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        ("PENDING", "queued"),
        ("RUNNING", "running"),
        ("A_STATE_OF_THE_FUTURE", "running"),
        ("STOPPED", "ended"),
        ("SUCCEEDED", "ended"),
        ("FAILED", "ended"),
    ],
)
def test_a_state_that_is_not_known_to_be_terminal_means_keep_polling(
    stub: Stub, status: str, seen: str
) -> None:
    cluster = stub(lambda _: httpx.Response(200, json={"status": status, "message": "words"}))
    found = cluster.find("job")
    assert found is not None
    assert found.state == seen
    assert found.detail == (f"{status}: words" if seen == "ended" else status)


@pytest.mark.parametrize(
    "answer", [{"result": False, "msg": "starting", "data": None}, {"data": {"result": None}}, {}]
)
def test_a_head_that_knows_of_no_nodes_yet_has_none(stub: Stub, answer: dict[str, Any]) -> None:
    assert stub(lambda _: httpx.Response(200, json=answer)).nodes().warm_nodes == 0


@pytest.mark.parametrize("code", [401, 500, 503])
def test_an_error_of_the_head_means_ask_again_later(stub: Stub, code: int) -> None:
    cluster = stub(lambda _: httpx.Response(code, text="words"))
    for call in (cluster.nodes, lambda: cluster.find("job"), lambda: cluster.cancel("job")):
        with pytest.raises(ClusterUnavailableError, match=f"Ray says {code}: words"):
            call()


def test_a_head_that_is_not_there_means_ask_again_later(stub: Stub) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ClusterUnavailableError, match="Ray at http://head: refused"):
        stub(refuse).submit("job", "part.json", 1, SLOTS, "mpi")


def test_a_request_that_ray_finds_wrong_is_refused_for_good(stub: Stub) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400 if request.method == "POST" else 404, text="ValueError: no")

    with pytest.raises(JobRefusedError, match="Ray refuses job job: ValueError: no"):
        stub(answer).submit("job", "part.json", 1, SLOTS, "mpi")


def test_a_submission_that_fails_after_ray_took_the_job_is_no_error(stub: Stub) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(500, text="timed out")
        return httpx.Response(200, json={"status": "PENDING"})

    stub(answer).submit("job", "part.json", 1, SLOTS, "mpi")
