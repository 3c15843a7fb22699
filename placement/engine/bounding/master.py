"""The linear program that proposes prices: the cheapest placement of classes, in fractions.

Variables, per kind of nodes and family, all in worth (USD per ms at a price of 1) and per bucket k:

- y_k, nodes that are ready; u_k, what of them becomes ready at the bucket's beginning;
- z_k, nodes that have been ready for longer than a fetch takes, which is a buckets and a part f of
  one; v_k, what of them becomes ready at the bucket's beginning, and stays until it counts in z;
  l_k, what becomes ready just so early that it counts in z from the bucket's beginning;
- x, the share of a class that begins at some moment at some place; of all the possible columns,
  those are generated whose price is right (column generation);
- w_k per pair of groups, tasks of the later group that could start and do not yet.

    minimise    sum of width_k (y_k + z_k) / yields + (boot / yields - reward) u_k
                + (boot / yields + (width_k + ... + width_(k+a)) / yields - reward) v_k
                + (boot / yields + (a + f) width / yields - reward) l_k
                + cost of x on Lambda
    subject to  y_k - y_(k-1) <= u_k,  z_k - z_(k-1) <= v_(k-a-1) + l_k
                y_k <= u_k + ... + u_(k-longest)   where leases of a family are limited,
                                                   and z_k likewise
                core time used in k <= width_k (y_k + z_k + v_k + ... + v_(k-a)
                                                + l_(k+1) + ... + l_(k+a) + f l_(k+a+1))
                of it, by tasks that bring much <= width_k (z_k + (1 - f) v_(k-a))
                started by k (averaged over it) + w_k <= ended by k, in weights of a pair
                the shares of every class add up to 1
                cores launched >= n, or <= n       where asked for

The prices are the dual values of the rows of core time, of the pairs and of the last row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from placement.engine.bounding.arrays import Bools, Floats, Ints
from placement.engine.bounding.classes import Classes, LambdaPlan, NodePlan
from placement.engine.bounding.leases import Family, Grid, Supply
from placement.engine.bounding.prices import PriceList

# Of a class's starts the cheapest is taken, and the cheapest that lies so many buckets off.
_APART = 3
_FIRST_STARTS = 6
# A core that a demand forbids, or lacks, costs as much as the launch of so many.
_BEYOND = 20
# Where tasks take no time at all, money is counted in this.
_LEAST_USD = 1e-12


@dataclass(frozen=True, slots=True)
class CoreCount:
    """A demand that at least, or at most, so many cores are launched in all."""

    sense: Literal["at least", "at most"]
    cores: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the program found: prices, the reward for a launched core (USD), its optimum (USD).

    `class_usd` is what each class pays there, `cores` how many are launched.
    """

    prices: PriceList
    reward_usd: float
    optimum_usd: float
    class_usd: Floats
    cores: float


class NotSolvedError(RuntimeError):
    """The solver gave up; a bound can do without it."""


class _Rows:
    """Collects a sparse matrix."""

    def __init__(self) -> None:
        self._rows: list[Ints] = []
        self._columns: list[Ints] = []
        self._values: list[Floats] = []

    def add(self, rows: Ints, columns: Ints, values: Floats | float) -> None:
        self._rows.append(rows)
        self._columns.append(columns)
        self._values.append(np.broadcast_to(np.asarray(values, dtype=np.float64), rows.shape))

    def parts(self, shift: int = 0) -> tuple[Ints, Ints, Floats]:
        """Return rows, columns (moved by `shift`) and values of all entries."""
        if not self._rows:
            none = np.zeros(0, dtype=np.int64)
            return none, none, np.zeros(0)
        return (
            np.concatenate(self._rows),
            np.concatenate(self._columns) + shift,
            np.concatenate(self._values),
        )


