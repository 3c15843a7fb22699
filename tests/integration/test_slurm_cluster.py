"""Jobs on a real Slurm of one node, with real mpirun inside."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.cluster import ClusterUnavailableError, Job, JobRefusedError
from hpc.slurm_cluster import SlurmCluster
from tests.integration.support import (
    SLOTS,
    PartJob,
    Parts,
    began,
    ended,
    gone,
    listeners,
    marked,
    until,
)
from trivium.local import slurm
from trivium.local.processes import Processes

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("environment")]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def cluster(
    slurm_variables: dict[str, str], environment: pytest.MonkeyPatch, work: Path
) -> Iterator[SlurmCluster]:
    for name, value in slurm_variables.items():
        environment.setenv(name, value)
    try:
        yield SlurmCluster("c5n.9xlarge", SLOTS, work)
    finally:
        subprocess.run(["scancel", "--user", str(os.geteuid())], check=True)
        until(idle, "an idle node")


def idle() -> bool:
    asked = ["sinfo", "--noheader", "--format=%t"]
    return (
        subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip() == "idle"
    )


def queue(job: PartJob) -> list[str]:
    """Return the state of every job that Slurm knows under this name."""
    asked = ["squeue", "--noheader", "--states=all", f"--name={job.name}", "--format=%T"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()


def test_the_node_is_warm_while_it_is_idle_works_and_has_just_worked(
    cluster: SlurmCluster, parts: Parts, gate: Path
) -> None:
    expected = {
        "instance_type": "c5n.9xlarge",
        "warm_nodes": 1,
        "slots_per_node": SLOTS,
        "max_nodes": 1,
        "booting_nodes": 0,
        "stopping_nodes": 0,
    }
    assert cluster.nodes().to_json() == expected
    job = parts.mpi("gated", gate=str(gate))
    cluster.submit(*job.asked)
    began(gate, SLOTS)
    assert cluster.nodes().to_json() == expected
    (gate / "open").touch()
    ended(cluster, job)
    assert cluster.nodes().to_json() == expected


@pytest.mark.parametrize(
    ("states", "warm", "most"),
    [
        ("a idle\nb mix\nc alloc\nd comp\n", 4, 4),
        ("a idle~\nb idle~\nc idle\n", 1, 3),
        ("a idle#\nb idle%\nc idle!\nd mix#\n", 0, 4),
        ("a idle*\nb down\nc drain\nd drng\ne down*\nf unk*\n", 0, 6),
        ("a idle\na idle\nb idle~\nb idle~\n", 1, 2),
        ("", 0, 1),
    ],
)
def test_nodes_that_are_powered_down_or_sick_are_not_warm(
    states: str, warm: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, tmp_path, "sinfo", f"printf '%s' '{states}'")
    nodes = SlurmCluster("c5n.9xlarge", 36, tmp_path).nodes()
    assert (nodes.warm_nodes, nodes.max_nodes, nodes.slots_per_node) == (warm, most, 36)


def test_nodes_that_are_powered_up_or_down_are_counted_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    states = "a idle\\nb alloc#\\nc mix#\\nd idle%%\\ne idle~\\n"
    stub(monkeypatch, tmp_path, "sinfo", f"printf '{states}'")
    nodes = SlurmCluster("c5n.9xlarge", 36, tmp_path).nodes()
    assert (nodes.warm_nodes, nodes.booting_nodes, nodes.stopping_nodes) == (1, 2, 1)


def stub(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, script: str) -> None:
    """Put a program of this name in front of all others."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ("PENDING", "queued"),
        ("CONFIGURING", "queued"),
        ("RUNNING", "running"),
        ("COMPLETING", "running"),
        ("SUSPENDED", "running"),
        ("A_STATE_OF_THE_FUTURE", "running"),
        ("COMPLETED", "ended"),
        ("FAILED", "ended"),
        ("CANCELLED", "ended"),
        ("TIMEOUT", "ended"),
        ("NODE_FAIL", "ended"),
        ("OUT_OF_MEMORY", "ended"),
    ],
)
def test_a_state_that_is_not_known_to_be_terminal_means_keep_polling(
    state: str, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, tmp_path, "squeue", f"echo '7 FAILED'; echo '12 {state}'; echo '9 FAILED'")
    found = SlurmCluster("c5n.9xlarge", 2, tmp_path).find("job")
    assert found is not None
    assert (found.state, found.detail) == (seen, state)


