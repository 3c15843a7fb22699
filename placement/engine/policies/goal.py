"""What a plan is to reach: the objective, and the limits that it must keep."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from placement.engine.timetable import Timetable
from placement.workflow import Objective

# By how much the account's rounding may lift the exact cost above the fast one.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Goal:
    """Least cost or least time, for a makespan and a cost of at most so much; None: no limit."""

    objective: Objective
    deadline_ms: int | None = None
    budget_usd: Decimal | None = None

    def kept_by(self, makespan_ms: int, usd: float) -> bool:
        """Whether the limits are kept."""
        return self._late_ms(makespan_ms) == 0 and self._over_usd(usd) == 0

    def key(self, makespan_ms: int, usd: float) -> tuple[float, ...]:
        """Return what to sort by, best first: kept limits, then the objective.

        Among those that break a limit the one that breaks it least comes first, a deadline before
        a budget.
        """
        wanted = (usd, makespan_ms) if self.objective == "cost" else (makespan_ms, usd)
        return (self._late_ms(makespan_ms), self._over_usd(usd), *wanted)

    def judged(self, policy: str, nearest: Timetable, usd: float) -> Timetable | Infeasible:
        """Return the best timetable of a policy, or which limit it breaks, and by how much."""
        if self.kept_by(nearest.makespan_ms, usd):
            return nearest
        if self.deadline_ms is not None and self._late_ms(nearest.makespan_ms):
            return Infeasible(
                f"{policy} takes {nearest.makespan_ms / 1000:.3f} s at the least, and the "
                f"deadline is {self.deadline_ms / 1000:g} s",
                nearest,
            )
        within = "" if self.deadline_ms is None else " to keep the deadline"
        return Infeasible(
            f"{policy} costs ${usd:.6f} at the least{within}, and the budget is ${self.budget_usd}",
            nearest,
        )

    def _late_ms(self, makespan_ms: int) -> int:
        return 0 if self.deadline_ms is None else max(0, makespan_ms - self.deadline_ms)

    def _over_usd(self, usd: float) -> float:
        if self.budget_usd is None:
            return 0
        return max(0.0, usd * (1 + _ROUNDING) - float(self.budget_usd))


@dataclass(frozen=True, slots=True)
class Infeasible:
    """There is no plan: why, as a clause, and the nearest there is (None: not any)."""

    reason: str
    nearest: Timetable | None = None
