"""What is different between two outcomes, in parts that add up to the whole exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from reporting.comparing.outcome import (
    Kind,
    Line,
    Outcome,
    StepName,
    StepOutcome,
    usd_by_step,
    with_idle_in_computing,
)


@dataclass(frozen=True, slots=True)
class KindDifference:
    """What one kind of cost, paid to one service, comes to on both sides (USD)."""

    kind: Kind
    service: str
    base_usd: Decimal
    other_usd: Decimal

    @property
    def usd(self) -> Decimal:
        """By how much the other side pays more."""
        return self.other_usd - self.base_usd


@dataclass(frozen=True, slots=True)
class StepDifference:
    """One step on both sides; None where it is not there. `step` None: what belongs to none."""

    step: StepName
    base: StepOutcome | None
    other: StepOutcome | None
    base_usd: Decimal
    other_usd: Decimal

    @property
    def usd(self) -> Decimal:
        """By how much the other side pays more."""
        return self.other_usd - self.base_usd

    @property
    def moved(self) -> bool:
        """Whether other numbers of its tasks are on each platform."""
        return self._counts(lambda place: place[0])

    @property
    def resized(self) -> bool:
        """Whether it is on the same platforms, and on other sizes of them."""
        return not self.moved and self._counts(lambda place: place)

    def _counts(self, key: Callable[[tuple[str, str]], Hashable]) -> bool:
        if self.base is None or self.other is None:
            return False
        one, other = (_tasks_by(step, key) for step in (self.base, self.other))
        return one != other


@dataclass(frozen=True, slots=True)
class Difference:
    """How `other` stands to `base`; amounts are other's less base's.

    Where one of both does not tell idle time apart, it counts as computing on both sides.
    """

    base: Outcome
    other: Outcome
    kinds: tuple[KindDifference, ...]
    steps: tuple[StepDifference, ...]

    @property
    def usd(self) -> Decimal:
        """By how much the other one is dearer; the exact sum of the kinds, and of the steps."""
        return self.other.usd - self.base.usd

    @property
    def tells_idle(self) -> bool:
        """Whether idle time is told apart."""
        return self.base.tells_idle and self.other.tells_idle

    @property
    def main(self) -> KindDifference | None:
        """The kind that does most for the difference; None where there is no difference."""
        whole = self.usd
        same_way = [part for part in self.kinds if part.usd * whole > 0]
        return max(same_way, key=lambda part: abs(part.usd), default=None)


def difference(base: Outcome, other: Outcome) -> Difference:
    """Compare two outcomes by kind of cost and by step."""
    return Difference(base, other, _kinds(base, other), _steps(base, other))


def side_by_side(found: Sequence[Difference]) -> list[tuple[StepDifference, ...]]:
    """Return each step of any of the outcomes once, with its differences to one and the same base.

    What belongs to no step comes last.
    """
    by_name = [{step.step: step for step in each.steps} for each in found]
    names = dict.fromkeys(step.step for each in found for step in each.steps if step.step)
    nowhere = StepDifference("", None, None, Decimal(0), Decimal(0))
    return [
        tuple(steps.get(name, replace(nowhere, step=name)) for steps in by_name)
        for name in (*names, None)
    ]


def _kinds(base: Outcome, other: Outcome) -> tuple[KindDifference, ...]:
    both: tuple[Iterable[Line], ...] = (base.lines, other.lines)
    if not (base.tells_idle and other.tells_idle):
        both = tuple(with_idle_in_computing(lines) for lines in both)
    mine, theirs = (_by_kind(lines) for lines in both)
    found = [
        KindDifference(*key, mine.get(key, Decimal(0)), theirs.get(key, Decimal(0)))
        for key in dict.fromkeys((*mine, *theirs))
    ]
    return tuple(sorted(found, key=lambda part: (-abs(part.usd), part.kind, part.service)))


def _steps(base: Outcome, other: Outcome) -> tuple[StepDifference, ...]:
    mine, theirs = usd_by_step(base), usd_by_step(other)
    before, after = ({step.step: step for step in each.steps} for each in (base, other))
    names: list[StepName] = [step.step for step in (*base.steps, *other.steps)]
    names += [name for name in (*mine, *theirs) if name is not None]
    return tuple(
        StepDifference(
            name,
            None if name is None else before.get(name),
            None if name is None else after.get(name),
            mine.get(name, Decimal(0)),
            theirs.get(name, Decimal(0)),
        )
        for name in (*dict.fromkeys(names), None)
    )


def _by_kind(lines: Iterable[Line]) -> dict[tuple[Kind, str], Decimal]:
    found: dict[tuple[Kind, str], Decimal] = {}
    for line in lines:
        key = (line.kind, line.service)
        found[key] = found.get(key, Decimal(0)) + line.usd
    return found


def _tasks_by(step: StepOutcome, key: Callable[[tuple[str, str]], Hashable]) -> Counter[Hashable]:
    counts: Counter[Hashable] = Counter()
    for place in step.places:
        counts[key((place.platform, place.size))] += place.tasks
    return counts