@pytest.mark.parametrize("command", ["sinfo", "squeue", "scancel", "sbatch"])
def test_a_controller_that_does_not_answer_is_unavailable(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    stub(monkeypatch, tmp_path, command, f"echo '{said}' >&2; exit 1")
    cluster = SlurmCluster("c5n.9xlarge", 2, tmp_path)
    calls: dict[str, Callable[[], object]] = {
        "sinfo": cluster.nodes,
        "squeue": lambda: cluster.find("job"),
        "scancel": lambda: cluster.cancel("job"),
        "sbatch": lambda: cluster.submit("job", "part.json", 1, SLOTS, "mpi"),
    }
    with pytest.raises(ClusterUnavailableError, match=f"{command} says: .*connect failure"):
        calls[command]()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Batch job submission failed: Socket timed out on send/recv", ClusterUnavailableError),
        ("Batch job submission failed: Protocol authentication error", ClusterUnavailableError),
        ("something nobody has heard of", ClusterUnavailableError),
        ("Batch job submission failed: Invalid partition name specified", JobRefusedError),
        ("Batch job submission failed: More processors requested than permitted", JobRefusedError),
        ("error: Requested node configuration is not available", JobRefusedError),
    ],
)
def test_only_what_slurm_will_never_do_is_a_refusal(
    said: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, tmp_path, "sbatch", f"echo 'sbatch: {said}' >&2; exit 1")
    with pytest.raises(error, match=said.rsplit(":", 1)[-1].strip()):
        SlurmCluster("c5n.9xlarge", 2, tmp_path).submit("job", "part.json", 1, SLOTS, "mpi")


def test_a_missing_program_of_slurm_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterUnavailableError, match="sinfo"):
        SlurmCluster("c5n.9xlarge", 2, tmp_path).nodes()


def test_more_ranks_than_the_cluster_has_are_refused(cluster: SlurmCluster) -> None:
    with pytest.raises(JobRefusedError, match="refuses job too-large"):
        cluster.submit("too-large", "part.json", 1, 1000, "mpi")
    assert cluster.find("too-large") is None


def test_an_mpi_part_runs_on_all_ranks_and_leaves_its_result_and_its_records(
    cluster: SlurmCluster, parts: Parts, work: Path
) -> None:
    job = parts.mpi("add")
    assert cluster.find(job.name) is None
    before = time.time()
    cluster.submit(*job.asked)
    assert ended(cluster, job) == Job("ended", "COMPLETED")
    record = job.exit_record
    assert record is not None
    assert (record["outcome"], record["slots"]) == ("succeeded", SLOTS)
    assert record["instance_type"] == "c5n.9xlarge"
    assert before - 0.1 < record["started_s"] < record["ready_s"] < record["ended_s"] < time.time()
    [entry] = job.entries
    counts = {"ranks": 2, "sum": 1, "bytes": 7, "resumed": False, "nodes": slurm.node_names(1)}
    assert entry["counts"] == counts
    assert list((work / "scratch").iterdir()) == []


def test_a_map_part_is_shared_out_over_the_ranks(cluster: SlurmCluster, parts: Parts) -> None:
    job = parts.map("upper", tasks=5)
    cluster.submit(*job.asked)
    ended(cluster, job)
    assert job.texts == [f"TEXT {number}\n" for number in range(5)]
    assert {call["worker"] for call in job.calls} == {"rank 0", "rank 1"}


@pytest.mark.parametrize(
    ("kind", "how", "error", "reason"),
    [
        ("mpi", "refuse", "UserError", "in.txt: has no reads; upload it again."),
        ("map", "refuse", "UserError", "000.txt: says nothing; write something for .txt."),
        ("mpi", "crash", "MpiProgramFailed", "the last rank divided by nothing"),
    ],
)
def test_what_a_failing_program_says_is_the_jobs_reason(
    cluster: SlurmCluster, parts: Parts, kind: str, how: str, error: str, reason: str
) -> None:
    job = parts.mpi(how) if kind == "mpi" else parts.map(how, tasks=1)
    cluster.submit(*job.asked)
    assert ended(cluster, job) == Job("ended", "FAILED")
    record = job.exit_record
    assert record is not None
    assert (record["outcome"], record["error"]) == ("failed", error)
    assert reason in record["reason"]


