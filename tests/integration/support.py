"""What tests of agents and clusters work with: parts to run, a desk where jobs are waited for."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from agents.cluster import Cluster, Job
from runtime.clock import now_s
from runtime.cluster_log import JobFacts, Kind
from runtime.keys import StepKeys, job_name
from runtime.ledger import Ledger
from runtime.requests import Aws
from runtime.store import Store
from trivium.local import ministack
from trivium.local.processes import Processes

ROOT = Path(__file__).resolve().parent.parent.parent
MINISTACK = ROOT / ".tools" / "ministack" / "bin" / "python"
BUCKET, TABLE, SLOTS = "tests", "ledger", 2
ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}
PATIENCE_S = 60.0
OBJECT_STORE_BYTES = 80 * 2**20  # of each node of Ray
TEXTS = 100  # tasks beyond these get a text that another has, too


def until[T](found: Callable[[], T | None], what: str, timeout_s: float = PATIENCE_S) -> T:
    """Return what is found as soon as it is there and true; fail after a while."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain for {what}"
        time.sleep(0.05)


def variables(endpoint: str) -> dict[str, str]:
    """Return the environment of everything that works for the tests."""
    return ministack.variables(endpoint) | {
        "TRIVIUM_BUCKET": BUCKET,
        "TRIVIUM_TABLE": TABLE,
        "PYTHONPATH": str(ROOT),
    }


@dataclass(frozen=True)
class PartJob:
    """One part of one attempt, ready to be run as a job."""

    store: Store
    keys: StepKeys
    attempt: int
    inputs: int

    @property
    def name(self) -> str:
        return job_name(self.keys.run, self.keys.step, self.attempt, 0)

    @property
    def part_key(self) -> str:
        return self.keys.part(self.attempt, 0)

    @property
    def facts(self) -> JobFacts:
        return JobFacts.of_part(self.store.get_json(self.part_key))

    @property
    def asked(self) -> tuple[str, str, int, int, Kind]:
        """Return what a cluster is asked for."""
        facts = self.facts
        return self.name, self.part_key, facts.nodes, facts.slots, facts.kind

    @property
    def message(self) -> dict[str, str]:
        return {"job": self.name, "part_key": self.part_key}

    @property
    def exit_record(self) -> dict[str, Any] | None:
        found = self.store.find(self.keys.exit_record(self.attempt, 0))
        return None if found is None else dict(found)

    @property
    def texts(self) -> list[str]:
        """Return the outputs of all tasks that the results name, in the order of the tasks."""
        entries = sorted(self.entries, key=lambda entry: int(entry["task"]))
        keys = [key for entry in entries for key, _ in entry["outputs"]]
        return [self.store.get_bytes(key).decode() for key in keys]

    @property
    def entries(self) -> list[dict[str, Any]]:
        names = [found.key for found in self.store.listing(self.keys.results)]
        return [entry for batch in self.store.get_all_json(names) for entry in batch]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return self.store.get_all_json([c.key for c in self.store.listing(self.keys.calls)])


@dataclass
class Parts:
    """Writes the descriptions of parts, as the control plane would."""

    store: Store
    run: str
    written: int = 0

    def map(
        self, task: str, tasks: int = 4, nodes: int = 1, per_batch: int = 2, **parameters: str
    ) -> PartJob:
        """Return a map part; each of the first tasks gets a text of its own."""
        run = f"tests.integration.programs.tasks:{task}"
        return self._write("map", run, tasks, parameters, nodes, per_batch)

    def mpi(self, mode: str, nodes: int = 1, **parameters: str) -> PartJob:
        """Return an MPI part of the program `ring`, with two ranks on each node."""
        program = "tests.integration.programs.ring"
        return self._write("mpi", program, 1, {"mode": mode, **parameters}, nodes)

    def again(self, job: PartJob) -> PartJob:
        """Return the next attempt at a part."""
        description = self.store.get_json(job.part_key) | {"attempt": job.attempt + 1}
        later = PartJob(job.store, job.keys, job.attempt + 1, job.inputs)
        self.store.put_json(later.part_key, description)
        return later

    def _write(
        self,
        kind: str,
        run: str,
        tasks: int,
        parameters: dict[str, str],
        nodes: int = 1,
        per_batch: int = 2,
    ) -> PartJob:
        self.written += 1
        keys = StepKeys(self.run, f"s{self.written}")
        shards: list[list[Any]] = []
        for number in range(min(tasks, TEXTS)):
            stored = f"{keys.root}/in/{number:03d}.txt"
            text = f"text {number}\n"
            self.store.put_text(stored, text, "text/plain")
            shards.append([stored, len(text)])
        mapped = [] if kind == "mpi" else [[shards[n % TEXTS]] for n in range(tasks)]
        lines = [json.dumps({"task": n, "inputs": mine}) + "\n" for n, mine in enumerate(mapped)]
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line))
        batches = [
            {
                "batch": n,
                "start": starts[first],
                "end": starts[min(first + per_batch, tasks)],
                "tasks": per_batch,
            }
            for n, first in enumerate(range(0, tasks, per_batch))
            if kind == "map"
        ]
        self.store.put_json(keys.shared, shards if kind == "mpi" else [])
        self.store.put_text(keys.tasks, "".join(lines), "application/x-ndjson")
        self.store.put_json(keys.batches(1, 0), batches)
        description = {
            "run": keys.run,
            "step": keys.step,
            "attempt": 1,
            "part": 0,
            "platform": "hpc",
            "size": {"nodes": nodes, "slots": nodes * SLOTS, "batches": max(1, len(batches))},
            "kind": kind,
            "code": {"run": run, "command": None, "parameters": parameters},
            "output": ".txt",
            "batches_key": keys.batches(1, 0),
            "queued_s": now_s(),
        }
        self.store.put_json(keys.part(1, 0), description)
        return PartJob(self.store, keys, 1, tasks)


