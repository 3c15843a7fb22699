"""A plan: where every step runs, what it will take and cost, and why not elsewhere.

Plain values that turn into JSON and back without loss; money and quantities are decimal strings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from placement.account import Item, decimal_text, total
from placement.books import BookStamp
from placement.cluster_cost import SharedCost
from placement.workflow import Kind, Objective, Platform

type Size = Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Part:
    """A share (0 to 1) of a step's tasks on one platform.

    `size` on lambda: memory_mb, batches. On ray and hpc: instance_type, nodes, slots (worker
    processes or ranks in all), start ("warm": nodes that are up, "launch": new ones).
    """

    platform: Platform
    size: Size
    share: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"platform": self.platform, "size": dict(self.size), "share": self.share}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(data["platform"], dict(data["size"]), data["share"])


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds from a step's last input to its end, their four kinds, and the items of its cost."""

    queue_s: float
    startup_s: float
    transfer_s: float
    compute_s: float
    items: tuple[Item, ...]

    @property
    def seconds(self) -> float:
        """The whole time: the sum of the four kinds, to the millisecond."""
        return round(self.queue_s + self.startup_s + self.transfer_s + self.compute_s, 3)

    @property
    def usd(self) -> Decimal:
        """The exact sum of the items."""
        return total(self.items)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "seconds": self.seconds,
            "usd": decimal_text(self.usd),
            "queue_s": self.queue_s,
            "startup_s": self.startup_s,
            "transfer_s": self.transfer_s,
            "compute_s": self.compute_s,
            "items": [item.to_json() for item in self.items],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            data["queue_s"],
            data["startup_s"],
            data["transfer_s"],
            data["compute_s"],
            tuple(Item.from_json(item) for item in data["items"]),
        )


@dataclass(frozen=True, slots=True)
class BookEstimate:
    """What an estimate would be without a calibration."""

    seconds: float
    usd: Decimal

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"seconds": self.seconds, "usd": decimal_text(self.usd)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(data["seconds"], Decimal(data["usd"]))


@dataclass(frozen=True, slots=True)
class Rejected:
    """The best size of a platform that was not chosen, and why; no figures: not possible there."""

    platform: Platform
    size: Size
    seconds: float | None
    usd: Decimal | None
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "platform": self.platform,
            "size": dict(self.size),
            "seconds": self.seconds,
            "usd": None if self.usd is None else decimal_text(self.usd),
            "why": self.why,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        usd = None if data["usd"] is None else Decimal(data["usd"])
        return cls(data["platform"], dict(data["size"]), data["seconds"], usd, data["why"])


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step's placement; `start_s` and `end_s` count from the upload.

    `fallbacks` are the placements to try in turn if this one fails; `assumed` names the profile
    figures that the platform book supplied. With a calibration, `calibrated` says what the estimate
    rests on, and `by_book` what it would be by the books alone.
    """

    step: str
    kind: Kind
    parts: tuple[Part, ...]
    tasks_estimate: int
    estimate: Estimate
    start_s: float
    end_s: float
    rejected: tuple[Rejected, ...]
    fallbacks: tuple[Part, ...]
    assumed: tuple[str, ...]
    calibrated: str = ""
    by_book: BookEstimate | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "step": self.step,
            "kind": self.kind,
            "parts": [part.to_json() for part in self.parts],
            "tasks_estimate": self.tasks_estimate,
            "estimate": self.estimate.to_json(),
            "start_s": self.start_s,
            "end_s": self.end_s,
            "rejected": [each.to_json() for each in self.rejected],
            "fallbacks": [part.to_json() for part in self.fallbacks],
            "assumed": list(self.assumed),
            "calibrated": self.calibrated,
            "by_book": self.by_book and self.by_book.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            data["step"],
            data["kind"],
            tuple(Part.from_json(part) for part in data["parts"]),
            data["tasks_estimate"],
            Estimate.from_json(data["estimate"]),
            data["start_s"],
            data["end_s"],
            tuple(Rejected.from_json(each) for each in data["rejected"]),
            tuple(Part.from_json(part) for part in data["fallbacks"]),
            tuple(data["assumed"]),
            data.get("calibrated", ""),
            BookEstimate.from_json(data["by_book"]) if data.get("by_book") else None,
        )


@dataclass(frozen=True, slots=True)
class Alternative:
    """The same run under another policy: its estimate, or why there is none.

    `up_anyway_usd` is the part of `usd` that warm nodes and heads cost beside the steps.
    """

    policy: str
    seconds: float | None
    usd: Decimal | None
    why_not: str | None
    up_anyway_usd: Decimal = Decimal(0)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: policy, seconds, usd and up_anyway_usd; or policy and why_not."""
        if self.usd is None:
            return {"policy": self.policy, "why_not": self.why_not}
        return {
            "policy": self.policy,
            "seconds": self.seconds,
            "usd": decimal_text(self.usd),
            "up_anyway_usd": decimal_text(self.up_anyway_usd),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        usd = Decimal(data["usd"]) if "usd" in data else None
        up_anyway_usd = Decimal(data["up_anyway_usd"]) if "usd" in data else Decimal(0)
        return cls(data["policy"], data.get("seconds"), usd, data.get("why_not"), up_anyway_usd)


@dataclass(frozen=True, slots=True)
class Plan:
    """The placements of all steps, in topological order, and what clusters cost beside them.

    `seconds` runs from the upload to the report. `proven` says whether no better plan exists
    under the model; False: the search ended at its budget. `by_book` is what the same placements
    would be estimated at without a calibration, where one was used.
    """

    workflow: str
    policy: str
    objective: Objective
    deadline_s: float | None
    seconds: float
    steps: tuple[StepPlan, ...]
    shared_items: tuple[SharedCost, ...]
    other_items: tuple[Item, ...]
    alternatives: tuple[Alternative, ...]
    books: tuple[BookStamp, ...]
    proven: bool
    by_book: BookEstimate | None = None

    @property
    def usd(self) -> Decimal:
        """The exact sum of all items."""
        beside = total(line.item for line in self.shared_items) + total(self.other_items)
        return sum((step.estimate.usd for step in self.steps), beside)

    def step(self, name: str) -> StepPlan:
        """Return one step's placement; KeyError where the plan has no such step."""
        for step in self.steps:
            if step.step == name:
                return step
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; equal plans give equal values."""
        return {
            "workflow": self.workflow,
            "policy": self.policy,
            "objective": self.objective,
            "deadline_s": self.deadline_s,
            "estimate": {"seconds": self.seconds, "usd": decimal_text(self.usd)},
            "steps": [step.to_json() for step in self.steps],
            "shared_items": [line.to_json() for line in self.shared_items],
            "other_items": [item.to_json() for item in self.other_items],
            "alternatives": [each.to_json() for each in self.alternatives],
            "books": [
                {"name": book.name, "date": book.date, "region": book.region} for book in self.books
            ],
            "proven": self.proven,
            "by_book": self.by_book and self.by_book.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            data["workflow"],
            data["policy"],
            data["objective"],
            data["deadline_s"],
            data["estimate"]["seconds"],
            tuple(StepPlan.from_json(step) for step in data["steps"]),
            tuple(SharedCost.from_json(line) for line in data["shared_items"]),
            tuple(Item.from_json(item) for item in data["other_items"]),
            tuple(Alternative.from_json(each) for each in data["alternatives"]),
            tuple(BookStamp(**book) for book in data["books"]),
            data["proven"],
            BookEstimate.from_json(data["by_book"]) if data.get("by_book") else None,
        )
