"""Slurm as the agent sees it: `sbatch`, `squeue` and `scancel`, with jobs known by their names."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from agents.cluster import ClusterUnavailableError, Job, JobRefusedError, Nodes
from hpc.environment import job_environment
from runtime.cluster_log import Kind

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
        """Return the newest job of that name that Slurm still knows.

        Of an array it knows every element: one that runs, or waits while others have ended, makes
        the job run; one that failed makes it fail.
        """
        words = ["squeue", "--noheader", "--array", "--states=all", f"--name={job}"]
        rows = [row.split() for row in _run([*words, "--format=%i %T"]).splitlines() if row.strip()]
        if not rows:
            return None
        newest = max(int(number.split("_")[0]) for number, _ in rows)
        states = sorted({state for number, state in rows if int(number.split("_")[0]) == newest})
        running = [state for state in states if state not in QUEUED | ENDED]
        ended = [state for state in states if state in ENDED]
        if running or (ended and len(ended) < len(states)):
            return Job("running", (running or ["PENDING"])[0])
        if ended:
            return Job("ended", next((state for state in ended if state != "COMPLETED"), ended[0]))
        return Job("queued", states[0])

    def submit(self, job: str, part_key: str, nodes: int, slots: int, kind: Kind) -> None:
        """Submit the job with one rank for each slot; no other job gets its nodes meanwhile.

        A map on several nodes becomes a job array: each node begins as soon as it is there, and one
        that is lost takes only its share with it.

        Raises:
            JobRefusedError: Slurm will not have it.
            ClusterUnavailableError: Slurm did not answer; it may have accepted the job.

        """
        command = shlex.join([sys.executable, "-m", "hpc.job", part_key])
        scratch = self._work / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        log = self._work / f"{job}.log"
        array = kind == "map" and nodes > 1
        ranks = -(-slots // nodes) if array else slots
        size = [f"--nodes={1 if array else nodes}", f"--ntasks={ranks}"]
        words = [
            "sbatch",
            "--parsable",
            f"--job-name={job}",
            *size,
            "--exclusive",  # whole nodes are paid for
            "--no-requeue",
            # A second job of this name waits for the first, and then finds that its work is done.
            "--dependency=singleton",
            *([f"--array=0-{nodes - 1}"] if array else []),
            *self._in_partition,
            f"--chdir={Path(__file__).parent.parent}",
            f"--output={log}",
            "--open-mode=append",
            "--export=ALL",
            f"--wrap=exec {command}",
        ]
        try:
            environment = job_environment(self._instance_type, ranks, scratch, "slurm")
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
