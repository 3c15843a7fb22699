"""Runs on a local stack of the benchmarks' own, watched from outside: time, and peak memory."""

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from bench.peers import ROOT
from control.attempt_record import Attempt
from trivium.local import stack as local
from trivium.local.processes import MARK
from trivium.target import Target

SAMPLE_EVERY_S = 1.0
PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
# The first that is found in a process's command line says what it does.
KINDS = (
    ("hpc.spectral", "spectral rank"),
    ("hpc.run_map", "map rank"),
    ("ministack-lambda", "Lambda worker"),
    ("ministack", "AWS emulator"),
    ("agents", "agent"),
    ("hpc.job", "MPI job's wrapper"),
    ("ray_tasks", "Ray job"),
    ("ray::", "Ray worker"),
    ("ray", "Ray itself"),
    ("slurm", "Slurm"),
)


@contextmanager
def own_stack() -> Iterator[Target]:
    """Start a local stack beside any that is up, and stop it however its use ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ["TRIVIUM_LOCAL"] = str(ROOT / ".local-bench")
    local.down()
    try:
        yield Target.local(local.up(print))
    finally:
        local.down()


def kind_of(command: list[str]) -> str:
    """Return what a process of the stack does, from its command line."""
    words = " ".join(command)
    return next((kind for word, kind in KINDS if word in words), "other")


def peak_kb(status: str) -> int | None:
    """Return a process's peak resident memory from its /proc/PID/status; None if it has ended."""
    found = PEAK.search(status)
    return None if found is None else int(found[1])


class PeakMemory:
    """Watches the processes of the stack: the largest peak of a process of each kind, in MB.

    The kernel keeps each process's peak, so one is missed only where the process lives for less
    than a second. Whose a process is is looked up once: whoever measures should take little of the
    machine that is measured.
    """

    def __init__(self) -> None:
        self._peaks: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def megabytes(self) -> dict[str, float]:
        """Return the largest peak of each kind so far."""
        return {kind: kb / 1024 for kind, kb in sorted(self._peaks.items())}

    def _watch(self) -> None:
        ours: dict[int, bool] = {}
        while not self._stop.wait(SAMPLE_EVERY_S):
            ours = {pid: ours[pid] if pid in ours else _is_ours(pid) for pid in psutil.pids()}
            for pid in (pid for pid, is_ours in ours.items() if is_ours):
                with contextlib.suppress(OSError):
                    proc = Path(f"/proc/{pid}")
                    kind = kind_of((proc / "cmdline").read_text().split("\0"))
                    peak = peak_kb((proc / "status").read_text())
                    self._peaks[kind] = max(self._peaks.get(kind, 0), peak or 0)


def _is_ours(pid: int) -> bool:
    """Return whether a process is this stack's."""
    mark = str((local.home() / "processes").resolve())
    with contextlib.suppress(psutil.Error, OSError):
        return psutil.Process(pid).environ().get(MARK) == mark
    return False


@dataclass(frozen=True)
class StepTime:
    """One step of a run, from the ledger: seconds since the run began, and what they went to."""

    name: str
    platform: str
    ready_s: float
    ended_s: float
    queue_s: float
    startup_s: float
    transfer_s: float
    compute_s: float

    @property
    def around_s(self) -> float:
        """Return what lies about its attempts: placing them and settling them."""
        inside = self.queue_s + self.startup_s + self.transfer_s + self.compute_s
        return self.ended_s - self.ready_s - inside


def step_times(target: Target, run: str) -> list[StepTime]:
    """Return the steps of a run that has ended, in topological order; parts of one run in turn."""
    items = target.stack.ledger.query(f"run#{run}")
    began_s = next(float(item["started_s"]) for item in items if item["sk"] == "run")
    attempts = [Attempt.from_json(item) for item in items if item["sk"].startswith("attempt#")]
    found = []
    for item in sorted(_steps(items), key=lambda item: int(item["order"])):
        mine = [one for one in attempts if one.step == item["step"] and one.measured is not None]
        walls = [one.measured.wall for one in mine if one.measured is not None]
        found.append(
            StepTime(
                item["step"],
                "+".join(sorted({one.platform for one in mine})),
                float(item["ready_s"]) - began_s,
                float(item["ended_s"]) - began_s,
                *(
                    sum(getattr(wall, of) for wall in walls)
                    for of in ("queue_s", "startup_s", "transfer_s", "compute_s")
                ),
            )
        )
    return found


def _steps(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["sk"].startswith("step#")]
