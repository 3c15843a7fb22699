"""Slurm as the agent sees it: `sbatch`, `squeue` and `scancel`, with jobs known by their names."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from agents.cluster import Job, Nodes
from hpc.environment import job_environment
from placement.errors import UserError

# squeue(1), "JOB STATE CODES". What is not listed here is taken as running: keep polling.
QUEUED = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"})
ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)


class SlurmCluster:
    """The Slurm cluster that this machine's commands reach."""

    platform = "hpc"

    def __init__(self, instance_type: str, slots: int, work: Path) -> None:
        self._instance_type, self._slots, self._work = instance_type, slots, work

    def nodes(self) -> Nodes:
        """Return the nodes that are up (idle, mixed or allocated) and all that could be."""
        states = _run(["sinfo", "--noheader", "--Node", "--format=%t"]).split()
        up = [state for state in states if state.strip("*~#$@%") in {"idle", "mix", "alloc"}]
        warm = [state for state in up if "~" not in state]
        return Nodes(self._instance_type, len(warm), self._slots, max(1, len(states)))

    def find(self, job: str) -> Job | None:
        """Return the newest job of that name that Slurm still knows."""
        rows = _run(["squeue", "--noheader", "--states=all", f"--name={job}", "--format=%i %T"])
        known = [row.split() for row in rows.splitlines() if row.strip()]
        if not known:
            return None
        state = max(known, key=lambda row: int(row[0].split("_")[0]))[1]
        if state in QUEUED:
            return Job("queued", state)
        return Job("ended" if state in ENDED else "running", state)

    def submit(self, job: str, part_key: str) -> None:
        """Submit the job with one rank for each slot of a node.

        Raises:
            UserError: Slurm refuses it.

        """
        command = shlex.join([sys.executable, "-m", "hpc.job", part_key])
        scratch = self._work / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        _run(
            [
                "sbatch",
                "--parsable",
                f"--job-name={job}",
                f"--ntasks={self._slots}",
                "--no-requeue",
                f"--chdir={Path(__file__).parent.parent}",
                f"--output={self._work / job}.log",
                "--export=ALL",
                f"--wrap=exec {command}",
            ],
            job_environment(self._instance_type, self._slots, scratch, "slurm"),
        )

    def cancel(self, job: str) -> None:
        """Cancel every job of that name."""
        _run(["scancel", f"--name={job}"])


def _run(words: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise UserError(f"{words[0]} says: {done.stderr.strip() or done.returncode}")
    return done.stdout
