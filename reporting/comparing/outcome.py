"""What a run, a plan or a policy comes to, in one form whatever it was read from.

An outcome is "measured" (a run that took place), an "estimate" (a plan) or a "what-if" (a run that
took place, placed otherwise with its measured task times), and says so. Its cost is a list of
lines, each of one step (or of none) and of one kind; their sum is its cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from reporting.comparing.activity import Activity

type Basis = Literal["measured", "estimate", "what-if"]
type Kind = Literal[
    "compute", "idle", "startup", "transfer", "requests", "storage", "orchestration", "other"
]
type StepName = str | None  # None: what belongs to no step

KINDS: dict[Kind, str] = {
    "compute": "computing",
    "idle": "idle",
    "startup": "start-up",
    "transfer": "transfer",
    "requests": "requests",
    "storage": "storage",
    "orchestration": "orchestration",
    "other": "other",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the account: `quantity` (of `unit`) at `unit_usd` each makes `usd`.

    `usd` is the exact amount; the product may differ from it by what was rounded on the way, a
    nano-dollar for each thousand amounts that it is the sum of. `step` is None for what belongs
    to no step. `service` is who is paid: "EC2", "Lambda", "S3".
    """

    step: StepName
    kind: Kind
    service: str
    what: str
    quantity: Decimal
    unit: str
    unit_usd: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Place:
    """So many tasks of a step on one platform and size."""

    platform: str
    size: str
    tasks: int


@dataclass(frozen=True, slots=True)
class Alternative:
    """A placement that a step could have had; None where not all its tasks fit there.

    `time_s` and `usd` are estimates. `why` says why it was not chosen, or what is to be said of
    one that was.
    """

    place: str
    time_s: float | None
    usd: Decimal | None
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """One step: where its tasks are, the largest part first, and the seconds it takes.

    `elapsed_s` is from its start (of a run: from when it was queued) to its end. `estimate` is
    what was expected of a step that was measured.
    """

    step: str
    tasks: int
    places: tuple[Place, ...]
    elapsed_s: float
    estimate: Expected | None = None
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What was estimated before something was measured."""

    seconds: float
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Bound:
    """What no placement can go below: the cost at this makespan, the makespan at this cost."""

    usd: Decimal
    seconds: float


@dataclass(frozen=True, slots=True)
class Book:
    """A dated book that figures come from; a region where prices depend on one."""

    name: str
    date: str
    region: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run, plan or policy comes to.

    `tells_idle` is whether idle time has lines of its own: where it has none, it is contained in
    computing. `note` says whose seconds were measured, and is empty for an estimate. `goal` is
    what the plan was made for, in words.
    """

    name: str
    basis: Basis
    workflow: str
    policy: str
    goal: str
    makespan_s: float
    lines: tuple[Line, ...]
    steps: tuple[StepOutcome, ...]
    tells_idle: bool
    books: tuple[Book, ...]
    assumptions: tuple[str, ...] = ()
    note: str = ""
    estimate: Expected | None = None
    bound: Bound | None = None
    activity: Activity | None = None

    @property
    def usd(self) -> Decimal:
        """The exact sum of all lines."""
        return total(self.lines)


def total(lines: Iterable[Line]) -> Decimal:
    """Return the exact sum of the lines' `usd`."""
    return sum((line.usd for line in lines), Decimal(0))


def usd_by_step(outcome: Outcome) -> dict[StepName, Decimal]:
    """Return the exact cost of each step that has any, and, under None, of what is of no step."""
    found: dict[StepName, Decimal] = {}
    for line in outcome.lines:
        found[line.step] = found.get(line.step, Decimal(0)) + line.usd
    return found


def with_idle_in_computing(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines as one who does not tell idle time apart would have them."""
    for line in lines:
        yield replace(line, kind="compute") if line.kind == "idle" else line
