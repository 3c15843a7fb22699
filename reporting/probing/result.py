"""What a probe has found out: every shard on every place, beside the run's whole account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from placement.account import decimal_text
from reporting.report import Attempt, Report, Step
from reporting.text import plain, size_text


@dataclass(frozen=True)
class MeasuredShard:
    """One shard on one place: what it read and wrote (whole inputs included), and its seconds.

    `startup_s` is that of the call alone; what a cluster's job took to start is the attempt's.
    """

    input_bytes: int
    output_bytes: int
    startup_s: float
    transfer_s: float
    compute_s: float


@dataclass(frozen=True)
class ProbedPlace:
    """One step's shards on one place, as one attempt has measured them."""

    step: str
    attempt: Attempt
    shards: tuple[MeasuredShard, ...]

    @property
    def name(self) -> str:
        """Return the place in words, without what follows from the number of shards."""
        return place_text(self.attempt)


@dataclass(frozen=True)
class ProbeResult:
    """A probe that has ended. The items of `report` add up to what it cost.

    `whole` says by step how many times what was probed there is in all.
    """

    report: Report
    budget_usd: Decimal
    shards: int
    places: tuple[ProbedPlace, ...]
    whole: dict[str, float]

    def places_of(self, step: Step) -> list[ProbedPlace]:
        """Return the places of one step, in the order of the plan."""
        return [place for place in self.places if place.step == step.step]


def place_text(attempt: Attempt) -> str:
    """Return `lambda 1024 MB` or `ray c7i.large`; of several nodes, `ray 2 x c7i.large`."""
    one_node = attempt.size.get("nodes") == 1
    names = ("memory_mb", "instance_type") if one_node else ("memory_mb", "nodes", "instance_type")
    kept = {name: attempt.size[name] for name in names if name in attempt.size}
    return plain(f"{attempt.platform} {size_text(kept)}")


def whole_compute_s(result: ProbeResult) -> list[tuple[str, float]]:
    """Return by place what computing all of the input would take there, one task after another.

    Only places that have done every shard of every step that was on several places, whichever
    attempt did it; in the order of the first step.
    """
    done: dict[str, dict[str, list[MeasuredShard]]] = {}
    for place in result.places:
        done.setdefault(place.name, {}).setdefault(place.step, []).extend(place.shards)
    steps = [step.step for step in result.report.steps if len(step.parts) > 1]
    most = {step: max((len(by.get(step, ())) for by in done.values()), default=0) for step in steps}
    return [
        (name, sum(_compute_s(by_step[step]) * result.whole[step] for step in steps))
        for name, by_step in done.items()
        if steps and all(0 < most[step] == len(by_step.get(step, ())) for step in steps)
    ]


def _compute_s(shards: Sequence[MeasuredShard]) -> float:
    return sum(shard.compute_s for shard in shards)


def spent_text(usd: Decimal, budget_usd: Decimal) -> str:
    """Return how what was spent stands to the budget: `12 % of its budget of $0.10`."""
    return f"{usd / budget_usd:.0%} of its budget of ${decimal_text(budget_usd)}".replace("%", " %")


def of_shards(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the least and the most of the seconds of some shards."""
    return min(seconds, default=0.0), max(seconds, default=0.0)
