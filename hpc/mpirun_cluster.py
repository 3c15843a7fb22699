"""One machine without a scheduler as the agent sees it: each job is a process group of its own.

A job is found again by the file that holds its process id and start time, so an agent that was
restarted neither loses nor doubles it. One job runs at a time; the others wait in the queue.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from agents.cluster import Job, Nodes
from hpc.environment import job_environment


class MpirunCluster:
    """A machine that runs `mpirun` by itself."""

    platform = "hpc"

    def __init__(self, instance_type: str, slots: int, work: Path) -> None:
        self._instance_type, self._slots, self._work = instance_type, slots, work
        work.mkdir(parents=True, exist_ok=True)

    def nodes(self) -> Nodes:
        """Return the one node, which is always up."""
        return Nodes(self._instance_type, 1, self._slots, 1)

    def find(self, job: str) -> Job | None:
        """Return the job: running while the process that was started for it lives."""
        process = self._process(job)
        if process is None:
            return Job("ended", "EXITED") if self._file(job).exists() else None
        return Job("running", "RUNNING")

    def submit(self, job: str, part_key: str) -> None:
        """Start the job; it waits inside for the machine to be free."""
        scratch = self._work / "scratch"
        scratch.mkdir(exist_ok=True)
        with (self._work / f"{job}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hpc.mpirun_cluster", str(self._work / "lock"), part_key],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=job_environment(self._instance_type, self._slots, scratch, "mpirun"),
            )
        started_s = psutil.Process(process.pid).create_time()
        temporary = self._file(job).with_suffix(".new")
        temporary.write_text(json.dumps({"pid": process.pid, "started_s": started_s}))
        temporary.replace(self._file(job))

    def cancel(self, job: str) -> None:
        """Kill the job's process group, if it lives."""
        process = self._process(job)
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)

    def _file(self, job: str) -> Path:
        return self._work / f"{job}.pid"

    def _process(self, job: str) -> psutil.Process | None:
        try:
            noted = json.loads(self._file(job).read_text())
            process = psutil.Process(noted["pid"])
            same = process.create_time() == noted["started_s"]
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        return process if same and alive else None


def run_alone(lock: Path, part_key: str) -> None:
    """Become the job's wrapper as soon as no other job runs on this machine.

    The lock goes on to the wrapper through its open file and ends with it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.set_inheritable(descriptor, True)
    os.execv(sys.executable, [sys.executable, "-m", "hpc.job", part_key])  # noqa: S606


if __name__ == "__main__":
    run_alone(Path(sys.argv[1]), sys.argv[2])
