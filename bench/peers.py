"""What the comparisons with other programs share: timed commands, medians, and the result's file.

Two programs take turns, so that what else the machine does falls on both. Each runs as a process
of its own with one thread in its libraries, and on one core where nothing else is said.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "out" / "bench"
PEERS = ROOT / ".tools" / "peers" / "bin" / "python"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Took:
    """What a command took, its children included, and what it printed."""

    clock_s: float
    cpu_s: float
    said: str


def timed(words: Sequence[str], extra: Mapping[str, str] | None = None) -> Took:
    """Run a command on one core.

    Raises:
        SystemExit: it failed; the sentence carries its last words.

    """
    core = min(os.sched_getaffinity(0))
    before, begun_s = os.times(), time.perf_counter()
    done = subprocess.run(
        ["taskset", "-c", str(core), *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)} | dict(extra or {}),
    )
    clock_s, after = time.perf_counter() - begun_s, os.times()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)[:200]} failed: {done.stderr.strip()[-2000:]}")
    cpu_s = after.children_user - before.children_user
    cpu_s += after.children_system - before.children_system
    return Took(clock_s, cpu_s, done.stdout)


def in_turn[T](runs: int, **sides: Callable[[], T]) -> dict[str, list[T]]:
    """Run every side `runs` times, one after the other; return what each gave."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            found[name].append(side())
    return found


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return float(median(values))


def peers_python() -> str:
    """Return the Python of the peers' environment.

    Raises:
        SystemExit: it is not there.

    """
    if not PEERS.exists():
        raise SystemExit(
            "The environment of the peers is not there; make it: make .tools/peers/ready"
        )
    return str(PEERS)


@dataclass(frozen=True)
class Result:
    """One comparison: two figures in one unit, their ratio, and the ratio that is wanted.

    At least `goal` is wanted, or at most where `at_most` is set.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    goal: float
    unit: str
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the ratio is as wanted."""
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal


def write(results: Sequence[Result], runs: Any = None) -> None:
    """Write each result to out/bench/NAME.json, all single measurements beside; print a table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    module = Path(sys.argv[0]).stem
    for one in results:
        body = {name: getattr(one, name) for name in ("name", "ours", "peer", "ratio", "goal")}
        body["command"] = f"python -m bench.{module}"
        (RESULTS / f"{one.name}.json").write_text(json.dumps(body, indent=1) + "\n")
    if runs is not None:
        (RESULTS / f"{module}.runs.json").write_text(json.dumps(runs, indent=1) + "\n")
    print(f"{'':28}{'ours':>12}{'peer':>12} {'':18}{'ratio':>8}  {'goal'}")
    for one in results:
        bound = f"{'at most' if one.at_most else 'at least'} {one.goal:.2f}"
        print(
            f"{one.name:28}{one.ours:12,.2f}{one.peer:12,.2f} {one.unit:18}{one.ratio:8.2f}  "
            f"{bound}{'' if one.met else '  (missed)'}"
        )
