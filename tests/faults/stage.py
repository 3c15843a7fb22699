"""A local stack whose parts can be hurt, and are started again as their supervisor would."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from agents.notes import Note
from runtime.keys import StepKeys, run_id
from runtime.ledger import Ledger
from runtime.store import Store
from tests.faults.proxy import Proxy
from trivium.local.deployment import STACK_NAME
from trivium.local.processes import MARK
from trivium.local.stack import LocalStack, home, processes_in, root

LOOK_EVERY_S = 0.1
# As `RestartSec` of the agents' units: a part is not started again at once.
RESTART_AFTER_S = 0.5
CAUGHT_WITHIN_S = 90.0
LINES = 60
READS = 600
READS_FILE = root() / "workflows" / "read_clustering" / "demo" / "demo_R1.fastq.gz"

type Lane = str  # ray, hpc or lambda: where the step that is hurt runs


class MissedError(Exception):
    """What was to be hurt could not be caught in time."""


@dataclass(frozen=True)
class Workload:
    """A small run: its workflow, its upload, the step that is hurt, and its output's last step."""

    workflow: str
    file: str
    body: bytes
    hurt: str
    others: dict[str, str]
    last: str

    def place(self, lane: Lane) -> dict[str, str]:
        return self.others | ({self.hurt: lane} if self.hurt != "spectral" else {})


def workloads() -> dict[str, Workload]:
    """Return the workloads by name."""
    lines = "\n".join(f"line {'x' * (number % 7)}{number}" for number in range(LINES))
    reads = gzip.decompress(READS_FILE.read_bytes()).splitlines(keepends=True)
    few = gzip.compress(b"".join(reads[: 4 * READS]), mtime=0)
    at_lambda = dict.fromkeys(("lines", "census"), "lambda")
    clustering = dict.fromkeys(("cut", "quality", "sketch"), "lambda")
    return {
        "lines": Workload("line-census", "a.txt", lines.encode(), "lengths", at_lambda, "census"),
        "reads": Workload("read-clustering", "a.fastq.gz", few, "spectral", clustering, "spectral"),
    }


@dataclass
class Run:
    """A run that has been started."""

    name: str
    key: str
    version: str
    workload: Workload
    lane: Lane
    begun: float = field(default_factory=time.monotonic)

    @property
    def keys(self) -> StepKeys:
        return StepKeys(self.name, self.workload.hurt)


