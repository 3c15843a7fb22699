"""Ray clusters of several nodes on one machine: a process group for each, all on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.integration.support import OBJECT_STORE_BYTES, ROOT, SLOTS, marked, until
from trivium.local.ministack import without_aws
from trivium.local.processes import Processes, free_port
from trivium.local.ray_head import RayHead, answers

START_TIMEOUT_S = 120.0
# A node that is lost is known to be lost after a few seconds, not after a minute.
SOON = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
}


@dataclass
class RayNodes:
    """A head that runs no tasks, as on EC2, and workers that come and go."""

    folder: Path
    variables: Mapping[str, str]
    gcs: int = field(default_factory=free_port)
    dashboard: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    started: dict[str, Processes] = field(default_factory=dict)
    # Sockets lie there; a socket's path may have 107 characters at most.
    temporary: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="trv-ray-", dir="/tmp"))

    @property
    def head(self) -> RayHead:
        return RayHead(f"http://127.0.0.1:{self.dashboard}", self.token)

    def start_head(self, autoscaling: Mapping[str, Any] | None = None, **variables: str) -> None:
        """Start the head, on the ports that it had before, and wait until it takes jobs."""
        words = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block"]
        words += ["--node-ip-address=127.0.0.1", f"--port={self.gcs}", "--num-cpus=0"]
        words += ["--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard}"]
        words += [f"--dashboard-agent-listen-port={free_port()}"]
        words += [f"--ray-client-server-port={free_port()}", "--min-worker-port=0"]
        words += ["--max-worker-port=0", "--include-dashboard=true", "--disable-usage-stats"]
        words += [f"--temp-dir={self.temporary}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
        if autoscaling is not None:
            path = self.folder / "autoscaler.json"
            path.write_text(json.dumps(autoscaling))
            words += [f"--autoscaling-config={path}"]
        processes = self._start("head", words, variables)
        processes.wait_until("ray", lambda: answers(self.head), START_TIMEOUT_S)

    def start_worker(self, **variables: str) -> str:
        """Start a worker of two slots; return its name."""
        name = f"worker-{len(self.started)}"
        words = [sys.executable, "-m", "tests.integration.programs.ray_worker"]
        self._start(name, [*words, f"127.0.0.1:{self.gcs}", str(SLOTS)], variables)
        return name

    def processes(self, name: str) -> list[psutil.Process]:
        """Return all processes of a node."""
        return marked(self.started[name])

    def kill(self, name: str) -> None:
        """End a node as the loss of its machine would."""
        for process in self.processes(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: not self.processes(name), f"the end of {name}")

    def tasks(self) -> list[str]:
        """Return the states of all tasks that the head knows."""
        answer = httpx.get(
            f"{self.head.address}/api/v0/tasks?limit=10000",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
        ).json()
        return [row["state"] for row in answer["data"]["result"]["result"]]

    def stop(self) -> None:
        for processes in self.started.values():
            processes.stop_all()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _start(self, name: str, words: list[str], variables: Mapping[str, str]) -> Processes:
        environment = {
            **without_aws(dict(os.environ)),
            **self.variables,
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_enable_autoscaler_v2": "1",
            "OMP_NUM_THREADS": "1",
            **SOON,
            **variables,
        }
        processes = self.started.setdefault(name, Processes(self.folder / name))
        processes.start("ray", words, environment)
        return processes
