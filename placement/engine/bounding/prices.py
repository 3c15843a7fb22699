"""Prices, and what every task pays at the least at given prices.

The prices, in `PriceList`, are of three sorts:
- of a core's time on nodes of a kind, per bucket of time, in multiples of its cost;
- of the same on nodes that have been ready for longer than a fetch takes, for the tasks that bring
  much;
- on waiting, per pair of groups: a task of the later group pays the more the earlier it starts, and
  those of the earlier group are paid the same for ending early. Because none starts before those
  that it waits for have ended, and these prices never rise, a schedule loses nothing by them.

Whatever the prices: if no lease of a node earns more than it costs, then no schedule costs less
than what all tasks pay together, each where that is least for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from placement.engine.bounding.arrays import NEVER, Bools, Floats, Ints
from placement.engine.bounding.facts import Facts, Pairs
from placement.engine.bounding.leases import Grid, Supply
from placement.engine.bounding.windows import Windows
from placement.engine.jit import njit


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices by kind (per bucket), and of each pair on waiting (USD, per bound, never rising)."""

    fresh: tuple[Floats, ...]
    aged: tuple[Floats, ...]
    waiting: Floats

    def picked(self, columns: Sequence[int]) -> PriceList:
        """Return the prices of these kinds, in this order."""
        return PriceList(
            tuple(self.fresh[column] for column in columns),
            tuple(self.aged[column] for column in columns),
            self.waiting,
        )


@dataclass(frozen=True, slots=True)
class Places:
    """Where and when tasks can run in a run with a deadline.

    `supplies` are the kinds of nodes; `begins` and `until` hold for each the first and the last
    moment (ms, by task) at which a task's main part may begin; `fits` whether there is any.
    `brings_much` marks the tasks that the prices of aged nodes are for.
    """

    windows: Windows
    supplies: tuple[Supply, ...]
    begins: tuple[Ints, ...]
    until: tuple[Ints, ...]
    fits: tuple[Bools, ...]
    brings_much: Bools
    lambda_begins: Ints

    def of(self, kinds: Sequence[int]) -> Places:
        """Return the places on these kinds of nodes alone."""
        return replace(
            self,
            supplies=tuple(self.supplies[kind] for kind in kinds),
            begins=tuple(self.begins[kind] for kind in kinds),
            until=tuple(self.until[kind] for kind in kinds),
            fits=tuple(self.fits[kind] for kind in kinds),
        )


@dataclass(frozen=True, slots=True)
class Paid:
    """What tasks pay at the least, in USD: on nodes, on Lambda; and file sets for one fetch."""

    on_nodes: Floats
    on_lambda: Floats
    fetches: Floats


class _Waiting(NamedTuple):
    """Prices on waiting as the compiled code takes them."""

    into_ptr: Ints
    into: Ints
    out_ptr: Ints
    out: Ints
    weight: Floats
    price: Floats


class _Grid(NamedTuple):
    bounds: Floats
    step: float


class _Price(NamedTuple):
    """A price by bucket, and its integral from the beginning to every bound."""

    price: Floats
    summed: Floats


def least_paid(facts: Facts, places: Places, grid: Grid, prices: PriceList) -> Paid:
    """Return what every task pays at the least."""
    waiting, axis = _waiting(facts.pairs, prices.waiting), _Grid(grid.bounds, grid.step)
    on_nodes = np.full(facts.tasks, np.inf)
    for number, supply in enumerate(places.supplies):
        _pay_on_nodes(
            axis,
            waiting,
            prices.fresh[number],
            prices.aged[number],
            grid.summed(prices.fresh[number]),
            grid.summed(prices.aged[number]),
            places.brings_much,
            facts.usd_per_ms,
            supply.kind.before_ms,
            supply.kind.main_ms,
            places.begins[number],
            places.until[number],
            places.fits[number],
            on_nodes,
        )
    on_nodes += facts.own_get_usd
    on_lambda = np.full(facts.tasks, np.inf)
    _pay_on_lambda(
        axis,
        waiting,
        facts.gap_ms,
        facts.on_lambda.ms,
        facts.on_lambda.usd,
        places.lambda_begins,
        places.windows.latest_ms,
        on_lambda,
    )
    fetches = _fetches(facts, places, grid, prices)
    return Paid(on_nodes, on_lambda, fetches)