class Stage:
    """The stack, with a proxy before each part, and an eye on what has died."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.ledger = Ledger(stack.root, stack.outputs["Ledger"])
        self.store = Store(stack.root, stack.outputs["Bucket"])
        self.workloads = workloads()
        self.agents = {"ray": "agent-ray", "hpc": f"agent-{stack.mpi}"}
        self.proxies = {name: Proxy(stack.endpoint) for name in ("ray", "hpc", "lambda", "control")}
        self.restarts: dict[str, int] = {}
        self._processes = processes_in(home() / "processes")
        self._parts: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._before: list[tuple[str, dict[str, Any]]] = []
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    # The parts

    def __enter__(self) -> Self:
        notes = sorted((home() / "processes").glob("slurm*d*.pid"))
        for name in ("ray", *(note.stem for note in notes)):
            if (process := self.part(name)) is not None:
                self._parts[name] = (process.cmdline(), process.environ())
        for lane, name in self.agents.items():
            process = self.part(name)
            assert process is not None, name
            words, environment = process.cmdline(), process.environ()
            self._parts[f"{name} before"] = (words, environment)
            orders = str(self.orders(lane))
            after = [
                words[0],
                "-m",
                "tests.faults.agent",
                orders,
                *words[words.index("agents") + 1 :],
            ]
            endpoint = {"AWS_ENDPOINT_URL": self.proxies[lane].url}
            self._parts[name] = (after, environment | endpoint)
            self._stop(process)
            self._start(name)
        self._put_proxies_before_functions()
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the stack as it was."""
        self._closing.set()
        self._keeper.join()
        for name in self.agents.values():
            self._parts[name] = self._parts[f"{name} before"]
            if (process := self.part(name)) is not None:
                self._stop(process)
            self._start(name)
        client = self.stack.root.client("lambda")
        for function, environment in self._before:
            client.update_function_configuration(FunctionName=function, Environment=environment)
        for proxy in self.proxies.values():
            proxy.close()

    def part(self, name: str) -> psutil.Process | None:
        """Return the process of a part, if it runs."""
        note = Note.read(home() / "processes" / f"{name}.pid")
        return None if note is None else note.process()

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment in which a part is started."""
        return self._parts[name][1]

    def first_part(self, kind: str) -> str:
        """Return the first part whose name begins so: each node has a slurmd of its own.

        Raises:
            MissedError: there is none.

        """
        named = [name for name in sorted(self._parts) if name.startswith(kind)]
        if not named:
            raise MissedError(f"there is no {kind}")
        return named[0]

    def orders(self, lane: Lane) -> Path:
        """Return the file in which an agent finds its orders."""
        return home() / f"orders-{lane}.json"

    def _stop(self, process: psutil.Process) -> None:
        process.terminate()
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(20)
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            process.kill()

    def _start(self, name: str) -> None:
        self._processes.start(name, *self._parts[name])

    def _keep(self) -> None:
        """Start again what has died, as systemd would."""
        while not self._closing.wait(LOOK_EVERY_S):
            for name in [one for one in self._parts if not one.endswith(" before")]:
                if self.part(name) is not None:
                    continue
                time.sleep(RESTART_AFTER_S)
                if name == "ray":
                    self._clear_away_ray()
                self._start(name)
                self.restarts[name] = self.restarts.get(name, 0) + 1

    def _clear_away_ray(self) -> None:
        """Kill what a dead head has left, as the end of its unit does."""
        folder = (home() / "processes" / "ray.folder").read_text()
        for process in self.ours():
            with contextlib.suppress(psutil.Error):
                told = " ".join(process.cmdline())
                if folder in told or told.startswith("ray::"):
                    process.kill()

    def _put_proxies_before_functions(self) -> None:
        client = self.stack.root.client("lambda")
        pages = self.stack.root.client("cloudformation").get_paginator("list_stack_resources")
        for page in pages.paginate(StackName=STACK_NAME):
            for entry in page["StackResourceSummaries"]:
                if entry["ResourceType"] != "AWS::Lambda::Function":
                    continue
                function = entry["PhysicalResourceId"]
                before = client.get_function_configuration(FunctionName=function)
                variables = dict(before.get("Environment", {}).get("Variables", {}))
                self._before.append((function, {"Variables": variables}))
                lane = "lambda" if entry["LogicalResourceId"].startswith("RunTask") else "control"
                after = variables | {"AWS_ENDPOINT_URL": self.proxies[lane].url}
                client.update_function_configuration(
                    FunctionName=function, Environment={"Variables": after}
                )

    def functions(self, prefix: str) -> list[str]:
        """Return the stack's functions whose name in the template begins so."""
        return [name for name, _ in self._before if name.startswith(f"{STACK_NAME}-{prefix}")]

    # Processes

    def ours(self) -> Iterator[psutil.Process]:
        """Yield every process that came from this stack; no other may be hurt."""
        mark = str((home() / "processes").resolve())
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == mark:
                    yield process

    def catch(self, wanted: Callable[[list[str]], bool], what: str) -> psutil.Process:
        """Return the first process of this stack with such words, as soon as there is one.

        Raises:
            MissedError: none came.

        """

        def look() -> psutil.Process | None:
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    if wanted(process.cmdline()) and self._is_ours(process):
                        return process
            return None

        return until(look, what)

    def _is_ours(self, process: psutil.Process) -> bool:
        return process.environ().get(MARK) == str((home() / "processes").resolve())

    def in_mid_task(self, run: Run) -> psutil.Process:
        """Return the process that works on a task of the step that is to be hurt.

        Raises:
            MissedError: none was seen at work.

        """

        def look() -> psutil.Process | None:
            for stored in self.store.listing(run.keys.calls):
                record = self.store.get_json(stored.key)
                pid = re.search(r"-(\d+)$", record["worker"])
                if record["outcome"] == "running" and pid is not None:
                    with contextlib.suppress(psutil.Error):
                        process = psutil.Process(int(pid[1]))
                        if self._is_ours(process):
                            return process
            return None

        return until(look, f"a call of {run.keys.step}")

    # Runs

    def start(self, workload: Workload, lane: Lane) -> Run:
        """Upload a file and its manifest, which starts a run."""
        folder = f"raw/{workload.workflow}/{secrets.token_hex(6)}"
        self._put(f"{folder}/{workload.file}", workload.body)
        manifest = {"files": [workload.file], "place": workload.place(lane)}
        key = f"{folder}/manifest.json"
        version = self._put(key, json.dumps(manifest).encode())
        name = run_id(workload.workflow, self.store.bucket, key, version)
        return Run(name, key, version, workload, lane)

    def _put(self, key: str, body: bytes) -> str:
        client = self.stack.root.client("s3")
        answer = client.put_object(Bucket=self.store.bucket, Key=key, Body=body)
        return str(answer["VersionId"])

    def item(self, run: Run) -> dict[str, Any]:
        """Return what the ledger says of a run."""
        return self.ledger.get(f"run#{run.name}", "run") or {}

    def wait_for_end(self, run: Run, timeout_s: float) -> dict[str, Any]:
        """Return a run's item once it has ended, or as it is after this long."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            item = self.item(run)
            if item.get("status") not in {None, "running"}:
                return item
            time.sleep(LOOK_EVERY_S)
        return self.item(run)

    def job(self, run: Run) -> dict[str, Any]:
        """Return the first job of a run that its agent looks after.

        Raises:
            MissedError: there was none.

        """

        def look() -> dict[str, Any] | None:
            items = self.ledger.query(f"job#{run.lane}", run.name)
            return items[0] if items and "submitted_s" in items[0] else None

        return until(look, "a job")


def until[Found](look: Callable[[], Found | None], what: str) -> Found:
    """Return what is looked for, as soon as it is there.

    Raises:
        MissedError: it did not come.

    """
    deadline = time.monotonic() + CAUGHT_WITHIN_S
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.02)
    raise MissedError(f"{what} was not seen")
