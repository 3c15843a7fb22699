"""Injects faults into runs, one lane beside the other, and says what came of each."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.faults.checks import Bytes, Verdict, judge, outputs
from tests.faults.injections import Injection
from tests.faults.stage import MissedError, Stage

LONGEST_RUN_S = 300.0
TRIES = 2  # of an injection whose victim was too quick


@dataclass(frozen=True)
class Planned:
    """One run of a sweep: what is done to it, and the seed of when."""

    number: int
    injections: tuple[Injection, ...]
    seed: int

    @property
    def lane(self) -> str:
        return self.injections[0].lane

    @property
    def exclusive(self) -> bool:
        return any(one.exclusive for one in self.injections)

    @property
    def name(self) -> str:
        return " + ".join(one.name for one in self.injections)


@dataclass(frozen=True)
class Finding:
    """What was injected, where it struck, and what came of it."""

    planned: Planned
    run: str
    where: str
    verdict: Verdict
    seconds: float

    @property
    def held(self) -> bool:
        return not self.verdict.broken

    @property
    def came_of_it(self) -> str:
        if self.verdict.broken:
            return f"DID NOT HOLD: {'; '.join(self.verdict.broken)}"
        if self.verdict.ended == "succeeded":
            return "done with the same bytes"
        return f"failed: {self.verdict.reason}"


def plan(injections: Sequence[Injection], count: int, pairs: int, seed: int) -> list[Planned]:
    """Return what is done in which order: every injection as often as any other, then pairs."""
    rng = random.Random(seed)  # noqa: S311 - a choice of tests
    chosen: list[tuple[Injection, ...]] = []
    while len(chosen) < count:
        order = list(injections)
        rng.shuffle(order)
        chosen += [(one,) for one in order[: count - len(chosen)]]
    pairable = [one for one in injections if not one.alone]
    for _ in range(pairs):
        first = rng.choice(pairable)
        others = [
            one
            for one in pairable
            if one.lane == first.lane and one.workload == first.workload and one is not first
        ]
        if others:
            chosen.append((first, rng.choice(others)))
    return [Planned(number, one, rng.getrandbits(32)) for number, one in enumerate(chosen, 1)]


def undisturbed(stage: Stage, planned: Sequence[Planned]) -> dict[str, Bytes]:
    """Return what the workloads give where nothing is done to them, the same on every lane.

    Raises:
        AssertionError: a run failed, or the bytes depend on where it ran.

    """
    wanted = sorted({(one.injections[0].workload, one.lane) for one in planned})
    runs = [stage.start(stage.workloads[name], lane) for name, lane in wanted]
    found: dict[str, Bytes] = {}
    for (name, lane), run in zip(wanted, runs, strict=True):
        item = stage.wait_for_end(run, LONGEST_RUN_S)
        assert item["status"] == "succeeded", item
        expected = found.setdefault(name, outputs(stage, run))
        verdict = judge(stage, run, expected, may_fail=False)
        assert not verdict.broken, (lane, verdict)
    return found


def sweep(
    stage: Stage,
    planned: Sequence[Planned],
    expected: dict[str, Bytes],
    say: Callable[[Finding], None],
    minutes: float | None = None,
) -> list[Finding]:
    """Do all that is planned, the lanes side by side, each in order; then what must be alone.

    With `minutes`, what could not be begun by then is left out.
    """
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    findings: list[Finding] = []
    lock = threading.Lock()
    by_lane: dict[str, list[Planned]] = {}
    alone = [one for one in planned if one.exclusive]
    for one in planned:
        if not one.exclusive:
            by_lane.setdefault(one.lane, []).append(one)

    def work(mine: Sequence[Planned]) -> None:
        for one in mine:
            if time.monotonic() > deadline:
                return
            finding = inject(stage, one, expected)
            with lock:
                findings.append(finding)
                say(finding)

    threads = [
        threading.Thread(target=work, args=[by_lane[lane]], daemon=True) for lane in sorted(by_lane)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work(alone)
    return sorted(findings, key=lambda finding: finding.planned.number)


def inject(stage: Stage, planned: Planned, expected: dict[str, Bytes]) -> Finding:
    """Do what is planned for one run; once more where the run was too quick for it."""
    for _ in range(TRIES):
        finding = _inject(stage, planned, expected)
        if finding.where != "":
            return finding
    return finding


def _inject(stage: Stage, planned: Planned, expected: dict[str, Bytes]) -> Finding:
    begun = time.monotonic()
    rng = random.Random(planned.seed)  # noqa: S311 - a choice of tests
    workload = planned.injections[0].workload
    missed: list[str] = []
    where: list[str] = []

    def act(one: Injection, mine: random.Random) -> None:
        try:
            where.append(one.during(stage, run, mine))
        except MissedError as error:
            missed.append(str(error))
        except Exception as error:  # noqa: BLE001 - told below
            missed.append(f"{type(error).__name__}: {error}")

    with ExitStack() as around:
        for one in planned.injections:
            around.enter_context(one.around(stage, rng))
        run = stage.start(stage.workloads[workload], planned.lane)
        seeds = [random.Random(rng.getrandbits(32)) for _ in planned.injections]  # noqa: S311
        threads = [
            threading.Thread(target=act, args=[one, mine])
            for one, mine in zip(planned.injections, seeds, strict=True)
        ]
        for thread in threads:
            thread.start()
        stage.wait_for_end(run, LONGEST_RUN_S)
        for thread in threads:
            thread.join()
        struck = [one.proof is None or one.proof(stage) for one in planned.injections]
    may_fail = any(one.may_fail for one in planned.injections)
    try:
        verdict = judge(stage, run, expected[workload], may_fail=may_fail)
    except Exception as error:  # noqa: BLE001 - one run must not end the sweep
        verdict = Verdict("unknown", None, 0, "", (f"{type(error).__name__}: {error}",))
    first_struck = not missed and struck[0]
    if not first_struck:
        said = "; ".join(missed) or "it did not come to that"
        broken = (*verdict.broken, f"not injected: {said}")
        verdict = Verdict(verdict.ended, verdict.reason, verdict.attempts, verdict.usd, broken)
    words = "; ".join(word for word in where if word) or "as named"
    seconds = time.monotonic() - begun
    return Finding(planned, run.name, words if first_struck else "", verdict, seconds)
