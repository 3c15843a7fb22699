"""Jobs on one machine without a scheduler, with real mpirun and real ranks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agents.cluster import ClusterUnavailableError, Job
from agents.notes import Note
from hpc.mpirun_cluster import MpirunCluster, note_file, session_of
from tests.integration.support import (
    SLOTS,
    Parts,
    began,
    ended,
    gone,
    kill,
)

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("environment")]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def cluster(work: Path) -> Iterator[MpirunCluster]:
    cluster = MpirunCluster("c5n.9xlarge", SLOTS, work)
    try:
        yield cluster
    finally:
        for note in work.glob("*.pid"):
            cluster.cancel(note.stem)
            assert cluster.find(note.stem) == Job("ended", "EXITED")


def test_the_machine_is_one_warm_node_with_its_slots(cluster: MpirunCluster) -> None:
    assert cluster.nodes().to_json() == {
        "instance_type": "c5n.9xlarge",
        "warm_nodes": 1,
        "slots_per_node": SLOTS,
        "max_nodes": 1,
        "booting_nodes": None,
        "stopping_nodes": None,
    }


def test_an_mpi_part_runs_on_all_ranks_and_leaves_its_result_and_its_records(
    cluster: MpirunCluster, parts: Parts, work: Path
) -> None:
    job = parts.mpi("add")
    assert cluster.find(job.name) is None
    before = time.time()
    cluster.submit(*job.asked)
    ended(cluster, job)
    record = job.exit_record
    assert record is not None
    assert (record["outcome"], record["error"], record["reason"]) == ("succeeded", None, None)
    assert record["instance_type"] == "c5n.9xlarge"
    assert record["slots"] == SLOTS
    # The kernel counts a process's start in hundredths of a second.
    assert before - 0.1 < record["started_s"] < record["ready_s"] < record["ended_s"] < time.time()
    assert record["requests"]["s3_put"] > 0
    [entry] = job.entries
    counts = {"ranks": 2, "sum": 1, "bytes": 7, "resumed": False, "nodes": [""]}
    assert entry["counts"] == counts
    names = [key.rsplit("/", 1)[1] for key, _ in entry["outputs"]]
    assert names == ["result.json", "words.txt"]
    [call] = job.calls
    assert (call["outcome"], call["bytes_in"]) == ("succeeded", 7)
    assert list((work / "scratch").iterdir()) == []


def test_what_a_killed_mpirun_left_behind_does_not_stop_the_next_that_gets_its_number(
    cluster: MpirunCluster, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "left"
    last_number = int(Path("/proc/sys/kernel/pid_max").read_text())
    for ahead in range(3_000):
        number = (os.getpid() + ahead) % last_number
        session = left / f"ompi.{number}"
        session.mkdir(parents=True)
        (session / f"pmix.{os.uname().nodename}.tool.{number}").touch()
    monkeypatch.setenv("TMPDIR", str(left))
    job = parts.mpi("add")
    cluster.submit(*job.asked)
    ended(cluster, job)
    record = job.exit_record
    assert record is not None
    assert record["outcome"] == "succeeded", record
    assert not list(left.glob("mpi-*"))


def test_a_map_part_is_shared_out_over_the_ranks(
    cluster: MpirunCluster, parts: Parts, work: Path
) -> None:
    job = parts.map("upper", tasks=7)
    cluster.submit(*job.asked)
    ended(cluster, job)
    assert job.texts == [f"TEXT {number}\n" for number in range(7)]
    assert {call["worker"] for call in job.calls} == {"rank 0", "rank 1"}
    assert list((work / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "how", "error", "reason"),
    [
        ("mpi", "refuse", "UserError", "in.txt: has no reads; upload it again."),
        ("map", "refuse", "UserError", "000.txt: says nothing; write something for .txt."),
        ("mpi", "crash", "MpiProgramFailed", "the last rank divided by nothing"),
        ("map", "crash", "MpiProgramFailed", "ZeroDivisionError: no 000000.txt from 000.txt"),
    ],
)
def test_what_a_failing_program_says_is_the_jobs_reason(
    cluster: MpirunCluster, parts: Parts, kind: str, how: str, error: str, reason: str
) -> None:
    job = parts.mpi(how) if kind == "mpi" else parts.map(how, tasks=1)
    cluster.submit(*job.asked)
    ended(cluster, job)
    record = job.exit_record
    assert record is not None
    assert (record["outcome"], record["error"]) == ("failed", error)
    if error == "UserError":
        assert record["reason"] == reason
    else:
        assert reason in record["reason"]
        assert "-----" not in record["reason"]
    assert record["ended_s"] >= record["started_s"]


def test_a_failed_program_leaves_its_checkpoint_and_the_next_attempt_goes_on_from_it(
    cluster: MpirunCluster, parts: Parts, work: Path
) -> None:
    first = parts.mpi("resume")
    cluster.submit(*first.asked)
    ended(cluster, first)
    assert first.exit_record is not None
    assert first.exit_record["outcome"] == "failed"
    [folder] = (work / "scratch").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint", "program.log"]
    second = parts.again(first)
    cluster.submit(*second.asked)
    ended(cluster, second)
    [entry] = second.entries
    assert entry["counts"]["resumed"] is True
    assert list((work / "scratch").iterdir()) == []


def test_two_jobs_run_one_after_the_other(cluster: MpirunCluster, parts: Parts, gate: Path) -> None:
    first, second = parts.mpi("gated", gate=str(gate)), parts.mpi("add")
    cluster.submit(*first.asked)
    began(gate, SLOTS)
    cluster.submit(*second.asked)
    time.sleep(1)
    waiting = cluster.find(second.name)
    assert waiting is not None
    assert waiting.state == "running"
    assert second.calls == []
    (gate / "open").touch()
    ended(cluster, second)
    assert first.exit_record is not None
    assert second.exit_record is not None
    assert second.exit_record["ready_s"] >= first.exit_record["ended_s"]


def test_a_job_is_found_again_by_whoever_comes_later(
    cluster: MpirunCluster, parts: Parts, gate: Path, work: Path
) -> None:
    job = parts.mpi("gated", gate=str(gate))
    cluster.submit(*job.asked)
    later = MpirunCluster("c5n.9xlarge", SLOTS, work)
    found = later.find(job.name)
    assert found is not None
    assert found.state == "running"
    (gate / "open").touch()
    ended(later, job)


def test_a_job_that_is_submitted_again_does_not_run_again(
    cluster: MpirunCluster, parts: Parts, gate: Path, work: Path
) -> None:
    job = parts.mpi("gated", gate=str(gate))
    cluster.submit(*job.asked)
    noted = Note.read(note_file(work, job.name))
    # As by an agent that was killed before it saw that the job had begun.
    later = MpirunCluster("c5n.9xlarge", SLOTS, work)
    later.submit(*job.asked)
    (gate / "open").touch()
    ended(cluster, job)
    cluster.submit(*job.asked)
    assert Note.read(note_file(work, job.name)) == noted
    time.sleep(1)
    ended(later, job)
    assert len(list(gate.glob("began-*"))) == SLOTS
    assert len(job.calls) == 1


def test_cancelling_kills_the_wrapper_and_all_ranks(
    cluster: MpirunCluster, parts: Parts, gate: Path, work: Path
) -> None:
    job = parts.mpi("gated", gate=str(gate))
    cluster.submit(*job.asked)
    ranks = began(gate, SLOTS)
    note = Note.read(note_file(work, job.name))
    assert note is not None
    assert len(session_of(note)) >= 2 + SLOTS  # wrapper, mpirun, ranks
    cluster.cancel(job.name)
    assert gone([*ranks, note.pid])
    assert session_of(note) == []
    found = cluster.find(job.name)
    assert found is not None
    assert (found.state, found.detail) == ("ended", "EXITED")
    assert job.exit_record is None
    cluster.cancel(job.name)


def test_cancelling_sweeps_the_ranks_of_a_wrapper_that_was_killed(
    cluster: MpirunCluster, parts: Parts, gate: Path, work: Path
) -> None:
    job = parts.mpi("gated", gate=str(gate))
    cluster.submit(*job.asked)
    ranks = began(gate, SLOTS)
    note = Note.read(note_file(work, job.name))
    assert note is not None
    kill(psutil.Process(note.pid))
    found = cluster.find(job.name)
    assert found is not None
    assert found.state == "ended"
    cluster.cancel(job.name)
    assert gone(ranks)


def test_cancelling_a_job_whose_number_has_gone_to_another_process_kills_nothing(
    cluster: MpirunCluster, work: Path
) -> None:
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    innocent = subprocess.Popen(words, start_new_session=True)
    try:
        Note(innocent.pid, time.time() - 3600).write(note_file(work, "old"))
        found = cluster.find("old")
        assert found is not None
        assert found.state == "ended"
        cluster.cancel("old")
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_cancelling_a_job_that_waits_for_the_machine_leaves_the_one_that_has_it(
    cluster: MpirunCluster, parts: Parts, gate: Path
) -> None:
    first, second = parts.mpi("gated", gate=str(gate)), parts.mpi("add")
    cluster.submit(*first.asked)
    began(gate, SLOTS)
    cluster.submit(*second.asked)
    cluster.cancel(second.name)
    ended(cluster, second)
    (gate / "open").touch()
    ended(cluster, first)
    assert first.exit_record is not None
    assert first.exit_record["outcome"] == "succeeded"
    assert second.exit_record is None


def test_a_job_that_cannot_begin_is_told_with_its_log(
    cluster: MpirunCluster, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = parts.mpi("add")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ClusterUnavailableError, match=rf"{job.name} did not begin; see .*\.log"):
        cluster.submit(*job.asked)
    assert cluster.find(job.name) is None
