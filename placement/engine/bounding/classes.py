"""Classes of tasks: what the linear program has in place of tasks, to be small.

A class stands for the mean of its tasks. That is rough, and may be: the program only proposes
prices, and what tasks pay at these prices is worked out for every single one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from placement.engine.bounding.arrays import NEVER, Bools, Floats, Ints
from placement.engine.bounding.facts import Facts
from placement.engine.bounding.leases import Grid
from placement.engine.bounding.prices import Places

# A class is split further where its tasks' costs on Lambda differ by more, in logarithms.
_COST_STEP = 0.05
_HALF = 0.5
# Tasks are taken to go to nodes if those are cheaper even at so many times their bare price.
_WORTH_A_NODE = 1.3
# Times that differ by less than this part of a bucket are alike in any case.
_FINEST = 0.1


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A class on nodes of one kind: when its main part may begin, and what comes before, in ms."""

    fits: Bools
    begins: Floats
    until: Floats
    before_ms: Floats
    main_ms: Floats

    def and_also(self, more: NodePlan) -> NodePlan:
        """Return the plan of these classes and then of more."""
        return NodePlan(
            np.concatenate([self.fits, more.fits]),
            np.concatenate([self.begins, more.begins]),
            np.concatenate([self.until, more.until]),
            np.concatenate([self.before_ms, more.before_ms]),
            np.concatenate([self.main_ms, more.main_ms]),
        )


@dataclass(frozen=True, slots=True)
class LambdaPlan:
    """A class on Lambda at one size: its duration (ms) and the cost of all its tasks (USD)."""

    fits: Bools
    ms: Floats
    usd: Floats


@dataclass(frozen=True, slots=True)
class Classes:
    """Classes of tasks; `usd_per_ms` is of all tasks of a class, times are those of their mean.

    `into` and `out_of` are the weights by pair of groups and class. The last classes are fetches of
    common files; they have no place on Lambda.
    """

    count: int
    brings_much: Bools
    usd_per_ms: Floats
    on_nodes: tuple[NodePlan, ...]
    on_lambda: tuple[LambdaPlan, ...]
    lambda_begins: Floats
    latest_ms: Floats
    into: Floats
    out_of: Floats

    @property
    def mean_usd(self) -> float:
        """About what a class pays, in the mean: on nodes at a price of 1."""
        held = [(plan.before_ms + plan.main_ms) * plan.fits for plan in self.on_nodes]
        return float((self.usd_per_ms * np.max(held, axis=0)).sum()) / self.count


def classes_of(
    facts: Facts, places: Places, grid: Grid, most: int, pairs: Sequence[int]
) -> Classes:
    """Put tasks together that have about the same windows, durations and costs; `most` classes."""
    of_task, count = _classified(facts, places, grid, most)
    held_ms = _held_ms(places)
    weight = facts.usd_per_ms * held_ms + 1e-15
    whole = np.bincount(of_task, weight, count)

    def mean(values: Floats | Ints | Bools) -> Floats:
        found: Floats = np.bincount(of_task, values * weight, count) / whole
        return found

    def total(values: Floats | Ints) -> Floats:
        found: Floats = np.bincount(of_task, values, count)
        return found

    latest = mean(places.windows.latest_ms)
    on_nodes = []
    for number, supply in enumerate(places.supplies):
        fits = total(places.fits[number].astype(np.float64)) > 0
        here = np.where(places.fits[number], weight, 0.0)
        those = np.maximum(1e-300, total(here))
        main = total(supply.kind.main_ms * here) / those
        begins = total(places.begins[number] * here) / those
        until = np.maximum(begins, total(places.until[number] * here) / those)
        before = total(supply.kind.before_ms * here) / those
        on_nodes.append(NodePlan(fits, begins, until, before, main))
    mean_held = np.maximum(1e-9, mean(held_ms))
    classes = Classes(
        count=count,
        brings_much=mean(places.brings_much) > _HALF,
        usd_per_ms=total(facts.usd_per_ms * held_ms) / mean_held,
        on_nodes=tuple(on_nodes),
        on_lambda=tuple(_lambda_plans(facts, places, of_task, count, mean)),
        lambda_begins=mean(places.lambda_begins),
        latest_ms=latest,
        into=_pair_weights(facts, of_task, count, pairs, out=False),
        out_of=_pair_weights(facts, of_task, count, pairs, out=True),
    )
    return _with_fetches(classes, facts, places)


