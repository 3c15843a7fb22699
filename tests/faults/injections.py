"""Everything that is done to runs: one function per kind of fault, one entry per place of it."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

import psutil
from botocore.exceptions import ClientError

from tests.faults.agent import STEPS
from tests.faults.proxy import WRONGS, Order, Wrong
from tests.faults.stage import Lane, MissedError, Run, Stage, until

DELIVERIES = 50
FEW = 3  # wrong answers that clients live through by themselves
MANY = 10_000  # wrong for as long as it takes
TIME_OUT_S = 8
FULL_DISK_BYTES = 2

type Act = Callable[[Stage, Run, random.Random], str]
type Around = Callable[[Stage, random.Random], AbstractContextManager[None]]


def _nothing_around(_: Stage, __: random.Random) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


def _nothing_during(_: Stage, __: Run, ___: random.Random) -> str:
    return ""


@dataclass(frozen=True)
class Injection:
    """What is done to one run.

    `around` holds from before the upload until the run's end, `during` happens while it runs, and
    says where it struck. `proof` looks afterwards whether it struck; None: `during` has said so.
    """

    name: str
    lane: Lane
    during: Act = _nothing_during
    around: Around = _nothing_around
    proof: Callable[[Stage], bool] | None = None
    workload: str = "lines"
    may_fail: bool = False
    alone: bool = False  # cannot be one of a pair
    exclusive: bool = False  # nothing else may run meanwhile: it would be struck too


def catalogue(stage: Stage) -> list[Injection]:
    """Return every injection, in a fixed order."""
    found: list[Injection] = []
    for lane in ("ray", "hpc"):
        found += [_agent(lane, "die", f"{when} {step}") for step in STEPS for when in _WHEN]
        found += [_agent(lane, "again", f"after {step}") for step in _REPEATABLE]
        found += [
            Injection(f"{lane}: a message comes twice", lane, _message_again),
            Injection(f"{lane}: a message comes again after the end", lane, _message_late),
            Injection(f"{lane}: a token is sent twice", lane, _token_again, alone=True),
            Injection(f"{lane}: heartbeats stop", lane, _heartbeats_stop, alone=True),
            Injection(f"{lane}: the agent is killed in mid-job", lane, _kill_agent),
        ]
        found += [_wrong(lane, lane, wrong, "s3", FEW) for wrong in WRONGS]
        found += [_wrong(lane, lane, "loses the answer", name, 2) for name in _SERVICES]
        found.append(_wrong(lane, lane, "throttles", "s3", MANY, method="PUT", may_fail=True))
    found += [
        Injection("ray: a worker is killed", "ray", _kill_worker),
        Injection("ray: the driver is killed", "ray", _kill_driver, alone=True),
        Injection("ray: the head is killed", "ray", _kill_head, alone=True),
        Injection("ray: a worker's disk is full", "ray", _worker_disk_full, may_fail=True),
        Injection("hpc: the job is killed", "hpc", _kill_wrapper, alone=True),
        Injection("hpc: mpirun is killed", "hpc", _kill_mpirun, alone=True),
        Injection("hpc: one rank is killed", "hpc", _kill_rank, alone=True),
        Injection(
            "hpc: one rank's disk is full", "hpc", _rank_disk_full, may_fail=True, alone=True
        ),
        # One that has ended by a first blow cannot be struck by a second.
        Injection(
            "hpc: one rank of spectral is killed", "hpc", _kill_rank, workload="reads", alone=True
        ),
        Injection(
            "hpc: the job of spectral is killed", "hpc", _kill_wrapper, workload="reads", alone=True
        ),
    ]
    if stage.stack.mpi == "slurm":
        found += [
            Injection("hpc: slurmd is killed", "hpc", partial(_kill_part, "slurmd")),
            Injection("hpc: slurmctld is killed", "hpc", partial(_kill_part, "slurmctld")),
            Injection(
                "hpc: slurmd is killed under spectral",
                "hpc",
                partial(_kill_part, "slurmd"),
                workload="reads",
                alone=True,
            ),
        ]
    found += [
        Injection("lambda: a worker is killed", "lambda", _kill_worker),
        Injection("lambda: out of memory", "lambda", _out_of_memory),
        Injection("lambda: the disk is full", "lambda", _worker_disk_full, may_fail=True),
        _out_of_time("once", 1, may_fail=False),
        _out_of_time("always", MANY, may_fail=True),
        Injection("lambda: the upload event comes fifty times", "lambda", _events_again),
    ]
    found += [_wrong("lambda", "lambda", wrong, "s3", FEW) for wrong in WRONGS]
    found.append(_wrong("lambda", "lambda", "throttles", "s3", MANY, method="PUT", may_fail=True))
    found += [_wrong("lambda", "control", wrong, "s3", FEW) for wrong in WRONGS]
    found += [
        _wrong("lambda", "control", wrong, service, 2)
        for service in ("DynamoDB", "AWSStepFunctions")
        for wrong in ("throttles", "loses the answer", "slow")
    ]
    return found


_WHEN = ("before", "after")
_REPEATABLE = ("submitting", "deleting the message", "reporting success", "forgetting the job")
_SERVICES = ("DynamoDB", "AWSStepFunctions", "AmazonSQS")


# The agents, at the steps of their protocol


def _agent(lane: Lane, do: str, at: str) -> Injection:
    what = "the agent dies" if do == "die" else "the agent repeats"

    @contextmanager
    def around(stage: Stage, _: random.Random) -> Iterator[None]:
        orders = stage.orders(lane)
        orders.with_suffix(".done").unlink(missing_ok=True)
        written = orders.with_suffix(".new")
        written.write_text(json.dumps({"at": at, "do": do}))
        written.rename(orders)
        try:
            yield
        finally:
            orders.unlink(missing_ok=True)

    def struck(stage: Stage) -> bool:
        return stage.orders(lane).with_suffix(".done").exists()

    return Injection(f"{lane}: {what} {at}", lane, around=around, proof=struck)


def _kill_agent(stage: Stage, run: Run, rng: random.Random) -> str:
    stage.job(run)
    time.sleep(rng.uniform(0, 2))
    agent = stage.part(stage.agents[run.lane])
    if agent is None:
        raise MissedError("the agent is dead already")
    agent.kill()
    return f"agent {agent.pid}"


def _heartbeats_stop(stage: Stage, run: Run, rng: random.Random) -> str:
    """Freeze the agent, do what Step Functions does after 600 s, and let the agent go on."""
    job = stage.job(run)
    agent = stage.part(stage.agents[run.lane])
    if agent is None:
        raise MissedError("the agent is dead already")
    agent.send_signal(signal.SIGSTOP)
    try:
        stage.stack.root.client("stepfunctions").send_task_failure(
            taskToken=job["token"], error="States.HeartbeatTimeout", cause="No heartbeat came."
        )
        time.sleep(rng.uniform(0.5, 2))
    finally:
        agent.send_signal(signal.SIGCONT)
    return f"job {job['sk']}"


# Messages, tokens, events


def _message_again(stage: Stage, run: Run, _: random.Random) -> str:
    job = stage.job(run)
    _send(stage, run, job)
    return f"job {job['sk']}"


def _message_late(stage: Stage, run: Run, _: random.Random) -> str:
    job = stage.job(run)
    until(lambda: stage.item(run).get("status") != "running" or None, "the end of the run")
    _send(stage, run, job)
    sent = time.monotonic()
    while time.monotonic() < sent + 3:  # until it is taken: what is left is looked for later
        time.sleep(0.1)
    return f"job {job['sk']}"


def _send(stage: Stage, run: Run, job: dict[str, str]) -> None:
    body = {"token": job["token"], "part_key": job["part_key"], "job": job["sk"]}
    queue = stage.stack.outputs["RayQueueUrl" if run.lane == "ray" else "HpcQueueUrl"]
    stage.stack.root.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(body))


def _token_again(stage: Stage, run: Run, rng: random.Random) -> str:
    """Say that a job has succeeded while it still works: its agent will say so again."""
    job = stage.job(run)
    time.sleep(rng.uniform(0, 1))
    client = stage.stack.root.client("stepfunctions")
    for _ in range(2):
        with contextlib.suppress(ClientError):
            client.send_task_success(taskToken=job["token"], output="{}")
    return f"job {job['sk']}"


def _events_again(stage: Stage, run: Run, _: random.Random) -> str:
    event = {
        "detail": {
            "bucket": {"name": stage.store.bucket},
            "object": {"key": run.key, "version-id": run.version},
        }
    }
    client = stage.stack.root.client("stepfunctions")
    machine = stage.stack.outputs["WorkflowMachineArn"]

    def deliver(_: int) -> str:
        started = client.start_execution(stateMachineArn=machine, input=json.dumps(event))
        return str(started["executionArn"])

    with ThreadPoolExecutor(5) as pool:
        arns = list(pool.map(deliver, range(DELIVERIES)))

    def over() -> bool | None:
        told = [client.describe_execution(executionArn=arn)["status"] for arn in arns]
        return None if "RUNNING" in told else True

    until(over, "the end of all executions")
    return f"{len(arns)} times"


# Processes


def _kill(process: psutil.Process, what: str) -> str:
    try:
        process.kill()
    except psutil.NoSuchProcess as error:
        raise MissedError(f"{what} has ended") from error
    return f"{what} {process.pid}"


def _kill_worker(stage: Stage, run: Run, rng: random.Random) -> str:
    worker = stage.in_mid_task(run)
    time.sleep(rng.uniform(0, 0.2))
    return _kill(worker, "worker")


def _kill_driver(stage: Stage, run: Run, rng: random.Random) -> str:
    driver = stage.catch(
        lambda words: "ray_tasks.run_part" in words and run.name in words[-1], "the driver"
    )
    time.sleep(rng.uniform(0, 1))
    return _kill(driver, "driver")


def _kill_head(stage: Stage, run: Run, rng: random.Random) -> str:
    stage.job(run)
    time.sleep(rng.uniform(0, 2))
    head = stage.part("ray")
    if head is None:
        raise MissedError("the head is dead already")
    family = [head, *head.children(recursive=True)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return f"{len(family)} processes"


def _wrapper(stage: Stage, run: Run) -> psutil.Process:
    return stage.catch(lambda words: "hpc.job" in words and run.name in words[-1], "the job")


def _mpirun(stage: Stage, run: Run) -> psutil.Process:
    wrapper = _wrapper(stage, run)

    def look() -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in wrapper.children():
                if child.name() in {"mpirun", "prterun", "orterun"}:
                    return child
        return None

    return until(look, "mpirun")


def _rank(stage: Stage, run: Run) -> psutil.Process:
    mpirun = _mpirun(stage, run)

    def look() -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in mpirun.children(recursive=True):
                if "mpi4py" in child.cmdline():
                    return child
        return None

    return until(look, "a rank")


def _kill_wrapper(stage: Stage, run: Run, rng: random.Random) -> str:
    wrapper = _wrapper(stage, run)
    time.sleep(rng.uniform(0, 1))
    return _kill(wrapper, "job")


def _kill_mpirun(stage: Stage, run: Run, rng: random.Random) -> str:
    mpirun = _mpirun(stage, run)
    time.sleep(rng.uniform(0, 0.5))
    return _kill(mpirun, "mpirun")


def _kill_rank(stage: Stage, run: Run, rng: random.Random) -> str:
    rank = _rank(stage, run)
    time.sleep(rng.uniform(0, 0.5))
    return _kill(rank, "rank")


def _kill_part(name: str, stage: Stage, run: Run, rng: random.Random) -> str:
    stage.job(run)
    time.sleep(rng.uniform(0, 2))
    part = stage.first_part(name)
    process = stage.part(part)
    if process is None:
        raise MissedError(f"{part} is dead already")
    return _kill(process, part)


# Memory, disk, time


def _out_of_memory(stage: Stage, run: Run, _: random.Random) -> str:
    """Do what the kernel does to a process that takes more than its environment has."""
    worker = stage.in_mid_task(run)
    taken = worker.memory_info().rss // 2**20
    return f"{_kill(worker, 'worker')} at {taken} MB"


def _worker_disk_full(stage: Stage, run: Run, _: random.Random) -> str:
    worker = stage.in_mid_task(run)
    _limit(worker, psutil.RLIMIT_FSIZE, FULL_DISK_BYTES)
    return _lifted_after(stage, run, worker)


def _rank_disk_full(stage: Stage, run: Run, _: random.Random) -> str:
    rank = _rank(stage, run)
    _limit(rank, psutil.RLIMIT_FSIZE, FULL_DISK_BYTES)
    return f"rank {rank.pid}"


def _limit(process: psutil.Process, kind: int, most: int) -> None:
    try:
        _, hard = process.rlimit(kind)
        process.rlimit(kind, (most, hard))
    except psutil.NoSuchProcess as error:
        raise MissedError("the worker has ended") from error


def _lifted_after(stage: Stage, run: Run, worker: psutil.Process) -> str:
    """Give the worker its disk back once a call has failed: it serves other runs as well."""

    def failed() -> bool | None:
        if stage.item(run).get("status") != "running":
            return True
        keys = [stored.key for stored in stage.store.listing(run.keys.calls)]
        return any(one["outcome"] == "failed" for one in stage.store.get_all_json(keys)) or None

    try:
        until(failed, "a call without disk")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            _, hard = worker.rlimit(psutil.RLIMIT_FSIZE)
            worker.rlimit(psutil.RLIMIT_FSIZE, (hard, hard))
    return f"worker {worker.pid}"


def _out_of_time(often: str, times: int, *, may_fail: bool) -> Injection:
    """Give RunTask some seconds, and let what it puts into the bucket take longer."""

    @contextmanager
    def around(stage: Stage, _: random.Random) -> Iterator[None]:
        client = stage.stack.root.client("lambda")
        before = {
            name: client.get_function_configuration(FunctionName=name)["Timeout"]
            for name in stage.functions("RunTask")
        }
        for name in before:
            client.update_function_configuration(FunctionName=name, Timeout=TIME_OUT_S)
        order = Order("slow", times, "s3", "PUT", slow_s=TIME_OUT_S + 2.0)
        stage.proxies["lambda"].tell(order)
        try:
            yield
        finally:
            stage.proxies["lambda"].forgive()
            for name, seconds in before.items():
                client.update_function_configuration(FunctionName=name, Timeout=seconds)

    return Injection(
        f"lambda: out of time, {often}",
        "lambda",
        around=around,
        proof=lambda stage: stage.proxies["lambda"].done > 0,
        may_fail=may_fail,
        alone=True,
        exclusive=True,
    )


# S3 and other services


def _wrong(
    lane: Lane,
    part: str,
    wrong: Wrong,
    service: str,
    times: int,
    *,
    method: str | None = None,
    may_fail: bool = False,
) -> Injection:
    # Requests with a token do not name their run; queues are a lane's own.
    names_its_run = service in {"s3", "DynamoDB"}

    def during(stage: Stage, run: Run, rng: random.Random) -> str:
        chosen = method or (rng.choice(["GET", "PUT"]) if service == "s3" else None)
        only = run.name if names_its_run else None
        stage.proxies[part].tell(Order(wrong, times, service, chosen, run=only))
        return chosen or service.removeprefix("AWS")

    @contextmanager
    def around(stage: Stage, _: random.Random) -> Iterator[None]:
        try:
            yield
        finally:
            stage.proxies[part].forgive()

    often = "always" if times == MANY else f"{times} times"
    who = "S3" if service == "s3" else service.removeprefix("AWS")
    name = f"{lane}: {who} {wrong} to {_PART_NAMES[part]}, {often}"
    return Injection(
        name,
        lane,
        during,
        around,
        proof=lambda stage: stage.proxies[part].done > 0,
        may_fail=may_fail,
    )


_PART_NAMES = {
    "ray": "agent and jobs",
    "hpc": "agent and jobs",
    "lambda": "RunTask",
    "control": "the control plane",
}
