"""One machine without a scheduler as the agent sees it: each job is a session of its own.

A job notes itself in a file before it begins, and a job whose note is there already does not begin:
an agent that was killed at any moment and started again neither loses nor doubles it. One job runs
at a time; the others wait for the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from agents.cluster import ClusterUnavailableError, Job, JobRefusedError, Nodes
from agents.notes import Note
from hpc.environment import job_environment
from runtime.clock import now_s
from runtime.cluster_log import Kind

START_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 10.0


class MpirunCluster:
    """The machine on which the agent runs."""

    platform = "hpc"

    def __init__(self, instance_type: str, slots: int, work: Path) -> None:
        self._instance_type, self._slots, self._work = instance_type, slots, work
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        work.mkdir(parents=True, exist_ok=True)

    def nodes(self) -> Nodes:
        """Return the one node, which is always up."""
        return Nodes(self._instance_type, 1, self._slots, 1)

    def find(self, job: str) -> Job | None:
        """Return the job: running while the process that was started for it lives."""
        child = self._children.get(job)
        if child is not None and child.poll() is not None:
            del self._children[job]
        note = Note.read(note_file(self._work, job))
        if note is None:
            return None
        return Job("running", "RUNNING") if note.process() else Job("ended", "EXITED")

    def submit(self, job: str, part_key: str, nodes: int, slots: int, kind: Kind) -> None:  # noqa: ARG002
        """Start the job; it waits inside for the machine to be free.

        Raises:
            JobRefusedError: it wants more nodes than this one.
            ClusterUnavailableError: it did not begin.

        """
        if nodes > 1:
            raise JobRefusedError(f"Job {job} wants {nodes} nodes; without Slurm there is one.")
        scratch = self._work / "scratch"
        scratch.mkdir(exist_ok=True)
        log_file = self._work / f"{job}.log"
        with log_file.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "hpc.mpirun_cluster", str(self._work), job, part_key],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=job_environment(self._instance_type, slots, scratch, "mpirun"),
            )
        self._children[job] = child
        deadline = time.monotonic() + START_TIMEOUT_S
        while not note_file(self._work, job).exists():
            if child.poll() is not None or time.monotonic() > deadline:
                raise ClusterUnavailableError(f"job {job} did not begin; see {log_file}")
            time.sleep(0.02)

    def cancel(self, job: str) -> None:
        """Kill all processes of the job, if any lives: its wrapper, mpirun and the ranks."""
        note = Note.read(note_file(self._work, job))
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while note is not None and (members := session_of(note)) and time.monotonic() < deadline:
            for process in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.05)


def note_file(work: Path, job: str) -> Path:
    """Return the file by which a job is found."""
    return work / f"{job}.pid"


def session_of(note: Note) -> list[psutil.Process]:
    """Return the processes that live in the session which the noted process began.

    Ranks have process groups of their own, but mpirun leaves them in its session. While any member
    lives, the system gives the session's number to no other process.
    """
    if note.process() is None and psutil.pid_exists(note.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(note.pid).status() != psutil.STATUS_ZOMBIE:
                return []  # the number has gone to another process, so nothing of the job is left
    members: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == note.pid and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def run_alone(work: Path, job: str, part_key: str) -> None:
    """Become the job's wrapper as soon as no other job runs on this machine; once only.

    The machine's lock goes on to the wrapper through its open file and ends with it. The wrapper is
    told when it got the machine: what it waited before is not charged.
    """
    if not Note.of(os.getpid()).write(note_file(work, job)):
        return
    descriptor = os.open(work / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.set_inheritable(descriptor, True)
    os.environ["TRIVIUM_HELD_S"] = str(now_s())
    os.execv(sys.executable, [sys.executable, "-m", "hpc.job", part_key])  # noqa: S606


if __name__ == "__main__":
    run_alone(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
