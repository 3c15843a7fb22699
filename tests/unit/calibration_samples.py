"""Samples of a step whose true times are known, made by arithmetic of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from placement.books import default_books
from placement.calibration.known import Known
from placement.calibration.samples import CallWork, Sample, Work
from placement.workflow import InputRef, Profile, Role, Step, Workflow

MB = 1_000_000
STEP = Step(
    "work",
    "map",
    "module:function",
    over=InputRef("upload", "r"),
    profile=Profile(
        cpu_s_per_task=1.0,
        cpu_s_per_mb=0.5,
        output_mb_per_mb=0.0,
        memory_mb=200,
        fresh_start_s=2.0,
        warm_start_s=1.0,
    ),
)
WORKFLOW = Workflow("w", (STEP,), (Role("r", ("*",)),))
PRICES, PLATFORMS = default_books()
KNOWN = Known({"w": WORKFLOW}, PRICES, PLATFORMS)
# Of a call with one task, from the book: 2 + 1 GETs of 26.9 ms, 3 + 1 PUTs of 40.4 ms.
REQUESTS_S = 3 * 0.0269 + 4 * 0.0404


@dataclass(frozen=True)
class Truth:
    """What a task really takes: on 1,769 MB of Lambda, where one vCPU is a reference core."""

    s_per_task: float = 3.0
    s_per_mb: float = 0.2
    own_start_s: float = 5.0
    init_s: float = 0.4
    request_scale: float = 2.0
    s_per_mb_moved: float = 0.05
    queue_s: float = 1.5

    def moving_s(self, mb: float) -> float:
        return self.request_scale * REQUESTS_S + self.s_per_mb_moved * mb

    def wall_s(self, mb: float, *, fresh: bool) -> float:
        start_s = self.init_s + self.own_start_s if fresh else 0.0
        return self.queue_s + start_s + self.moving_s(mb) + self.s_per_task + self.s_per_mb * mb


def sample(truth: Truth, mb: float, at: int, *, fresh: bool = False, slower: float = 1.0) -> Sample:
    """Return one run's attempt: one task of so many MB in one call, `slower` times too slow."""
    compute_s = truth.s_per_task + truth.s_per_mb * mb + (truth.own_start_s if fresh else 0.0)
    call = CallWork(
        tasks=1,
        over_bytes=round(mb * MB),
        output_bytes=0,
        output_shards=1,
        fresh=fresh,
        startup_s=truth.init_s if fresh else 0.0,
        moving_s=truth.moving_s(mb) * slower,
        compute_s=compute_s * slower,
        first_bytes=round(mb * MB),
        first_s=compute_s * slower,
    )
    work = Work(1, call.over_bytes, call.over_bytes, 0, 0, 0, 1, (call,))
    return Sample(
        run=f"run-{at:03d}",
        workflow="w",
        step="work",
        platform="lambda",
        size={"memory_mb": 1769, "batches": 1},
        wall_s=truth.wall_s(mb, fresh=fresh) * slower,
        startup_s=call.startup_s,
        ended_s=float(at),
        lambda_concurrency=10,
        work=work,
    )


def on_ray(one: Sample) -> Sample:
    """Return the same as a job of one slot on a Ray node: its process is always a fresh one."""
    call = replace(one.work.calls[0], fresh=True)
    size = {"instance_type": "c7i.large", "nodes": 1, "slots": 1, "batches": 1, "start": "warm"}
    return replace(one, platform="ray", size=size, work=replace(one.work, calls=(call,)))