def began(gate: Path, count: int) -> list[int]:
    """Return the ids of the processes whose tasks have begun, as soon as there are so many."""
    names = until(
        lambda: sorted(found) if len(found := list(gate.glob("began-*"))) >= count else None,
        f"{count} tasks to begin",
    )
    return [int(path.name.rsplit("-", 1)[1]) for path in names]


def gone(pids: list[int]) -> bool:
    """Return whether none of these processes runs."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def ended(cluster: Cluster, job: PartJob, timeout_s: float = PATIENCE_S) -> Job:
    """Return the job when the cluster says that it has ended."""

    def look() -> Job | None:
        found = cluster.find(job.name)
        assert found is not None, f"{job.name} is not known to the cluster"
        return found if found.state == "ended" else None

    return until(look, f"the end of {job.name}", timeout_s)


@dataclass
class Waiting:
    """One execution that waits for a job, as the step machine does."""

    aws: Aws
    arn: str

    def verdict(self, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return the execution's description when it has ended."""

        def look() -> dict[str, Any] | None:
            told = self.aws.client("stepfunctions").describe_execution(executionArn=self.arn)
            return dict(told) if told["status"] in ENDED else None

        return until(look, "the verdict on a job", timeout_s)


@dataclass
class Desk:
    """A queue with its dead-letter queue, executions that wait for jobs, and agents."""

    aws: Aws
    name: str
    folder: Path
    environment: dict[str, str]
    machine: str = ""
    queue_url: str = ""
    dead_url: str = ""
    agents: int = 0
    processes: Processes = field(init=False)

    def __post_init__(self) -> None:
        self.processes = Processes(self.folder / "processes")
        sqs = self.aws.client("sqs")
        self.dead_url = sqs.create_queue(QueueName=f"{self.name}-dead")["QueueUrl"]
        dead = sqs.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": dead["Attributes"]["QueueArn"], "maxReceiveCount": 3}
        self.queue_url = sqs.create_queue(
            QueueName=self.name, Attributes={"RedrivePolicy": json.dumps(redrive)}
        )["QueueUrl"]

    def wait_for(self, job: PartJob, timeout_s: int = 300) -> Waiting:
        """Send a job to the queue and wait for it, as the step machine's OnHpc does."""
        body = {"token.$": "$$.Task.Token", "part_key.$": "$.part_key", "job.$": "$.job"}
        state = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "TimeoutSeconds": timeout_s,
            "Parameters": {"QueueUrl": self.queue_url, "MessageBody": body},
            "End": True,
        }
        sfn = self.aws.client("stepfunctions")
        machine = sfn.create_state_machine(
            name=f"{self.name}-{time.time_ns()}",
            definition=json.dumps({"StartAt": "On", "States": {"On": state}}),
            roleArn="arn:aws:iam::000000000000:role/tests",
        )["stateMachineArn"]
        started = sfn.start_execution(stateMachineArn=machine, input=json.dumps(job.message))
        return Waiting(self.aws, started["executionArn"])

    def start_agent(self, kind: str) -> psutil.Process:
        """Start an agent as the local stack does; return its process."""
        self.agents += 1
        name = f"agent-{self.agents}"
        words = [sys.executable, "-m", "agents", kind, "--queue-url", self.queue_url]
        words += ["--instance-type", "c5n.9xlarge", "--slots", str(SLOTS)]
        words += ["--work", str(self.folder / "work")]
        (self.folder / "work").mkdir(exist_ok=True)
        self.processes.start(name, words, os.environ | self.environment)
        note = json.loads((self.processes.folder / f"{name}.pid").read_text())
        return psutil.Process(note["pid"])

    def log(self) -> str:
        """Return what the agents have said."""
        return "".join(path.read_text() for path in sorted(self.processes.folder.glob("*.log")))

    def jobs(self, platform: str) -> list[str]:
        """Return the names of the jobs that the ledger says are looked after."""
        return [item["sk"] for item in Ledger(self.aws, TABLE).query(f"job#{platform}")]

    def messages(self, queue_url: str) -> int:
        """Return how many messages a queue holds, those that are hidden included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        sqs = self.aws.client("sqs")
        told = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return sum(int(told[name]) for name in names)


def kill(process: psutil.Process) -> None:
    """Kill a process as the kernel would, and wait until it is gone."""
    process.kill()
    psutil.wait_procs([process], timeout=10)


def reason_of(verdict: dict[str, Any]) -> tuple[str, str]:
    """Return error and cause of an execution that failed."""
    assert verdict["status"] == "FAILED", verdict
    return verdict["error"], verdict["cause"]


def marked(processes: Processes) -> list[psutil.Process]:
    """Return the processes that came from a folder, whoever their parents are."""
    return processes._families([])


def listeners(processes: Processes) -> set[tuple[str, int]]:
    """Return the addresses and ports on which the processes of a folder listen."""
    found = [
        connection.laddr
        for process in marked(processes)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    return {(address.ip.removeprefix("::ffff:"), address.port) for address in found}
