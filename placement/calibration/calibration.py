"""A calibration: the step model's figures as past runs had them, and which of them a step takes.

Figures are kept by scope, from one size of one step to all steps of a platform. A step takes those
of the narrowest scope that has enough attempts, and the book's where none has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from placement.books import BookStamp
from placement.errors import UserError

VERSION = 1
# Two attempts agree or not; one may be an accident.
LEAST_ATTEMPTS = 2
# Of different steps, one may have been first on a cold platform, and one be unlike the others.
LEAST_OF_PLATFORM = 4


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What figures hold for; "" stands for all. `size` is MB of memory or an instance type."""

    workflow: str
    step: str
    platform: str
    size: str

    def __str__(self) -> str:
        where = f"{self.platform} {self.size}".strip()
        if not self.step:
            return f"all steps on {where}"
        return f"{self.step} on {where or 'any platform'}"


@dataclass(frozen=True, slots=True)
class Computing:
    """Seconds of a task on one reference core, over shard size.

    A task that maps over x MB, whole inputs included, takes `s_per_task + s_per_mb * x`; `spread`
    is the median distance of the samples from that, as a part of it. `own_start_s` is what the
    first task of a process takes more (None: not known apart, the profile's stands). `line`: both
    coefficients were fitted; else the sizes were too much alike, and the book's were scaled.
    """

    s_per_task: float
    s_per_mb: float
    own_start_s: float | None
    spread: float
    line: bool
    smallest_mb: float
    largest_mb: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Overheads:
    """What passes besides computing.

    `queue_s` is what a step waits from being queued, `startup_s` what the platform takes before
    the step's own code begins. Moving data takes `request_scale` times what the book says of its
    requests, and `s_per_mb`.
    """

    queue_s: float
    startup_s: float
    request_scale: float
    s_per_mb: float
    attempts: int


@dataclass(frozen=True, slots=True)
class RunTimes:
    """What a run takes beside its steps: before the first, between two, and after the last."""

    start_s: float
    handover_s: float
    end_s: float
    runs: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that was fitted, when, from how much, and beside which platform book."""

    made_at: str
    runs: int
    attempts: int
    book: BookStamp
    computing: Mapping[Scope, Computing] = field(default_factory=dict)
    overheads: Mapping[Scope, Overheads] = field(default_factory=dict)
    run_times: RunTimes | None = None

    @property
    def stamp(self) -> BookStamp:
        """Return it as one of the books that an estimate rests on."""
        return BookStamp("calibration", self.made_at, self.book.region)

    def computing_of(
        self, workflow: str, step: str, platform: str, size: str
    ) -> tuple[Scope, Computing] | None:
        """Return the figures of the narrowest scope, or None: the book's stand."""
        scopes = (
            Scope(workflow, step, platform, size),
            Scope(workflow, step, platform, ""),
            Scope(workflow, step, "", ""),
        )
        return next(((s, self.computing[s]) for s in scopes if s in self.computing), None)

    def overheads_of(
        self, workflow: str, step: str, platform: str, size: str
    ) -> tuple[Scope, Overheads] | None:
        """Return the figures of the narrowest scope, or None: the book's stand."""
        scopes = (
            Scope(workflow, step, platform, size),
            Scope(workflow, step, platform, ""),
            Scope("", "", platform, ""),
        )
        return next(((s, self.overheads[s]) for s in scopes if s in self.overheads), None)

    def basis(self, workflow: str, step: str, platform: str, size: str) -> str:
        """Say in a phrase what the estimate of a step at this place rests on."""
        computing = self.computing_of(workflow, step, platform, size)
        overheads = self.overheads_of(workflow, step, platform, size)
        if computing is None and overheads is None:
            return f"the book: fewer than {LEAST_ATTEMPTS} attempts"
        if _source(computing) == _source(overheads):
            return _source(computing)
        return (
            f"computing from {_source(computing)}, waiting, start-up and transfer from "
            f"{_source(overheads)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "version": VERSION,
            "made_at": self.made_at,
            "runs": self.runs,
            "attempts": self.attempts,
            "book": asdict(self.book),
            "computing": _rows(self.computing),
            "overheads": _rows(self.overheads),
            "run_times": None if self.run_times is None else asdict(self.run_times),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            UserError: it was written by another version of Trivium.

        """
        if data.get("version") != VERSION:
            raise UserError(
                f"The calibration has version {data.get('version')}; this Trivium reads version "
                f"{VERSION}. Make a new one with `trivium calibrate`."
            )
        times = data["run_times"]
        return cls(
            data["made_at"],
            data["runs"],
            data["attempts"],
            BookStamp(**data["book"]),
            {Scope(**row["scope"]): Computing(**row["figures"]) for row in data["computing"]},
            {Scope(**row["scope"]): Overheads(**row["figures"]) for row in data["overheads"]},
            None if times is None else RunTimes(**times),
        )


def _source(found: tuple[Scope, Computing | Overheads] | None) -> str:
    return "the book" if found is None else f"{found[1].attempts} attempts ({found[0]})"


def _rows(figures: Mapping[Scope, Any]) -> list[dict[str, Any]]:
    return [
        {"scope": asdict(scope), "figures": asdict(figures[scope])} for scope in sorted(figures)
    ]