class Master:
    """The program over one set of classes; columns are kept from one solution to the next.

    Money is counted in what a class pays on average, times in steps of the grid: the solver likes
    numbers near 1.
    """

    def __init__(
        self,
        classes: Classes,
        supplies: Sequence[Supply],
        grid: Grid,
        gap_ms: int,
        core_usd_per_ms: float,
    ) -> None:
        self._classes, self._supplies, self._grid = classes, tuple(supplies), grid
        self._gap_ms = gap_ms
        self._k = grid.buckets
        self._unit_usd = max(_LEAST_USD, classes.mean_usd)
        self._cores_per_launch = 0.0
        if core_usd_per_ms > 0:
            self._cores_per_launch = self._unit_usd / grid.step / core_usd_per_ms
        # What a core too many, or too few, costs: that there be a solution, and finite prices.
        self._beyond_cost = _BEYOND * supplies[0].kind.boot_ms * core_usd_per_ms / self._unit_usd
        self._pair_scale = 1 / np.maximum(1e-300, classes.into.sum(axis=1))
        self._coarse = grid.bounds[grid.coarse]
        self._fixed = _Rows()
        self._fixed_cost: list[Floats] = []
        self._fixed_most: list[Floats] = []
        self._columns = 0
        self._launches: list[Ints] = []
        self._rows = 2 * self._k * len(self._supplies)
        for number in range(len(self._supplies)):
            self._add_supply(number)
        self._pair_row = self._rows
        for _ in range(len(classes.into)):
            self._add_pair()
        self._share_row = self._rows
        self._rows += classes.count
        self._chosen = _Rows()
        self._chosen_cost: list[Floats] = []
        self._chosen_count = 0
        self._seen: set[tuple[int, int, int]] = set()
        self._first_columns()

    # the fixed part

    def _new_columns(self, cost: Floats | float, most: Floats | float = np.inf) -> Ints:
        """Return new columns, one per bucket."""
        here = self._columns + np.arange(self._k)
        self._columns += self._k
        self._fixed_cost.append(np.zeros(self._k) + cost)
        self._fixed_most.append(np.zeros(self._k) + most)
        return here

    def _new_rows(self, count: int) -> Ints:
        here = self._rows + np.arange(count)
        self._rows += count
        return here

    def _add_supply(self, number: int) -> None:
        supply, k, step = self._supplies[number], self._k, self._grid.step
        widths = self._grid.widths / step
        fresh = 2 * k * number + np.arange(k)
        not_yet = np.where(self._grid.bounds[1:] <= supply.first_ms, 0.0, np.inf)
        for family in supply.families:
            ready = self._new_columns(widths / family.yields, not_yet)
            launched = self._new_columns(supply.kind.boot_ms / step / family.yields)
            self._launches.append(launched)
            self._fixed.add(fresh, ready, -widths)
            self._limit(ready, launched, 0, family)
            if self._classes.brings_much.any():
                self._add_aging(fresh, supply, family, not_yet)
        if number:
            self._lend(fresh)

    def _limit(
        self, ready: Ints, launched: Ints, age: int, family: Family, late: Ints | None = None
    ) -> None:
        """Let no more be ready than was launched `age` buckets ago, and not for longer than may.

        `late`: what is launched so late that it counts in just the bucket in which it is ready.
        """
        rise, k = self._new_rows(self._k), self._k
        self._fixed.add(rise, ready, 1.0)
        self._fixed.add(rise[1:], ready[:-1], -1.0)
        self._fixed.add(rise[age:], launched[: k - age], -1.0)
        if late is not None:
            self._fixed.add(rise, late, -1.0)
        longest = int(min(k, family.longest_ms / self._grid.step + 4))
        if longest < k:
            rows = self._new_rows(k)
            self._fixed.add(rows, ready, 1.0)
            for back in range(age, longest + 1):
                self._fixed.add(rows[back:], launched[: k - back], -1.0)
            if late is not None:
                for back in range(max(1, longest + 1 - age)):
                    self._fixed.add(rows[back:], late[: k - back], -1.0)

    def _add_aging(self, fresh: Ints, supply: Supply, family: Family, not_yet: Floats) -> None:
        """Add leases that last for longer than a fetch: who brings much can use what is left then.

        They begin with a bucket, or so that the fetch can end with one; their launches stand for
        all of their time until the bucket in which, or with which, a fetch can have ended.
        """
        k, step = self._k, self._grid.step
        widths = self._grid.widths / step
        whole = min(k, int(supply.aged_ms / step + 1e-6))
        part = max(0.0, supply.aged_ms / step - whole)
        aged = self._new_columns(widths / family.yields)
        boot = supply.kind.boot_ms / step
        passed = np.concatenate([[0.0], np.cumsum(widths)])
        young = passed[np.minimum(k, np.arange(k) + whole + 1)] - passed[:-1]
        early = self._new_columns((boot + young) / family.yields, not_yet)
        from_ms = self._grid.bounds[:-1] - supply.aged_ms
        in_time = np.where(from_ms < supply.first_ms - 1e-6, 0.0, np.inf)
        late = self._new_columns((boot + whole + part) / family.yields, in_time)
        self._launches += [early, late]
        for back in range(min(k, whole + 1)):
            self._fixed.add(fresh[back:], early[: k - back], -widths[back:])
            if back < whole:
                self._fixed.add(fresh[: k - back - 1], late[back + 1 :], -1.0)
        self._fixed.add(fresh[: max(0, k - whole - 1)], late[whole + 1 :], -part)
        for rows in (fresh, fresh + k):
            self._fixed.add(rows, aged, -widths)
        if whole < k:
            left = (1.0 - part) * widths[whole:]
            self._fixed.add(fresh[whole:] + k, early[: k - whole], -left)
        self._limit(aged, early, min(k, whole + 1), family, late)

    def _lend(self, fresh: Ints) -> None:
        """Let the first kind's tasks use these nodes too: their prices are no lower then."""
        first = np.arange(self._k)
        levels = 2 if self._classes.brings_much.any() else 1
        for level in range(levels):
            lent = self._new_columns(0.0)
            for part in range(level + 1):
                self._fixed.add(fresh + part * self._k, lent, 1.0)
                self._fixed.add(first + part * self._k, lent, -1.0)

    def _add_pair(self) -> None:
        buckets = len(self._coarse) - 1
        rows = self._new_rows(buckets)
        waiting = self._new_columns(0.0)[:buckets]
        self._fixed.add(rows, waiting, 1.0)
        self._fixed.add(rows[1:], waiting[:-1], -1.0)

    # columns of classes

    def _first_columns(self) -> None:
        for number, plan in enumerate(self._classes.on_nodes):
            those = self._own_columns(number)
            for share in np.linspace(0.0, 1.0, _FIRST_STARTS):
                begins = plan.begins + share * (plan.until - plan.begins)
                self._add_on_nodes(number, those, begins[those])
        for number, size in enumerate(self._classes.on_lambda):
            those = np.flatnonzero(size.fits)
            last = np.maximum(self._classes.lambda_begins, self._classes.latest_ms - size.ms)
            self._add_on_lambda(number, those, self._classes.lambda_begins[those])
            those = those[self._waits()[those]]
            self._add_on_lambda(number, those, last[those])

    def _own_columns(self, number: int) -> Ints:
        """Return the classes that a kind has columns for; on other kinds, others are lent nodes."""
        classes = self._classes
        fits = classes.on_nodes[number].fits
        if number:
            fits = fits & (classes.brings_much | ~classes.on_nodes[0].fits)
        return np.flatnonzero(fits)

    def _waits(self) -> Bools:
        """Whether prices on waiting concern a class."""
        found: Bools = (self._classes.into + self._classes.out_of > 0).any(axis=0)
        return found

    def _new(self, place: int, those: Ints, begins: Floats) -> tuple[Ints, Floats]:
        """Leave out the columns that are there."""
        kept = []
        for at, key in enumerate(zip(those.tolist(), begins.tolist(), strict=True)):
            known = (place, key[0], round(key[1]))
            if known not in self._seen:
                self._seen.add(known)
                kept.append(at)
        return those[kept], begins[kept]

    def _add_on_nodes(self, number: int, those: Ints, begins: Floats) -> int:
        those, begins = self._new(number, those, begins)
        plan, classes = self._classes.on_nodes[number], self._classes
        ends = begins + plan.main_ms[those]
        usd = classes.usd_per_ms[those] / self._unit_usd
        columns = self._chosen_count + np.arange(len(those))
        row = 2 * self._k * number
        starts = begins - plan.before_ms[those]
        self._use(row, columns, starts, ends, usd)
        much = classes.brings_much[those]
        self._use(row + self._k, columns[much], begins[much], ends[much], usd[much])
        return self._end_columns(those, starts, ends, np.zeros(len(those)))

    def _use(self, row: int, columns: Ints, begins: Floats, ends: Floats, usd: Floats) -> None:
        """Use core time from one moment to another."""
        bounds = self._grid.bounds
        low, high = np.maximum(bounds[:-1], begins[:, None]), np.minimum(bounds[1:], ends[:, None])
        used = np.maximum(0.0, high - low) * usd[:, None]
        at, bucket = np.nonzero(used)
        self._chosen.add(row + bucket, columns[at], used[at, bucket])

    def _add_on_lambda(self, number: int, those: Ints, begins: Floats) -> int:
        those, begins = self._new(-1 - number, those, begins)
        plan = self._classes.on_lambda[number]
        ends = begins + plan.ms[those]
        return self._end_columns(those, begins - self._gap_ms, ends, plan.usd[those])

    def _end_columns(self, those: Ints, starts: Floats, ends: Floats, usd: Floats) -> int:
        columns = self._chosen_count + np.arange(len(those))
        for pair, scale in enumerate(self._pair_scale):
            weight = self._classes.into[pair, those] * scale
            self._count(pair, columns, starts, weight)
            self._count(pair, columns, ends, -self._classes.out_of[pair, those] * scale)
        self._chosen.add(self._share_row + those, columns, -1.0)
        self._chosen_cost.append(usd / self._unit_usd)
        self._chosen_count += len(those)
        return len(those)

    def _count(self, pair: int, columns: Ints, times: Floats, weight: Floats) -> None:
        """Count an event in the bucket of its time, as far as that is left, and in the next one."""
        some = np.flatnonzero(weight)
        bounds, last = self._coarse, len(self._coarse) - 2
        bucket = np.clip(np.searchsorted(bounds, times[some], side="right") - 1, 0, last)
        left = (bounds[bucket + 1] - times[some]) / (bounds[bucket + 1] - bounds[bucket])
        left = np.clip(left, 0.0, 1.0)
        row = self._pair_row + pair * (last + 1) + bucket
        self._chosen.add(row, columns[some], weight[some] * left)
        more = bucket < last
        self._chosen.add(row[more] + 1, columns[some][more], (weight[some] * (1 - left))[more])

    # solution

    def solve(self, demand: CoreCount | None = None, *, waiting: bool = True) -> Proposal:
        """Solve the program with the columns there are; with the rows of pairs if `waiting`."""
        rows, columns, values = (
            np.concatenate(both)
            for both in zip(self._fixed.parts(), self._chosen.parts(self._columns), strict=True)
        )
        if not waiting:
            kept = (rows < self._pair_row) | (rows >= self._share_row)
            rows, columns, values = rows[kept], columns[kept], values[kept]
        limits = np.zeros(self._rows + 1)
        limits[self._share_row : self._rows] = -1.0
        sign = 0.0
        if demand is not None:
            sign = -1.0 if demand.sense == "at least" else 1.0
            limits[self._rows] = sign * demand.cores
        launched = np.concatenate([np.zeros(0, dtype=np.int64), *self._launches])
        beyond = self._columns + self._chosen_count
        counted = np.full(len(launched) + 1, sign * self._cores_per_launch)
        counted[-1] = -1.0
        matrix = csr_matrix(
            (
                np.concatenate([values, counted]),
                (
                    np.concatenate([rows, np.full(len(counted), self._rows)]),
                    np.concatenate([columns, launched, [beyond]]),
                ),
            ),
            shape=(self._rows + 1, beyond + 1),
        )
        most = np.concatenate([*self._fixed_most, np.full(self._chosen_count + 1, np.inf)])
        solved = linprog(
            np.concatenate([*self._fixed_cost, *self._chosen_cost, [self._beyond_cost]]),
            A_ub=matrix,
            b_ub=limits,
            bounds=np.stack([np.zeros(len(most)), most], axis=1),
            method="highs",
        )
        if solved.x is None:
            raise NotSolvedError(solved.message)
        dual = np.maximum(0.0, -solved.ineqlin.marginals)
        cores = float(solved.x[launched].sum() * self._cores_per_launch)
        return Proposal(
            self._prices(dual),
            float(-sign * dual[self._rows] * self._unit_usd),
            float(solved.fun * self._unit_usd),
            dual[self._share_row : self._rows] * self._unit_usd,
            cores,
        )

    def _prices(self, dual: Floats) -> PriceList:
        k = self._k
        by_level = dual[: 2 * k * len(self._supplies)].reshape(-1, 2, k)
        buckets, bounds = len(self._coarse) - 1, self._grid.bounds
        waiting = np.zeros((len(self._pair_scale), len(bounds)))
        for pair, scale in enumerate(self._pair_scale):
            row = self._pair_row + pair * buckets
            price = dual[row : row + buckets] * scale * self._unit_usd
            # They never rise, but for the solver's tolerance.
            price = np.append(np.maximum.accumulate(price[::-1])[::-1], 0.0)
            waiting[pair] = np.interp(bounds, self._coarse, price)
        return PriceList(
            tuple(level[0] for level in by_level),
            tuple(level[0] + level[1] for level in by_level),
            waiting,
        )

    # generation of columns

    def improve(self, prices: PriceList, class_usd: Floats) -> tuple[float, int]:
        """Add columns that would pay less at these prices than their class does.

        Returns what all classes pay at the least at these prices (USD), and how many were added.
        """
        least = np.full(self._classes.count, np.inf)
        wanted: list[tuple[int, Ints, Floats, Floats]] = []
        for number, plan in enumerate(self._classes.on_nodes):
            those = np.flatnonzero(plan.fits)
            begins, usd = self._node_choices(number, plan, those, prices)
            least[those] = np.minimum(least[those], usd.min(axis=1, initial=np.inf))
            own = np.isin(those, self._own_columns(number))
            wanted += [(number, those[own], *best) for best in self._best(begins[own], usd[own])]
        for number, size in enumerate(self._classes.on_lambda):
            those = np.flatnonzero(size.fits)
            begins, usd = self._lambda_choices(size, those, prices)
            least[those] = np.minimum(least[those], usd.min(axis=1, initial=np.inf))
            wanted += [(-1 - number, those, *best) for best in self._best(begins, usd)]
        added = 0
        for place, those, begin, pays in wanted:
            cheap = pays < class_usd[those] * (1 - 1e-7) - 1e-15
            add = self._add_on_nodes if place >= 0 else self._add_on_lambda
            added += add(place if place >= 0 else -1 - place, those[cheap], begin[cheap])
        return float(least.sum()), added

    def _best(self, begins: Floats, usd: Floats) -> list[tuple[Floats, Floats]]:
        """Return the cheapest of each row's choices, and the cheapest that lies far from it."""
        if not len(usd):
            return []
        rows = np.arange(len(usd))
        best = usd.argmin(axis=1)
        found = [(begins[rows, best], usd[rows, best])]
        far = np.abs(begins - begins[rows, best][:, None]) > _APART * self._grid.step
        usd = np.where(far, usd, np.inf)
        best = usd.argmin(axis=1)
        return [*found, (begins[rows, best], usd[rows, best])]

    def _node_choices(
        self, number: int, plan: NodePlan, those: Ints, prices: PriceList
    ) -> tuple[Floats, Floats]:
        """Return begins of the main part, and what a class pays there, by class and choice."""
        bounds, classes = self._grid.bounds, self._classes
        main, before = plan.main_ms[those, None], plan.before_ms[those, None]
        low, high = plan.begins[those, None], plan.until[those, None]
        every = np.broadcast_to(bounds, (len(those), len(bounds)))
        begins = np.concatenate([every, every - main, every + before, low, high], axis=1)
        begins = np.clip(begins, low, high)
        paid = self._grid.summed(prices.fresh[number])
        usd = np.interp(begins, bounds, paid) - np.interp(begins - before, bounds, paid)
        for level, price in ((False, prices.fresh[number]), (True, prices.aged[number])):
            at, paid = classes.brings_much[those] == level, self._grid.summed(price)
            until = np.interp(begins[at] + main[at], bounds, paid)
            usd[at] += until - np.interp(begins[at], bounds, paid)
        usd *= classes.usd_per_ms[those, None]
        return begins, usd + self._waiting_usd(those, begins - before, begins + main, prices)

    def _lambda_choices(
        self, plan: LambdaPlan, those: Ints, prices: PriceList
    ) -> tuple[Floats, Floats]:
        bounds, took = self._grid.bounds, plan.ms[those, None]
        low = self._classes.lambda_begins[those, None]
        high = np.maximum(low, self._classes.latest_ms[those, None] - took)
        every = np.broadcast_to(bounds, (len(those), len(bounds)))
        begins = np.concatenate([every + self._gap_ms, every - took, low, high], axis=1)
        begins = np.clip(begins, low, high)
        waiting = self._waiting_usd(those, begins - self._gap_ms, begins + took, prices)
        return begins, plan.usd[those, None] + waiting

    def _waiting_usd(self, those: Ints, starts: Floats, ends: Floats, prices: PriceList) -> Floats:
        usd = np.zeros(starts.shape)
        for pair, price in enumerate(prices.waiting):
            if price.any():
                into = self._classes.into[pair, those, None]
                out_of = self._classes.out_of[pair, those, None]
                usd += into * np.interp(starts, self._grid.bounds, price)
                usd -= out_of * np.interp(ends, self._grid.bounds, price)
        return usd