def test_jobs_queue_behind_one_another_and_both_succeed(
    cluster: SlurmCluster, parts: Parts, gate: Path
) -> None:
    first, second = parts.mpi("gated", gate=str(gate)), parts.map("upper", tasks=1)
    cluster.submit(*first.asked)
    cluster.submit(*second.asked)
    began(gate, SLOTS)
    assert cluster.find(first.name) == Job("running", "RUNNING")
    assert cluster.find(second.name) == Job("queued", "PENDING")
    (gate / "open").touch()
    ended(cluster, second)
    assert first.exit_record is not None
    assert second.exit_record is not None
    assert second.exit_record["started_s"] >= first.exit_record["ended_s"] - 0.1
    assert second.texts == ["TEXT 0\n"]


def test_a_job_that_is_submitted_twice_is_run_once(
    cluster: SlurmCluster, parts: Parts, gate: Path, work: Path
) -> None:
    job = parts.mpi("gated", gate=str(gate))
    cluster.submit(*job.asked)
    began(gate, SLOTS)
    cluster.submit(*job.asked)
    assert cluster.find(job.name) == Job("queued", "PENDING")
    (gate / "open").touch()
    until(lambda: cluster.find(job.name) == Job("ended", "COMPLETED"), "the end of both")
    assert len(job.calls) == 1
    assert (
        (work / f"{job.name}.log")
        .read_text()
        .endswith(f"{job.part_key}: done already, by another job of this name\n")
    )


def test_cancelling_a_running_job_leaves_no_rank_and_no_exit_record(
    cluster: SlurmCluster, parts: Parts, gate: Path
) -> None:
    job = parts.mpi("gated", gate=str(gate))
    cluster.submit(*job.asked)
    ranks = began(gate, SLOTS)
    cluster.cancel(job.name)
    assert ended(cluster, job) == Job("ended", "CANCELLED")
    until(lambda: gone(ranks), "the end of the ranks", 20)
    assert job.exit_record is None
    cluster.cancel(job.name)


def test_cancelling_a_queued_job_keeps_it_from_starting(
    cluster: SlurmCluster, parts: Parts, gate: Path
) -> None:
    first, second = parts.mpi("gated", gate=str(gate)), parts.mpi("add")
    cluster.submit(*first.asked)
    began(gate, SLOTS)
    cluster.submit(*second.asked)
    cluster.cancel(second.name)
    assert ended(cluster, second) == Job("ended", "CANCELLED")
    (gate / "open").touch()
    ended(cluster, first)
    assert second.calls == []


def test_slurm_listens_on_loopback_only_and_nothing_of_it_is_left_when_it_is_stopped(
    tmp_path: Path, parts: Parts, gate: Path, environment: pytest.MonkeyPatch
) -> None:
    """A job that runs meanwhile ends with it: its step daemon is nobody's child."""
    if not slurm.installed():
        pytest.skip("Slurm is not installed; Debian's packages are slurm-wlm and munge")
    processes = Processes(tmp_path / "processes")
    try:
        # More slots than this machine has cores are no hindrance.
        slots = (os.cpu_count() or 1) + 2
        for name, value in slurm.start(processes, tmp_path / "slurm", slots).items():
            environment.setenv(name, value)
        job = parts.mpi("gated", gate=str(gate))
        SlurmCluster("c5n.9xlarge", SLOTS, tmp_path / "work").submit(*job.asked)
        ranks = began(gate, SLOTS)
        listening = listeners(processes)
        assert listening
        assert {address for address, _ in listening} == {"127.0.0.1"}
    finally:
        stopped = processes.stop_all()
    assert sorted(stopped) == ["munged", "slurmctld", f"slurmd-{slurm.node_names(1)[0]}"]
    assert gone(ranks)
    assert marked(processes) == []
