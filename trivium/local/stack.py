"""The local stack: emulator, deployment, Ray, MPI and their agents, up and down as one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

from placement.books import default_books
from placement.errors import UserError
from runtime.ledger import Ledger
from runtime.requests import Aws
from trivium.local import deployment, identities, ministack, ray_head, slurm
from trivium.local.processes import Processes

# What this machine's one Ray node and one MPI node are priced as: the smallest current type with
# two vCPUs, and the smallest in the platform book's MPI queue.
RAY_TYPE = "c7i.large"
HPC_TYPE = "c5n.9xlarge"
SLOTS = 2
# Every environment that runs at once is a process with its own cold start on the same few cores.
LAMBDA_CONCURRENCY = 2
STEPS_AT_ONCE = 6
# Platforms share this machine's cores: parts side by side would measure each other.
PARTS_AT_ONCE = 1
# Ranks that wait for each other leave the core to what else runs on this machine.
SHARED_CORES = {"OMPI_MCA_mpi_yield_when_idle": "1"}
AGENT_TIMEOUT_S = 60.0

type Say = Callable[[str], None]


@dataclass(frozen=True)
class LocalStack:
    """A local stack that is up."""

    endpoint: str
    outputs: dict[str, str]
    mpi: str  # what runs MPI jobs: slurm or mpirun
    user_key: str
    user_secret: str

    @property
    def aws(self) -> Aws:
        """Return clients of its emulator that may do what a user of the stack may."""
        return Aws(ministack.session(self.user_key, self.user_secret), self.endpoint)

    @property
    def root(self) -> Aws:
        """Return clients of its emulator that may do everything."""
        return Aws(ministack.session(), self.endpoint)


def root() -> Path:
    """Return the project's folder, where template.yaml lies."""
    return Path(__file__).resolve().parent.parent.parent


def home() -> Path:
    """Return the folder in which the local stack keeps its notes, logs and scratch."""
    return Path(os.environ.get("TRIVIUM_LOCAL", root() / ".local"))


@cache
def processes_in(folder: Path) -> Processes:
    """Return the processes of a folder: always the same object, which reaps those it started."""
    return Processes(folder)


def find() -> LocalStack | None:
    """Return the local stack that is up, or None."""
    note = home() / "stack.json"
    if not note.exists() or not processes_in(home() / "processes").alive("ministack"):
        return None
    return LocalStack(**json.loads(note.read_text()))


def up(say: Say) -> LocalStack:
    """Start everything.

    Raises:
        UserError: a stack is up already, or a part did not come up; what was started is stopped.

    """
    if find() is not None:
        raise UserError("The local stack is up already; `trivium down` stops it.")
    folder = home()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        stack = _start(folder, say)
    except BaseException:
        down()
        raise
    (folder / "stack.json").write_text(json.dumps(asdict(stack)))
    return stack


def down() -> list[str]:
    """Stop everything that `up` started; return the names of what was stopped."""
    folder = home() / "processes"
    ray_folder = folder / "ray.folder"
    stopped = processes_in(folder).stop_all()
    if ray_folder.exists():
        shutil.rmtree(ray_folder.read_text(), ignore_errors=True)
        ray_folder.unlink()
    (home() / "stack.json").unlink(missing_ok=True)
    return stopped


def _start(folder: Path, say: Say) -> LocalStack:
    begun_s = time.monotonic()
    processes = processes_in(folder / "processes")
    tools = root() / ".tools"
    endpoint = ministack.start(processes, tools / "ministack" / "bin" / "python", folder)
    variables = ministack.variables(endpoint)
    say(f"AWS emulator at {endpoint}, with IAM enforced")
    machine = partial(identities.machine_variables, folder, endpoint=endpoint)
    head = ray_head.start(processes, root(), SLOTS, machine("ray") | _numba_cache(folder))
    slurm_variables: dict[str, str] = {}
    mpi = "slurm" if slurm.installed() else "mpirun"
    if mpi == "slurm":
        slurm_variables = slurm.start(processes, folder / "slurm", SLOTS)
    say(
        "MPI: real Slurm, one node with two slots"
        if mpi == "slurm"
        else "MPI: mpirun without a scheduler, because Slurm is not installed (slurm-wlm, munge)"
    )
    say("sam build, sam deploy")
    parameters = {
        "LambdaConcurrency": str(LAMBDA_CONCURRENCY),
        "StepsAtOnce": str(STEPS_AT_ONCE),
        "PartsAtOnce": str(PARTS_AT_ONCE),
        "Machine": "laptop",
    }
    deployment.deploy(root(), tools, folder / "sam.log", variables, parameters)
    outputs = deployment.outputs(ministack.session(), endpoint, deployment.STACK_NAME)
    key = identities.make_user(ministack.session(), endpoint, outputs["UserPolicyArn"])
    roles = {"ray": outputs["RayAgentRoleArn"], "hpc": outputs["HpcAgentRoleArn"]}
    identities.write_profiles(folder, roles)
    ray_head.wait(processes, head)
    say(f"Ray at {head.address}, one node with two slots")
    stack = LocalStack(endpoint, outputs, mpi, *key)
    common = ministack.without_aws(os.environ) | _numba_cache(folder) | _names(outputs)
    common |= SHARED_CORES
    on_ray = common | machine("ray")
    on_ray |= {"TRIVIUM_RAY_ADDRESS": head.address, "RAY_AUTH_TOKEN": head.token}
    _start_agent(processes, "ray", RAY_TYPE, outputs["RayQueueUrl"], on_ray)
    on_hpc = common | machine("hpc") | slurm_variables
    _start_agent(processes, mpi, HPC_TYPE, outputs["HpcQueueUrl"], on_hpc)
    ledger = Ledger(stack.aws, outputs["Ledger"])
    for name, platform in (("agent-ray", "ray"), (f"agent-{mpi}", "hpc")):
        announced = partial(_announced, ledger, platform)
        processes.wait_until(name, announced, AGENT_TIMEOUT_S)
    say(f"up after {time.monotonic() - begun_s:.0f} s")
    return stack


def _announced(ledger: Ledger, platform: str) -> bool:
    return ledger.get("cluster", platform) is not None


def _numba_cache(folder: Path) -> dict[str, str]:
    """Return where compiled code is kept: on a node that stays up, it stays warm."""
    return {"NUMBA_CACHE_DIR": str(folder.parent / f"{folder.name}-numba")}


def _names(outputs: dict[str, str]) -> dict[str, str]:
    return {
        "TRIVIUM_BUCKET": outputs["Bucket"],
        "TRIVIUM_TABLE": outputs["Ledger"],
        "PYTHONPATH": str(root()),
    }


def _start_agent(
    processes: Processes, kind: str, instance_type: str, queue: str, environment: dict[str, str]
) -> None:
    work = processes.folder.parent / f"work-{kind}"
    work.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "agents", kind, "--queue-url", queue]
    words += ["--instance-type", instance_type, "--slots", str(SLOTS), "--work", str(work)]
    words += ["--node-disk-gb", str(int(default_books()[1].value("node_disk_gb")))]
    processes.start(f"agent-{kind}", words, environment)