def _with_fetches(classes: Classes, facts: Facts, places: Places) -> Classes:
    """Add a class per group for fetches of common files, if those happen on nodes at all."""
    sets, of_task = facts.sets, facts.sets.of_task
    group = np.zeros(len(sets.file), dtype=np.int64)
    group[of_task[of_task >= 0]] = facts.group[of_task >= 0]
    some = np.flatnonzero(_cheaper_on_nodes(facts, places))
    first, number = np.unique(group[some], return_inverse=True)
    added = len(first)

    def mean(values: Floats | Ints) -> Floats:
        found: Floats = np.bincount(number, values, added) / np.bincount(number, minlength=added)
        return found

    def longer(these: Floats) -> Floats:
        return np.concatenate([these, np.zeros((*these.shape[:-1], added))], axis=-1)

    on_nodes = []
    for which, plan in enumerate(classes.on_nodes):
        took, last = (mean(each[some]) for each in _fetch_times(facts, places, which))
        begin = np.full(added, float(places.supplies[which].first_ms))
        # On the first kind in any case: a class needs some place.
        fits = (begin + took <= last) | (which == 0)
        until = np.maximum(begin, last - took)
        fetches = NodePlan(fits, begin, until, np.zeros(added), took)
        on_nodes.append(plan.and_also(fetches))
    none = np.zeros(added, dtype=np.bool_)
    return Classes(
        classes.count + added,
        np.concatenate([classes.brings_much, none]),
        np.append(classes.usd_per_ms, np.bincount(number, sets.usd_per_ms[some], added)),
        tuple(on_nodes),
        tuple(
            LambdaPlan(np.concatenate([size.fits, none]), longer(size.ms), longer(size.usd))
            for size in classes.on_lambda
        ),
        longer(classes.lambda_begins),
        longer(classes.latest_ms),
        longer(classes.into),
        longer(classes.out_of),
    )


def _fetch_times(facts: Facts, places: Places, which: int) -> tuple[Floats, Ints]:
    """Return by file set how long its fetch takes on a kind of nodes, and its latest end (ms)."""
    sets, supply = facts.sets, places.supplies[which]
    starts = places.until[which] - supply.kind.before_ms
    latest = np.where(places.fits[which], starts, supply.first_ms)
    last = np.full(len(sets.file), supply.first_ms, dtype=np.int64)
    np.maximum.at(last, sets.readers.owners(), latest[sets.readers.entries])
    return supply.kind.fetch_ms, last


def _cheaper_on_nodes(facts: Facts, places: Places) -> Bools:
    """Whether the tasks of a file set are cheaper on nodes than on Lambda, all in all."""
    in_set = facts.sets.of_task >= 0
    of_task, size = facts.sets.of_task[in_set], len(facts.sets.file)
    fits = np.any(places.fits, axis=0)
    least = facts.on_lambda.usd.min(axis=1, initial=np.inf)
    bare = np.where(fits, facts.usd_per_ms * _held_ms(places), np.inf)
    on_lambda, on_nodes = (np.bincount(of_task, usd[in_set], size) for usd in (least, bare))
    found: Bools = np.isfinite(on_nodes) & (on_nodes * _WORTH_A_NODE < on_lambda)
    return found


def _held_ms(places: Places) -> Ints:
    """Return for how long each task holds the first kind that it fits; 0 where it fits none."""
    found = np.zeros(len(places.brings_much), dtype=np.int64)
    for number in range(len(places.supplies) - 1, -1, -1):
        fits = places.fits[number]
        kind = places.supplies[number].kind
        found[fits] = (kind.before_ms + kind.main_ms)[fits]
    return found


