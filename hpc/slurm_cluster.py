"""Slurm as the agent sees it: `sbatch`, `squeue` and `scancel`, with jobs known by their names."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from agents.cluster import ClusterUnavailableError, Job, JobRefusedError, Nodes
from hpc.environment import job_environment

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
# sinfo(1), "NODE STATE CODES". A node that is completing a job is as warm as one that is idle.
WARM = frozenset({"alloc", "comp", "idle", "mix"})
BOOTING, STOPPING = "#", "%"  # the marks of a node that is being powered up, or down
# What sbatch says where it asked for something that this cluster will never do, from the messages
# of slurm_errno.c. Anything else may pass, and the job may have been accepted all the same.
REFUSALS = (
    "invalid account",
    "invalid partition",
    "invalid qos",
    "more processors requested than permitted",
    "node configuration is not available",
    "cpu count specification invalid",
    "node count specification invalid",
    "task count specification invalid",
    "user's group not permitted",
)
COMMAND_TIMEOUT_S = 60.0


class SlurmCluster:
    """The Slurm cluster that this machine's commands reach, or one partition of it."""

    platform = "hpc"

    def __init__(
        self, instance_type: str, slots: int, work: Path, partition: str | None = None
    ) -> None:
        self._instance_type, self._slots, self._work = instance_type, slots, work
        self._in_partition = [] if partition is None else [f"--partition={partition}"]

    def nodes(self) -> Nodes:
        """Return the nodes that are up and take jobs, and all that could be.

        A mark behind a node's state says that it is not up as it should be: powered down, being
        powered up or down, not responding, reserved.
        """
        words = ["sinfo", "--noheader", "--Node", "--format=%N %t", *self._in_partition]
        lines = _run(words).splitlines()
        states = dict(line.split() for line in lines)  # a node of two partitions comes twice
        warm = sum(state in WARM for state in states.values())
        return Nodes(
            self._instance_type,
            warm,
            self._slots,
            max(1, len(states)),
            booting_nodes=sum(state.endswith(BOOTING) for state in states.values()),
            stopping_nodes=sum(state.endswith(STOPPING) for state in states.values()),
        )

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

    def submit(self, job: str, part_key: str, nodes: int, slots: int) -> None:
        """Submit the job with one rank for each slot; no other job gets its nodes meanwhile.

        Raises:
            JobRefusedError: Slurm will not have it.
            ClusterUnavailableError: Slurm did not answer; it may have accepted the job.

        """
        command = shlex.join([sys.executable, "-m", "hpc.job", part_key])
        scratch = self._work / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        log = self._work / f"{job}.log"
        words = [
            "sbatch",
            "--parsable",
            f"--job-name={job}",
            f"--nodes={nodes}",
            f"--ntasks={slots}",
            "--exclusive",  # whole nodes are paid for
            "--no-requeue",
            # A second job of this name waits for the first, and then finds that its work is done.
            "--dependency=singleton",
            *self._in_partition,
            f"--chdir={Path(__file__).parent.parent}",
            f"--output={log}",
            "--open-mode=append",
            "--export=ALL",
            f"--wrap=exec {command}",
        ]
        try:
            environment = job_environment(self._instance_type, slots, scratch, "slurm")
            _run(words, environment | {"TRIVIUM_JOB_LOG": str(log)})
        except ClusterUnavailableError as error:
            if any(refusal in str(error).lower() for refusal in REFUSALS):
                raise JobRefusedError(f"Slurm refuses job {job}: {error}") from error
            raise

    def cancel(self, job: str) -> None:
        """Cancel every job of that name."""
        _run(["scancel", f"--name={job}"])


def _run(words: list[str], environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            timeout=COMMAND_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterUnavailableError(f"{words[0]}: {error}") from error
    if done.returncode != 0:
        raise ClusterUnavailableError(f"{words[0]} says: {done.stderr.strip() or done.returncode}")
    return done.stdout
