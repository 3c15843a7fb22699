"""Jobs on Ray clusters of several nodes, whose nodes and heads are lost and come again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)

from ray_tasks.autoscaling import Workers, autoscaler_config
from ray_tasks.ray_cluster import OUT_OF_MEMORY_RETRIES, RayCluster
from tests.integration.ray_nodes import RayNodes
from tests.integration.support import (
    SLOTS,
    Desk,
    Parts,
    began,
    ended,
    gone,
    reason_of,
    until,
    variables,
)

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("environment")]


@pytest.fixture
def nodes(tmp_path: Path, emulator: str) -> Iterator[RayNodes]:
    """Return a cluster of which nothing runs yet."""
    nodes = RayNodes(tmp_path / "nodes", variables(emulator))
    nodes.folder.mkdir()
    try:
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture
def cluster(nodes: RayNodes) -> Iterator[RayCluster]:
    """Return what speaks to the head, which has to be started."""
    with contextlib.closing(RayCluster(nodes.head.address, nodes.head.token, "c7i.large", 2)) as it:
        yield it


def up(cluster: RayCluster, count: int) -> None:
    until(lambda: cluster.nodes().warm_nodes == count, f"{count} nodes")


def test_batches_of_a_lost_node_are_run_again_on_another(
    nodes: RayNodes, cluster: RayCluster, parts: Parts, gate: Path
) -> None:
    nodes.start_head()
    first = nodes.start_worker()
    up(cluster, 1)
    job = parts.map("gated", tasks=4, nodes=2, gate=str(gate))
    cluster.submit(*job.asked)
    began(gate, 2)
    nodes.start_worker()
    up(cluster, 2)
    nodes.kill(first)
    began(gate, 4)
    (gate / "open").touch()
    assert ended(cluster, job).detail.startswith("SUCCEEDED")
    assert job.texts == [f"TEXT {number}\n" for number in range(4)]
    # The calls that died are on record, and paid for.
    assert sorted(call["outcome"] for call in job.calls) == ["running"] * 2 + ["succeeded"] * 2


def test_a_job_whose_head_is_lost_fails_with_that_reason_and_runs_on_the_next(
    nodes: RayNodes, parts: Parts, gate: Path, desk: Desk
) -> None:
    nodes.start_head()
    worker = nodes.start_worker()
    desk.environment |= {
        "TRIVIUM_RAY_ADDRESS": nodes.head.address,
        "RAY_AUTH_TOKEN": nodes.token,
    }
    desk.start_agent("ray")
    job = parts.map("gated", tasks=4, gate=str(gate))
    waiting = desk.wait_for(job)
    pids = began(gate, 2)
    nodes.kill("head")
    # Without a head a worker ends, and what it ran. On one machine no head starts before.
    until(lambda: not nodes.processes(worker), "the worker to end without its head")
    assert gone(pids)
    nodes.start_head()
    error, cause = reason_of(waiting.verdict())
    assert (error, cause) == (
        "JobLost",
        "The job ended (unknown to the cluster) and left no exit record.",
    )
    nodes.start_worker()
    (gate / "open").touch()
    later = parts.again(job)
    assert desk.wait_for(later).verdict()["status"] == "SUCCEEDED"
    assert later.texts == [f"TEXT {number}\n" for number in range(4)]


def test_a_task_that_takes_more_memory_than_there_is_fails_with_that_reason(
    nodes: RayNodes, cluster: RayCluster, parts: Parts, gate: Path
) -> None:
    nodes.start_head()
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + 3 * 2**30) / memory.total
    nodes.start_worker(
        RAY_memory_usage_threshold=f"{threshold:.4f}", RAY_memory_monitor_refresh_ms="100"
    )
    up(cluster, 1)
    job = parts.map("hoard", tasks=1, gate=str(gate))
    cluster.submit(*job.asked)
    assert ended(cluster, job, 200).detail.startswith("FAILED")
    record = job.exit_record
    assert record is not None
    assert (record["outcome"], record["error"]) == ("failed", "OutOfMemoryError")
    assert "running low on memory" in record["reason"]
    assert record["reason"].endswith("give the step's profile more memory_mb.")
    assert "\n" not in record["reason"]
    assert 1 <= len(list(gate.glob("began-*"))) <= 1 + OUT_OF_MEMORY_RETRIES


def test_of_ten_thousand_tasks_no_more_batches_are_offered_than_there_are_slots(
    nodes: RayNodes, cluster: RayCluster, parts: Parts
) -> None:
    nodes.start_head()
    nodes.start_worker()
    up(cluster, 1)
    job = parts.map("upper", tasks=10_000, per_batch=50)
    cluster.submit(*job.asked)
    most = 0
    while True:
        found = cluster.find(job.name)
        assert found is not None
        most = max(most, sum(state != "FINISHED" for state in nodes.tasks()))
        if found.state == "ended":
            break
    assert found.detail.startswith("SUCCEEDED")
    assert 0 < most <= SLOTS
    assert [entry["task"] for entry in sorted(job.entries, key=lambda e: e["task"])] == list(
        range(10_000)
    )


def test_nodes_are_launched_for_a_job_no_more_than_planned_and_end_when_idle(
    nodes: RayNodes, cluster: RayCluster, parts: Parts, gate: Path
) -> None:
    nodes.start_head(
        _with_fake_nodes(nodes.gcs),
        RAY_FAKE_CLUSTER="1",
        RAY_OVERRIDE_NODE_ID_FOR_TESTING=FAKE_HEAD_NODE_ID,
        RAY_CLOUD_INSTANCE_ID=FAKE_HEAD_NODE_ID,
        RAY_NODE_TYPE_NAME=FAKE_HEAD_NODE_TYPE,
    )
    assert cluster.nodes().warm_nodes == 0
    job = parts.map("gated", tasks=20, nodes=2, gate=str(gate))
    cluster.submit(*job.asked)
    # Ten batches wait, of which four fit; three nodes may be up.
    began(gate, 4)
    assert cluster.nodes().warm_nodes == 2
    (gate / "open").touch()
    assert ended(cluster, job).detail.startswith("SUCCEEDED")
    record = job.exit_record
    assert record is not None
    assert record["slots"] == 2 * SLOTS
    # Work began when the first node was up: what passed before is the job's start-up.
    assert record["ready_s"] <= min(call["started_s"] for call in job.calls)
    up(cluster, 0)


def _with_fake_nodes(gcs: int) -> dict[str, Any]:
    """Return what a head on EC2 tells its autoscaler, but for who launches the nodes."""
    config = autoscaler_config(
        Workers("tests", "trivium", "us-east-1", "subnet-0a1b2c3d", cpus=SLOTS, most_nodes=3)
    )
    provider = f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__name__}"
    kinds = config["available_node_types"]
    # Ray fills in what is left out for providers of its own only.
    defaults = Path(ray.autoscaler.__file__).parent / "aws" / "defaults.yaml"
    filled: dict[str, Any] = yaml.safe_load(defaults.read_text()) | config
    filled["provider"] = {
        "type": "external",
        "module": provider,
        "gcs_address": f"127.0.0.1:{gcs}",
        "disable_node_updaters": True,
    }
    filled["head_node_type"] = FAKE_HEAD_NODE_TYPE
    filled["available_node_types"] = {
        FAKE_HEAD_NODE_TYPE: kinds["head"],
        "worker": kinds["worker"] | {"node_config": {}},
    }
    filled["idle_timeout_minutes"] = 0.05
    return filled