def _classified(facts: Facts, places: Places, grid: Grid, most: int) -> tuple[Ints, int]:
    """Return each task's class and their number.

    Classes are split in two until there are `most`, always the one whose tasks differ most, by what
    they are worth.
    """
    held = _held_ms(places).astype(np.float64)
    took = facts.on_lambda.ms
    fits_lambda = took <= (places.windows.latest_ms - places.lambda_begins)[:, None]
    cost = np.where(fits_lambda, facts.on_lambda.usd, np.inf).min(axis=1, initial=np.inf)
    worth = facts.usd_per_ms * held + 1e-15
    ratio = np.log(np.clip(cost / worth, 1e-9, 1e9))
    alike = facts.group.copy()
    for fits in (*places.fits, np.isfinite(cost), places.brings_much):
        alike = 2 * alike + fits
    traits = np.stack(
        [
            places.lambda_begins / grid.step,
            places.windows.latest_ms / grid.step,
            held / grid.step,
            ratio / _COST_STEP,
        ]
    )
    of_task = np.unique(alike, return_inverse=True)[1]
    classes = np.split(np.argsort(of_task, kind="stable"), np.cumsum(np.bincount(of_task))[:-1])
    heap = [(*_spread(traits, worth, those), number) for number, those in enumerate(classes)]
    heapq.heapify(heap)
    while heap and heap[0][0] < 0 and len(classes) < most:
        _, trait, number = heapq.heappop(heap)
        those = classes[number]
        values = traits[trait, those]
        above = values > np.average(values, weights=worth[those])
        classes[number] = those[~above]
        classes.append(those[above])
        for part in (number, len(classes) - 1):
            heapq.heappush(heap, (*_spread(traits, worth, classes[part]), part))
    for number, those in enumerate(classes):
        of_task[those] = number
    return of_task, len(classes)


def _spread(traits: Floats, worth: Floats, those: Ints) -> tuple[float, int]:
    """Return by how much tasks differ in the trait in which they differ most (negative), and it.

    Times that differ by a small part of a bucket are alike.
    """
    values, weights = traits[:, those], worth[those]
    mean = np.average(values, axis=1, weights=weights)
    off = np.abs(values - mean[:, None])
    trait = int((off * weights).sum(axis=1).argmax())
    if off[trait].max() < _FINEST:
        return 0.0, trait
    return -float((off[trait] * weights).sum()), trait


def _lambda_plans(
    facts: Facts, places: Places, of_task: Ints, count: int, mean: Callable[[Floats], Floats]
) -> list[LambdaPlan]:
    """Return a plan per size where all tasks of a class fit, and one for classes that are mixed."""
    room = places.windows.latest_ms - places.lambda_begins
    fits = facts.on_lambda.ms <= room[:, None]
    members = np.bincount(of_task, minlength=count)
    found = []
    served = np.zeros(count, dtype=np.bool_)
    for size in range(facts.on_lambda.ms.shape[1]):
        all_fit = np.bincount(of_task, fits[:, size], count) == members
        served |= all_fit
        usd = np.where(fits[:, size], facts.on_lambda.usd[:, size], 0.0)
        took = np.where(fits[:, size], facts.on_lambda.ms[:, size], 0)
        found.append(LambdaPlan(all_fit, mean(took), np.bincount(of_task, usd, count)))
    if not found:
        return found
    some = fits.any(axis=1)
    rest = (np.bincount(of_task, some, count) == members) & ~served
    took = np.where(fits, facts.on_lambda.ms, NEVER).min(axis=1)
    usd = np.where(fits, facts.on_lambda.usd, np.inf).min(axis=1)
    whole = np.bincount(of_task, np.where(some, usd, 0.0), count)
    found.append(LambdaPlan(rest, mean(np.where(some, took, 0)), whole))
    return found


def _pair_weights(
    facts: Facts, of_task: Ints, count: int, pairs: Sequence[int], *, out: bool
) -> Floats:
    rows = facts.pairs.out_of if out else facts.pairs.into
    weight = facts.pairs.weight if out else np.ones(len(rows.entries))
    task = rows.owners()
    found = np.zeros((len(pairs), count))
    for row, pair in enumerate(pairs):
        of_it = rows.entries == pair
        found[row] = np.bincount(of_task[task[of_it]], weight[of_it], count)
    return found