def total_usd(facts: Facts, paid: Paid) -> float:
    """Return what all tasks pay together, with what a group pays for each platform that it uses.

    Group by group it is the least of: all on Lambda, all on nodes, or both.
    """
    least = np.minimum(paid.on_nodes, paid.on_lambda)
    sets, in_set = facts.sets, facts.sets.of_task >= 0
    of_task = sets.of_task[in_set]
    size = len(sets.file)
    on_lambda = np.bincount(of_task, paid.on_lambda[in_set], size)
    mixed = np.bincount(of_task, least[in_set], size) + paid.fetches
    set_group = np.zeros(size, dtype=np.int64)
    set_group[of_task] = facts.group[in_set]

    def by_group(values: Floats, of: Ints = facts.group) -> Floats:
        found: Floats = np.bincount(of, values, facts.groups)
        return found

    either = by_group(np.where(in_set, 0.0, least))
    either += by_group(np.minimum(on_lambda, mixed), set_group)
    fetches = by_group(paid.fetches, set_group)
    all_on_nodes = by_group(paid.on_nodes) + fetches + facts.part_on_nodes_usd
    all_on_lambda = by_group(paid.on_lambda) + facts.part_on_lambda_usd
    either += facts.part_on_lambda_usd + facts.part_on_nodes_usd
    used = np.bincount(facts.group, minlength=facts.groups) > 0
    return float(np.minimum(either, np.minimum(all_on_nodes, all_on_lambda))[used].sum())


def _waiting(pairs: Pairs, prices: Floats) -> _Waiting:
    into, out = pairs.into, pairs.out_of
    if not prices.any():
        return _nobody_waits(len(into.ptr) - 1)
    return _Waiting(into.ptr, into.entries, out.ptr, out.entries, pairs.weight, prices)


def _nobody_waits(tasks: int) -> _Waiting:
    none = np.zeros(0, dtype=np.int64)
    ptr = np.zeros(tasks + 1, dtype=np.int64)
    return _Waiting(ptr, none, ptr, none, np.zeros(0), np.zeros((0, 1)))


def _fetches(facts: Facts, places: Places, grid: Grid, prices: PriceList) -> Floats:
    """Return what a fetch of each set's file pays at the least: core time, and its requests."""
    sets, size = facts.sets, len(facts.sets.file)
    paid = np.full(size, np.inf)
    for number, supply in enumerate(places.supplies):
        starts = places.until[number] - supply.kind.before_ms
        latest = np.where(places.fits[number], starts, -NEVER)
        last = np.full(size, -NEVER, dtype=np.int64)
        np.maximum.at(last, sets.readers.owners(), latest[sets.readers.entries])
        took = supply.kind.fetch_ms.astype(np.int64)  # whole ms, rounded down
        first = np.full(size, supply.first_ms, dtype=np.int64)
        fresh = grid.summed(prices.fresh[number])
        _pay_on_nodes(
            _Grid(grid.bounds, grid.step),
            _nobody_waits(size),
            prices.fresh[number],
            prices.fresh[number],
            fresh,
            fresh,
            np.zeros(size, dtype=np.bool_),
            sets.usd_per_ms,
            np.zeros(size, dtype=np.int64),
            took,
            first,
            last - took,
            last - took >= first,
            paid,
        )
    return np.where(np.isfinite(paid), paid + sets.get_usd, 0.0)


# The compiled part. A task's payment is a continuous function of its start, linear as long as
# neither its start, nor the begin of its main part, nor its end passes a bound: so it is least
# where one of the three meets a bound, or at either end of its window.


@njit(cache=True)
def _pay_on_nodes(
    grid: _Grid,
    w: _Waiting,
    fresh_price: Floats,
    aged_price: Floats,
    fresh: Floats,
    aged: Floats,
    brings_much: Bools,
    usd_per_ms: Floats,
    before: Ints,
    main: Ints,
    begins: Ints,
    until: Ints,
    fits: Bools,
    paid: Floats,
) -> None:
    """Lower `paid` to what tasks pay at the least on nodes of a kind, where that is less."""
    bounds = grid.bounds
    pays, is_paid = np.zeros(bounds.shape[0]), np.zeros(bounds.shape[0])
    moments = np.empty(3 * bounds.shape[0] + 2)
    for task in range(fits.shape[0]):
        if not fits[task]:
            continue
        first, last, early = float(begins[task]), float(until[task]), float(before[task])
        if w.price.shape[0] == 0:
            young = _Price(fresh_price, fresh)
            if brings_much[task]:
                old = _Price(aged_price, aged)
                least = _cheapest(bounds, young, old, early, float(main[task]), first, last)
            else:
                held = early + main[task]
                least = _cheapest(bounds, young, young, 0.0, held, first - early, last - early)
            paid[task] = min(paid[task], usd_per_ms[task] * least)
            continue
        cost = aged if brings_much[task] else fresh
        _add_prices(w, task, pays, is_paid)
        count = _meetings(bounds, 0.0, first, last, moments, 0)
        count = _meetings(bounds, float(main[task]), first, last, moments, count)
        count = _meetings(bounds, -early, first, last, moments, count)
        for begin in moments[:count]:
            start, end = begin - early, begin + main[task]
            held = _at(grid, cost, end) - _at(grid, cost, begin)
            held += _at(grid, fresh, begin) - _at(grid, fresh, start)
            usd = usd_per_ms[task] * held + _at(grid, pays, start) - _at(grid, is_paid, end)
            paid[task] = min(paid[task], usd)


