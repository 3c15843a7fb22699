"""What one attempt at one part of a step had to do, and what it took: the samples of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any, Self

from placement.load import BYTES_PER_MB, Load, Needs
from placement.workflow import Platform

# Of more calls those are kept that stand evenly among all by what they mapped over.
MOST_CALLS = 16


@dataclass(frozen=True, slots=True)
class CallWork:
    """What one call did, whole inputs apart. Seconds are its own, on one worker.

    `fresh`: its process had not run the step's code before, so that its first task also paid for
    imports. `moving_s` is all of its life that was not computing.
    """

    tasks: int
    over_bytes: int
    output_bytes: int
    output_shards: int
    fresh: bool
    startup_s: float
    moving_s: float
    compute_s: float
    first_bytes: int
    first_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """What the tasks of an attempt at a part had to do in all, and its calls (`MOST_CALLS`)."""

    tasks: int
    over_bytes: int
    largest_bytes: int
    whole_bytes: int
    whole_files: int
    output_bytes: int
    output_shards: int
    calls: tuple[CallWork, ...]

    def load(self, needs: Needs) -> Load:
        """Return it as the model's load."""
        return Load(
            tasks=self.tasks,
            over_mb=self.over_bytes / BYTES_PER_MB,
            largest_mb=self.largest_bytes / BYTES_PER_MB,
            whole_mb=self.whole_bytes / BYTES_PER_MB,
            whole_files=self.whole_files,
            output_mb=self.output_bytes / BYTES_PER_MB,
            output_shards=self.output_shards,
            needs=needs,
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; a call is a list, in the order of its fields."""
        return {
            "tasks": self.tasks,
            "over_bytes": self.over_bytes,
            "largest_bytes": self.largest_bytes,
            "whole_bytes": self.whole_bytes,
            "whole_files": self.whole_files,
            "output_bytes": self.output_bytes,
            "output_shards": self.output_shards,
            "calls": [list(astuple(call)) for call in self.calls],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**(dict(data) | {"calls": tuple(CallWork(*call) for call in data["calls"])}))

    def thinned(self) -> Self:
        """Return it with at most `MOST_CALLS` calls, the least and the largest among them."""
        if len(self.calls) <= MOST_CALLS:
            return self
        ranked = sorted(self.calls, key=_by_size)
        last = len(ranked) - 1
        kept = [ranked[round(i * last / (MOST_CALLS - 1))] for i in range(MOST_CALLS)]
        return replace(self, calls=tuple(kept))


def _by_size(call: CallWork) -> tuple[int, tuple[Any, ...]]:
    """Return the order of calls: by what they mapped over, ties by all else."""
    return call.over_bytes, astuple(call)


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt at one part of a step that succeeded.

    `size` is what was asked for; `lambda_concurrency` how many environments its deployment had
    (None: not known, and the book's figure is taken); `ended_s` orders samples. `probe`: it was one
    of many places tried at once, so that what it waited says nothing of a run.
    """

    run: str
    workflow: str
    step: str
    platform: Platform
    size: Mapping[str, Any]
    wall_s: float
    startup_s: float
    ended_s: float
    lambda_concurrency: int | None
    work: Work
    probe: bool = False


@dataclass(frozen=True, slots=True)
class RunSample:
    """What one run that succeeded took beside its steps.

    `handovers_s` holds, for each step with predecessors, the seconds from their last end to its
    queueing.
    """

    run: str
    ended_s: float
    start_s: float
    handovers_s: tuple[float, ...]
    end_s: float
