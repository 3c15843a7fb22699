"""A real Slurm on this machine, for the local stack: munged, slurmctld and a slurmd for each node.

It runs as the user who starts it, from a folder of its own, on loopback, beside any Slurm that the
machine may have.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from trivium.local.processes import Processes, free_port

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol")
START_TIMEOUT_S = 60.0


def installed() -> bool:
    """Return whether everything that a local Slurm needs is on this machine."""
    return all(find(program) for program in PROGRAMS)


def find(program: str) -> str | None:
    """Return the path of a program; daemons lie in sbin, which is not on every PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def configuration(
    folder: Path, user: str, ports: tuple[int, Sequence[int]], slots: int, memory_mb: int
) -> str:
    """Return slurm.conf: a node of some slots for each port. Source: slurm.conf(5), Slurm 22.05.

    `ports` are the controller's and the nodes'.
    """
    host = _host()
    options = {
        "ClusterName": "trivium",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": ports[0],
        "SlurmctldParameters": "idle_on_node_suspend",
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/munge.socket",
        "CredType": "cred/munge",
        "StateSaveLocation": f"{folder}/state",
        "SlurmdSpoolDir": f"{folder}/spool/%n",
        "SlurmctldPidFile": f"{folder}/slurmctld.slurm-pid",
        "SlurmdPidFile": f"{folder}/slurmd-%n.slurm-pid",
        # By descent, because mpirun gives every rank a process group of its own.
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "MpiDefault": "none",
        "SwitchType": "switch/none",
        # A job that takes more than its node's memory is ended before the machine is.
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": 2,
        "JobAcctGatherParams": "OverMemoryKill",
        "DefMemPerNode": memory_mb,
        "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "SchedulerType": "sched/builtin",
        "SchedulerParameters": "batch_sched_delay=0,sched_interval=1",
        "SlurmdParameters": "config_overrides",  # slots may be more than this machine has cores
        "ReturnToService": 2,
        "EnforcePartLimits": "ALL",  # what can never run is refused, not kept pending
        "MinJobAge": 300,
        "KillWait": 5,
    }
    lines = [f"{name}={value}" for name, value in options.items()]
    lines += [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={slots} "
        f"RealMemory={memory_mb}"
        for name, port in zip(node_names(len(ports[1])), ports[1], strict=True)
    ]
    lines.append("PartitionName=mpi Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
    return "\n".join(lines) + "\n"


def node_names(nodes: int) -> list[str]:
    """Return the names of so many nodes.

    A single one has this machine's name, by which mpirun knows that it need not go elsewhere.
    """
    return [_host()] if nodes == 1 else [f"node{number}" for number in range(1, nodes + 1)]


def _host() -> str:
    return socket.gethostname().split(".")[0]


def start(
    processes: Processes,
    folder: Path,
    slots: int,
    nodes: int = 1,
    memory_mb: int | None = None,
) -> dict[str, str]:
    """Start Slurm with nodes of so many slots; return the environment that its commands need.

    Each node has `memory_mb` MiB of memory; without, all that the machine has.

    Raises:
        UserError: a daemon did not come up.

    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged refuses a socket in a folder that others may write to
    _start_munged(processes, folder)
    config = folder / "slurm.conf"
    user = pwd.getpwuid(os.geteuid()).pw_name
    ports = [free_port() for _ in range(nodes)]
    memory_mb = memory_mb or psutil.virtual_memory().total >> 20
    config.write_text(configuration(folder, user, (free_port(), ports), slots, memory_mb))
    environment = os.environ | {"SLURM_CONF": str(config)}
    _start_daemon(processes, "slurmctld", ["slurmctld"], environment)
    for name in node_names(nodes):
        start_node(processes, name, environment)
    # The daemon of a job's step is nobody's child, shows no environment, and outlives slurmd.
    end_jobs = 'scancel --user="$1"; until jobs=$(squeue --noheader) && test -z "$jobs"; '
    end_jobs += "do sleep 0.1; done"
    words = ["env", f"SLURM_CONF={config}", "sh", "-c", end_jobs, "sh", user]
    processes.stop_with("slurm-jobs", words)
    processes.wait_until("slurmctld", lambda: _idle(environment), START_TIMEOUT_S)
    return {"SLURM_CONF": str(config)}


def start_node(processes: Processes, name: str, environment: Mapping[str, str]) -> None:
    """Start the daemon of one node of the Slurm that the environment names."""
    _start_daemon(processes, f"slurmd-{name}", ["slurmd", "-N", name], environment)


def _start_daemon(
    processes: Processes, name: str, words: Sequence[str], environment: Mapping[str, str]
) -> None:
    program = find(words[0])
    assert program is not None
    words = [program, "-D", "-f", environment["SLURM_CONF"], *words[1:]]
    processes.start(name, words, environment)


def _start_munged(processes: Processes, folder: Path) -> None:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    program = find("munged")
    assert program is not None
    words = [program, "--foreground", "--force", f"--key-file={key}"]
    words += [f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.slurm-pid"]
    words += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"]
    processes.start("munged", words, os.environ)
    processes.wait_until("munged", (folder / "munge.socket").is_socket, START_TIMEOUT_S)


def _idle(environment: dict[str, str]) -> bool:
    asked = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%t"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    return asked.returncode == 0 and set(asked.stdout.split()) == {"idle"}
