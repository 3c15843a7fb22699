"""Jobs on a real Slurm of three nodes: over several of them, too long, too large, and lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agents.cluster import Job
from hpc.slurm_cluster import SlurmCluster
from runtime.cluster_log import ClusterLog
from runtime.ledger import Ledger
from tests.integration.support import SLOTS, TABLE, Desk, PartJob, Parts, began, ended, gone, until
from trivium.local import slurm
from trivium.local.processes import Processes

NODES, NODE_MEMORY_MB = 3, 1_000

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("environment")]


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Processes, dict[str, str]]]:
    """Return the processes of a Slurm of three nodes, and what its commands need to reach it."""
    if not slurm.installed():
        pytest.skip("Slurm is not installed; Debian's packages are slurm-wlm and munge")
    folder = tmp_path_factory.mktemp("slurm3")
    processes = Processes(folder / "processes")
    try:
        yield processes, slurm.start(processes, folder, SLOTS, NODES, NODE_MEMORY_MB)
    finally:
        processes.stop_all()


@pytest.fixture
def cluster(
    daemons: tuple[Processes, dict[str, str]], environment: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[SlurmCluster]:
    for name, value in daemons[1].items():
        environment.setenv(name, value)
    try:
        yield SlurmCluster("c5n.9xlarge", SLOTS, tmp_path / "work")
    finally:
        asked("scancel", "--user", str(os.geteuid()))
        until(lambda: set(asked("sinfo", "-hN", "-o%t").split()) == {"idle"}, "idle nodes")


def asked(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def number_of(job: PartJob) -> str:
    """Return the number by which Slurm knows a job."""
    return asked("squeue", "-h", "--states=all", f"--name={job.name}", "-o%i")


def node_of(pid: int) -> str:
    """Return the node on which a process runs."""
    return psutil.Process(pid).environ()["SLURMD_NODENAME"]


def test_an_mpi_part_runs_on_as_many_nodes_as_its_size_says(
    cluster: SlurmCluster, parts: Parts
) -> None:
    job = parts.mpi("add", nodes=2)
    cluster.submit(*job.asked)
    assert ended(cluster, job) == Job("ended", "COMPLETED"), job.exit_record
    [entry] = job.entries
    assert (entry["counts"]["ranks"], entry["counts"]["sum"]) == (4, 6)
    assert entry["counts"]["nodes"] == ["node1", "node2"]
    record = job.exit_record
    assert record is not None
    assert record["slots"] == 4


def test_a_map_part_runs_on_as_many_nodes_as_its_size_says(
    cluster: SlurmCluster, parts: Parts
) -> None:
    job = parts.map("upper", tasks=12, nodes=3)
    cluster.submit(*job.asked)
    ended(cluster, job)
    assert job.texts == [f"TEXT {number}\n" for number in range(12)]
    assert {call["worker"] for call in job.calls} == {f"rank {rank}" for rank in range(6)}


def test_the_nodes_of_a_map_begin_as_they_become_free_and_are_held_for_as_long_as_each_works(
    cluster: SlurmCluster, parts: Parts, desk: Desk, tmp_path: Path
) -> None:
    (busy := tmp_path / "busy").mkdir()
    first, job = parts.mpi("gated", nodes=2, gate=str(busy)), parts.map("upper", 12, NODES)
    cluster.submit(*first.asked)
    began(busy, 2 * SLOTS)
    waiting = desk.wait_for(job)
    desk.start_agent("slurm")
    until(lambda: len(job.calls) == 2, "the batches of the node that is free")
    half = Job("running", "PENDING")
    until(lambda: cluster.find(job.name) == half, "the end of the free node's element")
    (busy / "open").touch()
    assert waiting.verdict()["status"] == "SUCCEEDED"
    assert job.texts == [f"TEXT {number}\n" for number in range(12)]
    record = job.exit_record
    assert record is not None
    assert (record["outcome"], record["slots"], len(record["spans"])) == ("succeeded", 6, NODES)
    noted = ClusterLog(Ledger(desk.aws, TABLE), "hpc").job(job.facts.queued_s, job.name)
    assert noted is not None
    held = sorted(noted.held(0), key=lambda one: one.start_us)
    assert [(one.nodes, one.slots) for one in held] == [(1, SLOTS)] * NODES
    assert held[0].end_us < held[1].start_us


@pytest.mark.usefixtures("cluster")
def test_a_map_that_loses_a_node_keeps_what_the_others_have_done(
    daemons: tuple[Processes, dict[str, str]], parts: Parts, gate: Path, desk: Desk
) -> None:
    job = parts.map("gated", 12, NODES, gate=str(gate))
    waiting = desk.wait_for(job)
    desk.start_agent("slurm")
    ranks = began(gate, NODES * SLOTS)
    lost_ranks = [pid for pid in ranks if node_of(pid) == "node2"]
    with lost("node2", *daemons):
        until(lambda: gone(lost_ranks), "the end of a node's ranks")
        (gate / "open").touch()
        verdict = waiting.verdict()
        assert (verdict["status"], verdict["error"]) == ("FAILED", "JobLost")
        assert "NODE_FAIL" in verdict["cause"]
        assert len(job.texts) == 8
        assert desk.wait_for(parts.again(job)).verdict()["status"] == "SUCCEEDED"


def test_one_node_of_a_map_that_fails_ends_the_others(
    cluster: SlurmCluster, parts: Parts, gate: Path, desk: Desk
) -> None:
    job = parts.map("picky", 12, NODES, gate=str(gate), wrong="000.txt")
    waiting = desk.wait_for(job)
    desk.start_agent("slurm")
    verdict = waiting.verdict()
    assert (verdict["status"], verdict["error"]) == ("FAILED", "UserError")
    assert verdict["cause"].startswith("000.txt: says nothing;")
    assert ended(cluster, job)
    until(lambda: gone(began(gate, 1)), "the end of the other nodes' ranks")
    noted = ClusterLog(Ledger(desk.aws, TABLE), "hpc").job(job.facts.queued_s, job.name)
    assert noted is not None
    assert sum(one.nodes for one in noted.held(0)) == NODES


def test_jobs_have_their_nodes_to_themselves_and_run_at_once(
    cluster: SlurmCluster, parts: Parts, gate: Path
) -> None:
    jobs = [parts.mpi("gated", gate=str(gate)) for _ in range(NODES + 1)]
    for job in jobs:
        cluster.submit(*job.asked)
    ranks = began(gate, NODES * SLOTS)
    assert sorted(node_of(pid) for pid in ranks) == ["node1"] * 2 + ["node2"] * 2 + ["node3"] * 2
    assert cluster.find(jobs[-1].name) == Job("queued", "PENDING")
    assert cluster.nodes().warm_nodes == NODES
    (gate / "open").touch()
    for job in jobs:
        assert ended(cluster, job) == Job("ended", "COMPLETED")


@pytest.mark.usefixtures("cluster")
def test_more_nodes_than_there_are_is_refused_in_words(parts: Parts, desk: Desk) -> None:
    waiting = desk.wait_for(parts.mpi("add", nodes=NODES + 1))
    desk.start_agent("slurm")
    verdict = waiting.verdict()
    assert (verdict["status"], verdict["error"]) == ("FAILED", "JobRefused")
    assert "refuses job" in verdict["cause"]


@pytest.mark.usefixtures("cluster")
def test_a_job_that_takes_too_long_is_timed_out_and_lost(
    parts: Parts, gate: Path, desk: Desk
) -> None:
    job = parts.mpi("gated", nodes=2, gate=str(gate))
    waiting = desk.wait_for(job)
    desk.start_agent("slurm")
    ranks = began(gate, 2 * SLOTS)
    asked("scontrol", "update", f"jobid={number_of(job)}", "endtime=now")
    verdict = waiting.verdict(120)
    assert (verdict["status"], verdict["error"]) == ("FAILED", "JobLost"), verdict["cause"]
    assert verdict["cause"] == "The job ended (TIMEOUT) and left no exit record."
    until(lambda: gone(ranks), "the end of the ranks")


@pytest.mark.usefixtures("cluster")
def test_a_job_that_takes_more_memory_than_its_node_has_is_ended(
    parts: Parts, gate: Path, desk: Desk
) -> None:
    job = parts.mpi("hungry", gate=str(gate), megabytes=str(2 * NODE_MEMORY_MB))
    waiting = desk.wait_for(job)
    desk.start_agent("slurm")
    verdict = waiting.verdict(120)
    assert (verdict["status"], verdict["error"]) == ("FAILED", "MpiProgramFailed")
    assert "Exceeded job memory limit" in verdict["cause"]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("node", "ends"),
    [
        ("node1", {"JobLost": "The job ended (NODE_FAIL) and left no exit record."}),
        # Its wrapper lives on, and may say more before Slurm ends it, too.
        (
            "node2",
            {
                "JobLost": "The job ended (NODE_FAIL) and left no exit record.",
                "MpiProgramFailed": "mpirun ended with",
            },
        ),
    ],
)
def test_a_job_that_loses_a_node_fails_and_the_next_attempt_runs_on_the_others(
    daemons: tuple[Processes, dict[str, str]],
    parts: Parts,
    gate: Path,
    desk: Desk,
    node: str,
    ends: dict[str, str],
) -> None:
    job = parts.mpi("gated", nodes=2, gate=str(gate))
    waiting = desk.wait_for(job)
    desk.start_agent("slurm")
    ranks = began(gate, 2 * SLOTS)
    with lost(node, *daemons):
        verdict = waiting.verdict()
        assert verdict["status"] == "FAILED"
        assert ends[verdict["error"]] in verdict["cause"]
        until(lambda: gone(ranks), "the end of the ranks")
        (gate / "open").touch()
        again = parts.again(job)
        assert desk.wait_for(again).verdict()["status"] == "SUCCEEDED"
        [entry] = again.entries
        assert entry["counts"]["nodes"] == [name for name in slurm.node_names(3) if name != node]


@contextlib.contextmanager
def lost(node: str, processes: Processes, environment: dict[str, str]) -> Iterator[None]:
    """Kill everything that runs on a node, as if its power were cut; start it again at the end."""
    there = list(psutil.process_iter())
    ranks = [one for one in there if _variable(one, "SLURMD_NODENAME") == node]
    parents = [one.parent() for one in ranks]
    # Those first that would tell the controller of the others' end.
    daemons = [one for one in there if _daemon_of(one, environment) == node]
    daemons += [one for one in parents if one is not None and one.name() == "slurmstepd"]
    for process in [*daemons, *ranks]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    # What the controller does by itself when a node has been silent for SlurmdTimeout.
    asked("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")
    try:
        yield
    finally:
        slurm.start_node(processes, node, os.environ | environment)
        asked("scontrol", "update", f"nodename={node}", "state=resume")


def _variable(process: psutil.Process, name: str) -> str | None:
    with contextlib.suppress(psutil.Error):
        return process.environ().get(name)
    return None


def _daemon_of(process: psutil.Process, environment: dict[str, str]) -> str | None:
    """Return the node whose daemon a process is."""
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        if process.name() == "slurmd" and environment["SLURM_CONF"] in words:
            return words[words.index("-N") + 1]
    return None
