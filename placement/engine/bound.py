"""Lower bounds: what every schedule of a graph costs, and how long it takes, at the least.

The relaxation prices core time. Let p(t) be a price of a core's time at every moment t, such that
no lease of any node earns more than it costs, even if all its cores were busy from its first moment
to its last. Every task then pays at least what it would where and when that is cheapest for it: on
Lambda, or on a node within the window that the critical path method leaves it. In any schedule,
what its tasks on a node pay is no more than what the node costs; so no schedule costs less than
what all tasks pay at the least together. `docs/lower-bound.md` says it with all terms.

Good prices come from a linear program over classes of tasks (`bounding.master`); whether no lease
earns more than it costs, and what every single task pays, is then worked out exactly
(`bounding.leases`, `bounding.prices`). So a bound does not rely on the solver, and its rounding
errors cost tightness only.

Complexity: of the program, independent of the number of tasks; besides O(t k) for t tasks and k
buckets of time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import ROUND_FLOOR, Decimal

from placement.books import PlatformBook, PriceBook
from placement.engine.bounding.arrays import NEVER
from placement.engine.bounding.facts import NodeKind, facts_of
from placement.engine.bounding.scenario import Effort, Scenario
from placement.engine.bounding.windows import windows_of
from placement.engine.taskgraph import TaskGraph

_USD_STEP = Decimal("1e-9")
# Floats, and amounts of an account that are rounded to 12 decimals: a few per task.
_RELATIVE_ERROR = 1e-8
_USD_ERROR_PER_TASK = 1e-11


# A bound on time is searched for to this part of it.
_TIME_STEP = 0.01
# A run that may take so many times the critical path costs as little as it ever will.
_LONGEST = 1 << 16
# Every step of that search takes away this part of what is left, at the least.
_LEAST_SHARE = 0.05

# Tasks of a graph that is not large.
_LARGE = 20_000

FINE = Effort(buckets=48, classes=80, pairs=12, rounds=6, near=2e-3, whole_cores=True)
COARSE = Effort(buckets=24, classes=40, pairs=0, rounds=4, near=5e-3, whole_cores=False)


def cost_bound(
    graph: TaskGraph, prices: PriceBook, platforms: PlatformBook, makespan_ms: int
) -> Decimal:
    """Return what every schedule that takes `makespan_ms` at the most costs at the least, in USD.

    Raises UnreachableError where there is no such schedule, because the critical path is longer.
    """
    return CostBound(graph, prices, platforms).cost(makespan_ms)


def time_bound(graph: TaskGraph, prices: PriceBook, platforms: PlatformBook, cost: Decimal) -> int:
    """Return what every schedule that costs `cost` (USD) at the most takes at the least, in ms.

    Raises UnreachableError where every schedule costs more, however long it may take.
    """
    return CostBound(graph, prices, platforms).time(cost)


class UnreachableError(ValueError):
    """No schedule is so fast, or so cheap."""


class CostBound:
    """The bounds of one graph; what both kinds share is worked out once."""

    def __init__(self, graph: TaskGraph, prices: PriceBook, platforms: PlatformBook) -> None:
        self._facts = facts_of(graph, prices, platforms)
        windows = windows_of(self._facts, self._facts.kinds, NEVER)
        self._fastest_ms: int | None = None
        if windows is not None:
            self._fastest_ms = int(windows.ends_ms.max()) + self._facts.run_end_ms

    @property
    def least_makespan_ms(self) -> int:
        """The length of the critical path, in ms: no schedule is faster, whatever it costs.

        Raises UnreachableError where there is no schedule at all, because a task fits nowhere.
        """
        if self._fastest_ms is None:
            raise UnreachableError(
                "there is no schedule: a task fits on no platform that it may run on"
            )
        return self._fastest_ms

    def cost(self, makespan_ms: int, effort: Effort | None = None) -> Decimal:
        """Return what every schedule that takes `makespan_ms` at the most costs at the least (USD).

        The effort is FINE where none is given, and COARSE for large graphs: of so many tasks, finer
        classes tell no more, as far as was seen.

        Raises UnreachableError where the critical path is longer than that.
        """
        if effort is None:
            effort = FINE if self._facts.tasks <= _LARGE else COARSE
        usd = self._bound_usd(makespan_ms, effort)
        if math.isinf(usd):
            raise UnreachableError(
                f"no schedule takes {makespan_ms} ms: the critical path takes "
                f"{self.least_makespan_ms} ms"
            )
        return max(Decimal(0), Decimal(usd).quantize(_USD_STEP, rounding=ROUND_FLOOR))

    def time(self, cost: Decimal, known_ms: int | None = None, effort: Effort = COARSE) -> int:
        """Return what every schedule that costs `cost` (USD) at the most takes at the least, in ms.

        It is one more than some makespan whose cost bound is above `cost`: no makespan up to that
        is to be had for `cost`. It is searched for until there is one within 1 % that is not
        above. `known_ms`: the makespan of a schedule that costs no more, where one is known; the
        search is shorter then.

        Raises UnreachableError where there is no such schedule, however long it may take.
        """
        search = _Search(cost, self.least_makespan_ms, lambda ms: self._bound_usd(ms, effort))
        if not search.bracket(known_ms):
            raise UnreachableError(f"no schedule costs {cost} USD: every one costs more")
        return search.least_ms()

    # one makespan

    def _bound_usd(self, makespan_ms: int, effort: Effort) -> float:
        """Return the cost bound, rounded towards the safe side; infinity: no schedule."""
        if makespan_ms < self.least_makespan_ms:
            return math.inf
        usd = self._usd(makespan_ms, effort) + self._facts.constant_usd
        return usd - abs(usd) * _RELATIVE_ERROR - self._facts.tasks * _USD_ERROR_PER_TASK

    def _usd(self, makespan_ms: int, effort: Effort) -> float:
        """Return the lesser of the bounds without and with an MPI cluster, constants left out.

        Infinity: no schedule is so fast.
        """
        last_ms = makespan_ms - self._facts.run_end_ms
        kinds = [kind for kind in self._facts.kinds if self._reachable(kind, last_ms)]
        ray = self._scenario([k for k in kinds if k.platform == "ray"], last_ms, effort)
        without = None if ray is None else ray.best()
        hpc = None
        if any(kind.platform == "hpc" for kind in kinds):
            hpc = self._scenario(kinds, last_ms, effort)
        if hpc is None:
            return math.inf if without is None else without.usd
        # The cluster is there for the whole run, which is never shorter than the critical path.
        cluster_usd = self._facts.hpc_usd_per_ms * self.least_makespan_ms
        if ray is None or without is None:
            return hpc.best().usd + cluster_usd
        quick = hpc.at_prices_of(ray, without.prices).usd + cluster_usd
        if quick >= without.usd:
            return without.usd
        return min(without.usd, max(quick, hpc.best().usd + cluster_usd))

    def _reachable(self, kind: NodeKind, last_ms: int) -> bool:
        """Whether any task could end in time on a node of a kind."""
        ends = self._facts.run_start_ms + kind.boot_ms + kind.age_ms + kind.main_ms
        return bool((kind.fits & (ends <= last_ms)).any())

    def _scenario(self, kinds: Sequence[NodeKind], last_ms: int, effort: Effort) -> Scenario | None:
        windows = windows_of(self._facts, kinds, last_ms)
        return None if windows is None else Scenario(self._facts, effort, kinds, windows, last_ms)


class _Search:
    """The search for the makespan at which a bound on cost falls to a given cost (regula falsi).

    `above` and `enough` are makespans between which it lies, each with how far the bound is above
    the cost there (USD): for the first it is, for the second it is not. Where one end stays twice
    in a row it counts half, or it would stay for long (the Illinois method,
    doi:10.1007/BF01934364).
    """

    def __init__(self, cost: Decimal, least_ms: int, bound: Callable[[int], float]) -> None:
        self._cost, self._bound = float(cost), bound
        # No schedule is faster than the critical path: what it would cost is above every cost.
        self._above, self._above_usd = least_ms - 1, math.inf
        self._enough, self._enough_usd = least_ms, math.inf
        self._was_enough: bool | None = None

    def bracket(self, known_ms: int | None) -> bool:
        """Find both makespans; return whether there are any."""
        shortest = self._enough
        if self._try(shortest):
            return True
        self._enough = 2 * shortest if known_ms is None else max(shortest + 1, known_ms)
        while not self._try(self._enough):
            self._enough *= 2
            if self._enough > _LONGEST * shortest:
                return False
        return True

    def least_ms(self) -> int:
        """Narrow the gap; return the least makespan that is not excluded."""
        while self._enough - self._above > max(1, _TIME_STEP * self._enough):
            span = self._enough - self._above
            part = 0.5
            if math.isfinite(self._above_usd):
                part = self._above_usd / max(1e-12, self._above_usd - self._enough_usd)
            part = min(1 - _LEAST_SHARE, max(_LEAST_SHARE, part))
            self._try(self._above + min(span - 1, max(1, round(span * part))))
        return self._above + 1

    def _try(self, makespan_ms: int) -> bool:
        over = self._bound(makespan_ms) - self._cost
        is_enough = over <= 0
        stays = 0.5 if is_enough == self._was_enough else 1.0
        self._was_enough = is_enough
        if is_enough:
            self._enough, self._enough_usd = makespan_ms, over
            self._above_usd *= stays
        else:
            self._above, self._above_usd = makespan_ms, over
            self._enough_usd *= stays
        return is_enough