@njit(cache=True)
def _pay_on_lambda(
    grid: _Grid,
    w: _Waiting,
    gap: int,
    took: Ints,
    usd: Floats,
    begins: Ints,
    latest: Ints,
    paid: Floats,
) -> None:
    """Lower `paid` to what tasks pay at the least on Lambda, where that is less."""
    bounds, waits = grid.bounds, w.price.shape[0] > 0
    pays, is_paid = np.zeros(bounds.shape[0]), np.zeros(bounds.shape[0])
    moments = np.empty(2 * bounds.shape[0] + 2)
    for task in range(took.shape[0]):
        if waits:
            _add_prices(w, task, pays, is_paid)
        for size in range(took.shape[1]):
            first, last = float(begins[task]), float(latest[task] - took[task, size])
            if last < first:
                continue
            if not waits:
                paid[task] = min(paid[task], usd[task, size])
                continue
            count = _meetings(bounds, -float(gap), first, last, moments, 0)
            count = _meetings(bounds, float(took[task, size]), first, last, moments, count)
            for start in moments[:count]:
                waiting = _at(grid, pays, start - gap)
                waiting -= _at(grid, is_paid, start + took[task, size])
                paid[task] = min(paid[task], usd[task, size] + waiting)


@njit(cache=True)
def _at(grid: _Grid, values: Floats, time: float) -> float:
    """Return a function that is linear between bounds."""
    last = grid.bounds.shape[0] - 2
    k = min(last, max(0, int((time - grid.bounds[0]) / grid.step)))
    low, high = grid.bounds[k], grid.bounds[k + 1]
    return float(values[k] + (values[k + 1] - values[k]) * (time - low) / (high - low))


@njit(cache=True)
def _add_prices(w: _Waiting, task: int, pays: Floats, is_paid: Floats) -> None:
    """Add up the prices on waiting that a task pays, and those that it is paid."""
    pays[:] = 0.0
    for k in range(w.into_ptr[task], w.into_ptr[task + 1]):
        pays += w.price[w.into[k]]
    is_paid[:] = 0.0
    for k in range(w.out_ptr[task], w.out_ptr[task + 1]):
        is_paid += w.weight[k] * w.price[w.out[k]]


@njit(cache=True)
def _meetings(
    bounds: Floats, offset: float, first: float, last: float, moments: Floats, count: int
) -> int:
    """Add the moments of a window at which what comes `offset` later meets a bound, and its ends.

    Returns how many moments there are then.
    """
    if count == 0:
        moments[0], moments[1] = first, last
        count = 2
    for bound in bounds:
        if first < bound - offset < last:
            moments[count] = bound - offset
            count += 1
    return count


@njit(cache=True)
def _cheapest(
    bounds: Floats,
    young: _Price,
    old: _Price,
    before: float,
    main: float,
    first: float,
    last: float,
) -> float:
    """Return the least sum of prices of `before` ms and then `main` ms, which begin in a window.

    The first of them are paid at the price of a young node, the others at that of an `old` one.
    """
    least, last_bucket = np.inf, bounds.shape[0] - 2
    for turn in range(3 if before > 0 else 2):
        # What begins, ends, and starts with a bound; each in the order of time.
        offset = 0.0 if turn == 0 else main if turn == 1 else -before
        at_start = at_begin = at_end = 0
        for k in range(-1, bounds.shape[0] + 1):
            if k < 0:
                begin = first
            elif k < bounds.shape[0]:
                begin = min(last, max(first, bounds[k] - offset))
            else:
                begin = last
            while at_begin < last_bucket and bounds[at_begin + 1] < begin:
                at_begin += 1
            while at_end < last_bucket and bounds[at_end + 1] < begin + main:
                at_end += 1
            due = _until(bounds, old, at_end, begin + main)
            due -= _until(bounds, old, at_begin, begin)
            if before > 0:
                while at_start < last_bucket and bounds[at_start + 1] < begin - before:
                    at_start += 1
                due += _until(bounds, young, at_begin, begin)
                due -= _until(bounds, young, at_start, begin - before)
            least = min(least, due)
            if begin >= last:
                break
    return least


@njit(cache=True)
def _until(bounds: Floats, price: _Price, bucket: int, time: float) -> float:
    """Return the integral of a price up to a time in a bucket."""
    return float(price.summed[bucket] + price.price[bucket] * (time - bounds[bucket]))
