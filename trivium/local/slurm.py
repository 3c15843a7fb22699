"""A real Slurm of one node on this machine, for the local stack: munged, slurmctld and slurmd.

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
from pathlib import Path

from trivium.local.processes import Processes, free_port

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol")
START_TIMEOUT_S = 60.0


def installed() -> bool:
    """Return whether everything that a local Slurm needs is on this machine."""
    return all(find(program) for program in PROGRAMS)


def find(program: str) -> str | None:
    """Return the path of a program; daemons lie in sbin, which is not on every PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def configuration(folder: Path, user: str, ports: tuple[int, int], slots: int) -> str:
    """Return slurm.conf. Source of each option: slurm.conf(5), Slurm 22.05."""
    host = socket.gethostname().split(".")[0]
    options = {
        "ClusterName": "trivium",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": ports[0],
        "SlurmdPort": ports[1],
        "SlurmctldParameters": "idle_on_node_suspend",
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/munge.socket",
        "CredType": "cred/munge",
        "StateSaveLocation": f"{folder}/state",
        "SlurmdSpoolDir": f"{folder}/spool",
        "SlurmctldPidFile": f"{folder}/slurmctld.slurm-pid",
        "SlurmdPidFile": f"{folder}/slurmd.slurm-pid",
        # By descent, because mpirun gives every rank a process group of its own.
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "MpiDefault": "none",
        "SwitchType": "switch/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "SchedulerType": "sched/builtin",
        "SchedulerParameters": "batch_sched_delay=0,sched_interval=2",
        "SlurmdParameters": "config_overrides",  # slots may be more than this machine has cores
        "ReturnToService": 2,
        "EnforcePartLimits": "ALL",  # what can never run is refused, not kept pending
        "MinJobAge": 300,
        "KillWait": 5,
    }
    lines = [f"{name}={value}" for name, value in options.items()]
    lines += [
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs={slots} State=UNKNOWN",
        f"PartitionName=mpi Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO",
    ]
    return "\n".join(lines) + "\n"


def start(processes: Processes, folder: Path, slots: int) -> dict[str, str]:
    """Start Slurm; return the environment that its commands need.

    Raises:
        UserError: a daemon did not come up.

    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged refuses a socket in a folder that others may write to
    _start_munged(processes, folder)
    config = folder / "slurm.conf"
    user = pwd.getpwuid(os.geteuid()).pw_name
    config.write_text(configuration(folder, user, (free_port(), free_port()), slots))
    environment = os.environ | {"SLURM_CONF": str(config)}
    for daemon in ("slurmctld", "slurmd"):
        program = find(daemon)
        assert program is not None
        processes.start(daemon, [program, "-D", "-f", str(config)], environment)
    # The daemon of a job's step is nobody's child, shows no environment, and outlives slurmd.
    end_jobs = 'scancel --user="$1"; until jobs=$(squeue --noheader) && test -z "$jobs"; '
    end_jobs += "do sleep 0.1; done"
    words = ["env", f"SLURM_CONF={config}", "sh", "-c", end_jobs, "sh", user]
    processes.stop_with("slurm-jobs", words)
    processes.wait_until("slurmctld", lambda: _idle(environment), START_TIMEOUT_S)
    return {"SLURM_CONF": str(config)}


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
        ["sinfo", "--noheader", "--format=%t"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    return asked.returncode == 0 and asked.stdout.strip() == "idle"
