"""The bound where some kinds of nodes may be used and a run has to end in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from placement.engine.bounding.arrays import NEVER, Bools, Floats
from placement.engine.bounding.classes import classes_of
from placement.engine.bounding.facts import Facts, NodeKind
from placement.engine.bounding.leases import Family, Grid, Supply, affordable, families_of
from placement.engine.bounding.master import CoreCount, Master, NotSolvedError
from placement.engine.bounding.prices import Places, PriceList, least_paid, total_usd
from placement.engine.bounding.windows import Windows

# Fetches that take less than this part of a run are not worth prices of their own.
_SHORT_FETCH = 1 / 64
# A last bucket of less than this part of the others is not made one of its own.
_REST = 0.3
# Prices on waiting bend at every third bound.
_COARSER = 3
# The first guess of what tasks pay on nodes, in multiples of what a fully used lease costs.
_MARGIN = 1.1
# A whole number of cores is worth a look if launching one is worth this part of the bound.
_ONE_CORE = 3e-3
# Proposed prices are mixed with the best ones so far, in this proportion.
_MIX = 0.5
_GUESSES = 4
# What a program promises is a little above what its prices prove, or a little below.
_ABOVE = 1.002
# Another guess is not worth while if the last one brought less than this part.
_NO_GAIN = 2e-3
# The most solutions of the program that is only the beginning of one with prices on waiting.
_BEGINNING = 4
# So many solutions in a row may bring next to nothing.
_PATIENCE = 2
# A program of one kind is good enough if it proves that little less than it promises.
_SHORT = 5e-3


@dataclass(frozen=True, slots=True)
class Effort:
    """How finely a bound is computed; less makes it looser, and never wrong.

    `buckets` of time, `classes` of tasks, pairs of groups with prices on waiting, solutions of the
    linear program, and how near (relatively) to its optimum they have to come. `whole_cores`:
    whether the number of launched cores is made whole where that matters.
    """

    buckets: int
    classes: int
    pairs: int
    rounds: int
    near: float
    whole_cores: bool


@dataclass(frozen=True, slots=True)
class Certified:
    """Prices at which no lease earns more than it costs, and what all tasks pay then (USD)."""

    usd: float
    prices: PriceList


@dataclass(frozen=True, slots=True)
class _Best:
    """Prices, what classes pay then together, the reward for a core (USD), and cores launched."""

    usd: float
    prices: PriceList
    reward_usd: float
    cores: float


@dataclass(frozen=True, slots=True)
class _Program:
    """A linear program over some of the kinds and pairs."""

    master: Master
    kinds: tuple[int, ...]
    pairs: tuple[int, ...]


class Scenario:
    """The relaxation of one graph for one makespan, with some of the kinds of nodes."""

    def __init__(
        self,
        facts: Facts,
        effort: Effort,
        kinds: Sequence[NodeKind],
        windows: Windows,
        last_ms: int,
    ) -> None:
        self._facts, self._effort, self._last_ms = facts, effort, last_ms
        self._kinds, self._windows = tuple(kinds), windows
        self._brings_much = self._much()
        self._grid = self._make_grid()
        self._places = self._make_places()

    def best(self) -> Certified:
        """Return the best prices found and the bound that they prove, constants left out."""
        flat = self._certified(self._flat())
        if not np.any(self._places.fits):
            return flat
        try:
            return max(flat, self._solved(), key=_usd)
        except NotSolvedError:
            # The bound is looser then, and as safe.
            return flat

    def _solved(self) -> Certified:
        """Return what the linear program leads to.

        First the cheapest kind is tried alone; the others are given its prices, as far as they can
        be had. Where no task brings much, that is mostly as good, and the program much smaller.
        """
        every = tuple(range(len(self._kinds)))
        alone = self._places.fits[0] & ~self._brings_much.any()
        if len(every) > 1 and alone.any() and (alone | self._windows.on_lambda).all():
            found, as_promised = self._with_kinds((0,))
            if as_promised:
                return found
            return max(found, self._with_kinds(every)[0], key=_usd)
        return self._with_kinds(every)[0]

    def at_prices_of(self, other: Scenario, prices: PriceList) -> Certified:
        """Return what the prices of a scenario with fewer kinds prove here.

        The further kinds get the prices of the first one, as far as they can be had.
        """
        if not other._kinds:
            return self._certified(self._flat())
        known = {id(kind): number for number, kind in enumerate(other._kinds)}
        columns = [known.get(id(kind), 0) for kind in self._kinds]
        return self._certified(prices.picked(columns))

    # places and prices

    def _much(self) -> Bools:
        """Mark the tasks that bring so much that it is worth prices of its own.

        The threshold is the one at which threshold times work is greatest. What they hold their own
        cores for to bring it does not count: that they pay anyhow.
        """
        facts, none = self._facts, np.zeros(self._facts.tasks, dtype=np.bool_)
        if not self._kinds:
            return none
        kind = self._kinds[0]
        work = facts.usd_per_ms * np.where(self._windows.on_node & kind.fits, kind.main_ms, 0)
        brings_ms = kind.age_ms - kind.before_ms
        order = np.argsort(-brings_ms, kind="stable")
        gain = brings_ms[order] * np.cumsum(work[order])
        threshold = brings_ms[order][int(gain.argmax())]
        if threshold < (self._last_ms - facts.run_start_ms) * _SHORT_FETCH:
            return none
        fits = self._windows.on_node & kind.fits
        least_ms = kind.age_ms[fits & (brings_ms >= threshold)].min(initial=NEVER)
        much: Bools = fits & (kind.age_ms >= least_ms)
        return much

    def _aged_ms(self, kind: NodeKind) -> float:
        much = self._brings_much & kind.fits
        return float(kind.age_ms[much].min()) if much.any() else 0.0

    def _make_grid(self) -> Grid:
        """Return a grid with bounds where the first node can be ready and where it has aged."""
        start, end = float(self._facts.run_start_ms), float(self._last_ms)
        step = max(1.0, (end - start) / self._effort.buckets)
        first = start
        if self._kinds:
            first += self._kinds[0].boot_ms
            aged = self._aged_ms(self._kinds[0])
            if aged > step:
                step = aged / int(aged / step)
        before = math.ceil((first - start) / step)
        bounds = first + step * np.arange(-before, math.floor((end - first) / step) + 1)
        bounds = bounds[bounds < end - _REST * step]
        bounds = np.append(bounds, end)
        coarse = np.append(np.arange(0, len(bounds) - 1, _COARSER), len(bounds) - 1)
        return Grid(bounds.astype(np.float64), step, coarse)

    def _make_places(self) -> Places:
        facts, windows = self._facts, self._windows
        begins, until, fits = [], [], []
        for kind in self._kinds:
            first = facts.run_start_ms + kind.boot_ms
            begin = np.maximum(windows.ready_ms, first) + kind.before_ms
            begins.append(np.maximum(begin, first + kind.age_ms))
            until.append(windows.latest_ms - kind.main_ms)
            fits.append(windows.on_node & kind.fits & (begins[-1] <= until[-1]))
        return Places(
            windows,
            tuple(self._supply(kind, np.inf) for kind in self._kinds),
            tuple(begins),
            tuple(until),
            tuple(fits),
            self._brings_much,
            windows.ready_ms + facts.gap_ms,
        )

    def _supply(self, kind: NodeKind, dearest_usd: float) -> Supply:
        first = self._facts.run_start_ms + kind.boot_ms
        horizon = float(self._last_ms - first)
        families = families_of(kind, self._facts.weights, horizon, dearest_usd)
        return Supply(kind, families, first, self._aged_ms(kind))

    def _flat(self) -> PriceList:
        ones = (np.ones(self._grid.buckets),) * len(self._kinds)
        return PriceList(ones, ones, self._no_waiting())

    def _no_waiting(self) -> Floats:
        return np.zeros((self._facts.pairs.count, len(self._grid.bounds)))

    # what prices prove

    def _certified(
        self,
        prices: PriceList,
        reward_usd: float = 0.0,
        cores: int = 0,
        promised_usd: float | None = None,
    ) -> Certified:
        """Make prices such that no lease earns more than it costs; return what tasks pay then.

        `reward_usd` is paid for every core that is launched, and asked back for `cores` of them.
        A schedule with a lease that alone costs more than some sum costs more than that anyhow, so
        dearer leases need no look, and the lesser of the sum and of what tasks pay is proven. Tasks
        pay the more the less the sum is: both are brought near each other, from `promised_usd` on.
        """
        # A reward above the price of a launch would be earned without any work.
        reward_usd = min(reward_usd, self._launch_usd())
        parts_usd = self._parts_usd()
        guess_usd = self._guess_usd() if promised_usd is None else promised_usd * _ABOVE
        cap = guess_usd + parts_usd
        best, low, high = Certified(-math.inf, prices), -math.inf, math.inf
        for _ in range(_GUESSES):
            supplies = self._supplies(cap - parts_usd)
            made = self._affordable(prices, supplies, reward_usd)
            paid = least_paid(self._facts, self._places, self._grid, made)
            usd = total_usd(self._facts, paid) + reward_usd * cores
            if self._supplies(usd - parts_usd) == supplies:
                # Tasks pay just as much if that is the sum.
                return max(best, Certified(usd, made), key=_usd)
            best = max(best, Certified(min(usd, cap), made), key=_usd)
            low, high = max(low, min(usd, cap)), min(high, max(usd, cap))
            if high - low <= _NO_GAIN * abs(high):
                break
            cap = usd if usd > cap else (low + high) / 2
        return best

    def _supplies(self, dearest_usd: float) -> list[tuple[Family, ...]]:
        """Return the families of every kind of which no lease costs more than some sum."""
        return [self._supply(kind, dearest_usd).families for kind in self._kinds]

    def _parts_usd(self) -> float:
        """Return what all groups with tasks pay for their states at the least."""
        facts = self._facts
        return len(np.unique(facts.group)) * min(facts.part_on_lambda_usd, facts.part_on_nodes_usd)

    def _launch_usd(self) -> float:
        """Return what launching a core costs at the least, on any node."""
        return min(
            (
                node.usd_per_ms * kind.boot_ms / node.vcpus
                for kind in self._kinds
                for node in kind.types
            ),
            default=0.0,
        )

    def _guess_usd(self) -> float:
        """Return about what all tasks that can be on nodes pay there together, rather too much."""
        facts, horizon = self._facts, float(self._last_ms - self._facts.run_start_ms)
        if not self._kinds:
            return 0.0
        fits = np.any(self._places.fits, axis=0)
        kind = self._kinds[0]
        idle = 1 + 2 * kind.boot_ms / max(1.0, horizon - kind.boot_ms)
        on_node = facts.usd_per_ms * (kind.before_ms + kind.main_ms) * idle * _MARGIN
        on_lambda = facts.on_lambda.usd.min(axis=1, initial=np.inf)
        return float(np.minimum(on_node, on_lambda)[fits].sum())

    def _affordable(
        self, prices: PriceList, families: Sequence[tuple[Family, ...]], reward_usd: float
    ) -> PriceList:
        """Scale each kind's prices to the most that its leases, of some families, allow."""
        fresh, aged = [], []
        for number, supply in enumerate(self._places.supplies):
            young = prices.fresh[number]
            old = np.maximum(young, prices.aged[number])
            its = replace(supply, families=families[number])
            launch_ms = reward_usd / self._facts.weights.core_usd_per_ms if reward_usd else 0.0
            factor = affordable(self._grid, its, young, old, launch_ms)
            factor = max(0.0, factor) if math.isfinite(factor) else 1.0
            fresh.append(young * factor)
            aged.append(old * factor)
        return PriceList(tuple(fresh), tuple(aged), prices.waiting)

    # the linear program

    def _with_kinds(self, kinds: tuple[int, ...]) -> tuple[Certified, bool]:
        """Solve a program over some kinds; return what it proves, and if that is what it promises.

        It does not if the other kinds can serve some tasks for less than the program knows.
        """
        program = self._program(kinds)
        plain = self._optimum(program.master)
        found = self._proven(program, plain)
        if len(kinds) < len(self._kinds) and not self._as_promised(plain, found):
            return found, False
        if not program.pairs:
            return found, True
        best = self._optimum(program.master, plain)
        if best is not plain:
            proven = self._proven(program, best)
            if len(kinds) < len(self._kinds) and not self._as_promised(best, proven):
                return max(found, proven, key=_usd), False
            found = max(found, proven, key=_usd)
        if self._effort.whole_cores and self._counts(best, found.usd):
            found = max(found, self._with_whole_cores(program, best), key=_usd)
        return found, True

    def _as_promised(self, best: _Best, proven: Certified) -> bool:
        parts_usd = self._facts.groups * self._facts.part_on_nodes_usd
        return proven.usd > (best.usd + parts_usd) * (1 - _SHORT)

    def _program(self, kinds: tuple[int, ...]) -> _Program:
        facts, grid, places = self._facts, self._grid, self._places.of(kinds)
        pairs = self._priced_pairs()
        classes = classes_of(facts, places, grid, self._effort.classes, pairs)
        dearest = self._guess_usd()
        supplies = [self._supply(self._kinds[number], dearest) for number in kinds]
        master = Master(classes, supplies, grid, facts.gap_ms, facts.weights.core_usd_per_ms)
        return _Program(master, kinds, tuple(pairs))

    def _proven(self, program: _Program, best: _Best, cores: int = 0) -> Certified:
        """Return what prices prove once they are spread to all kinds and pairs."""
        kinds = range(len(self._kinds))
        columns = [program.kinds.index(kind) if kind in program.kinds else 0 for kind in kinds]
        prices = best.prices.picked(columns)
        waiting = self._no_waiting()
        waiting[list(program.pairs)] = prices.waiting
        prices = replace(prices, waiting=waiting)
        return self._certified(prices, best.reward_usd, cores, best.usd)

    def _priced_pairs(self) -> list[int]:
        """Return the pairs of groups with the most work."""
        facts = self._facts
        work = np.bincount(facts.group, facts.usd_per_ms * self._kinds[0].main_ms, facts.groups)
        of_pair = work[facts.pairs.groups].sum(axis=1)
        order = np.argsort(-of_pair, kind="stable")
        return sorted(order[: self._effort.pairs].tolist())

    def _optimum(
        self, master: Master, known: _Best | None = None, demand: CoreCount | None = None
    ) -> _Best:
        """Generate columns until the prices are near the best ones; return the best ones.

        They begin at the `known` ones; without known ones, there are no prices on waiting yet.
        """
        best = known if demand is None else None
        mixed, last_usd, stalled = known, -math.inf, 0
        # Without prices on waiting it is a beginning only, where there are to be some.
        rounds = _BEGINNING if known is None and self._effort.pairs else self._effort.rounds
        for _ in range(min(rounds, self._effort.rounds)):
            proposal = master.solve(demand, waiting=known is not None)
            near = self._effort.near * abs(proposal.optimum_usd)
            if best is not None and proposal.optimum_usd - best.usd <= near:
                break
            candidates = [(proposal.prices, proposal.reward_usd)]
            if mixed is not None:
                reward_usd = (1 - _MIX) * mixed.reward_usd + _MIX * proposal.reward_usd
                candidates.append((_mixed(mixed.prices, proposal.prices), reward_usd))
            added, round_usd = 0, -math.inf
            for prices, reward_usd in candidates:
                usd, new = master.improve(prices, proposal.class_usd)
                if demand is not None:
                    usd += reward_usd * demand.cores
                added, round_usd = added + new, max(round_usd, usd)
                if best is None or usd > best.usd:
                    best = _Best(usd, prices, reward_usd, proposal.cores)
            mixed = best
            stalled = 0 if round_usd > last_usd + near / 4 else stalled + 1
            last_usd = round_usd
            if not added or stalled == _PATIENCE:
                break
        assert best is not None
        return best

    # whole cores

    def _counts(self, best: _Best, usd: float) -> bool:
        """Whether it is worth a look that the number of launched cores is whole."""
        weights, part = self._facts.weights, best.cores % 1
        launch_usd = weights.core_usd_per_ms * self._kinds[0].boot_ms
        return weights.byte_usd_per_ms == 0 and launch_usd * min(part, 1 - part) > _ONE_CORE * usd

    def _with_whole_cores(self, program: _Program, best: _Best) -> Certified:
        """Return the lesser of the bounds with fewer cores than the optimum has, and with more."""
        found = []
        for demand in (
            CoreCount("at most", math.floor(best.cores)),
            CoreCount("at least", math.ceil(best.cores)),
        ):
            its = self._optimum(program.master, best, demand)
            found.append(self._proven(program, its, demand.cores))
        return min(found, key=_usd)


def _usd(certified: Certified) -> float:
    return certified.usd


def _mixed(some: PriceList, others: PriceList) -> PriceList:
    def mix(a: Floats, b: Floats) -> Floats:
        mixed: Floats = (1 - _MIX) * a + _MIX * b
        return mixed

    return PriceList(
        tuple(mix(a, b) for a, b in zip(some.fresh, others.fresh, strict=True)),
        tuple(mix(a, b) for a, b in zip(some.aged, others.aged, strict=True)),
        mix(some.waiting, others.waiting),
    )
