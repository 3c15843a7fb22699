"""Leases of nodes: which can earn what they cost, at given prices of core time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from placement.engine.bounding.arrays import Floats, Ints
from placement.engine.bounding.facts import NodeKind
from placement.engine.bounding.nodes import Weights

# Families whose yields differ by less than this are taken as one, with the best of both.
_YIELDS_ALIKE = 0.005


@dataclass(frozen=True, slots=True)
class Grid:
    """Buckets of time: bucket k lies between bounds k and k + 1, in ms; all but the last are equal.

    `coarse` are the positions of the bounds at which prices on waiting may bend.
    """

    bounds: Floats
    step: float
    coarse: Ints

    @property
    def buckets(self) -> int:
        """How many there are."""
        return len(self.bounds) - 1

    @property
    def widths(self) -> Floats:
        """Their lengths in ms."""
        return np.diff(self.bounds)

    def summed(self, prices: Floats) -> Floats:
        """Return the integral of a price from the beginning to every bound."""
        return np.concatenate([[0.0], np.cumsum(prices * self.widths)])


@dataclass(frozen=True, slots=True)
class Family:
    """Node types of a kind that yield at most `yields` and may be leased for `longest_ms` at most.

    A longer lease of them alone costs more than the schedules that a bound has to be below.
    """

    yields: float
    longest_ms: float


@dataclass(frozen=True, slots=True)
class Supply:
    """A kind of nodes in a run with a deadline.

    `first_ms`: when the first can be ready. Tasks that bring much find their data on no node that
    has been ready for less than `aged_ms`.
    """

    kind: NodeKind
    families: tuple[Family, ...]
    first_ms: int
    aged_ms: float


def families_of(
    kind: NodeKind,
    weights: Weights,
    horizon_ms: float,
    dearest_usd: float,
) -> tuple[Family, ...]:
    """Return the families of a kind, the one with the longest leases and smallest yield first.

    No lease is longer than `horizon_ms` or costs more than `dearest_usd`.
    """
    found: list[Family] = []
    for node in kind.types:
        cost_ms = dearest_usd / node.usd_per_ms
        if cost_ms > kind.boot_ms:
            longest_ms = min(horizon_ms, cost_ms - kind.boot_ms)
            found.append(Family(weights.yields(node), longest_ms))
    # Of those that are left, each larger yield comes with shorter leases.
    found.sort(key=lambda family: (-family.longest_ms, -family.yields))
    merged: list[Family] = []
    for family in found:
        if merged and family.yields <= merged[-1].yields:
            continue
        if merged and family.yields <= merged[-1].yields * (1 + _YIELDS_ALIKE):
            merged[-1] = Family(family.yields, merged[-1].longest_ms)
        else:
            merged.append(family)
    return tuple(merged)


def affordable(
    grid: Grid,
    supply: Supply,
    fresh: Floats,
    aged: Floats,
    launch_ms: float = 0.0,
) -> float:
    """Return by what to multiply prices so that no lease earns more than it costs.

    `fresh` and `aged` are the prices per bucket of a core's time on a node that has been ready for
    less and for more than `aged_ms`; fresh <= aged. A core that costs 1 per ms is launched for
    `launch_ms` less.

    What a lease from a to b earns above its cost is linear in a and b as long as neither a, nor
    a + aged_ms, nor b, nor b - a - aged_ms changes its bucket or its sign. So it is largest where
    these meet bounds, and only there it has to be looked at.
    """
    bounds, until = grid.bounds, grid.bounds[-1]
    begins = np.unique(np.concatenate([bounds, bounds - supply.aged_ms, [float(supply.first_ms)]]))
    begins = begins[(begins >= supply.first_ms) & (begins <= until)]
    ends = np.unique(np.concatenate([bounds, begins + supply.aged_ms]))
    ends = ends[(ends <= until) & (ends >= supply.first_ms)]
    young, old = grid.summed(fresh), grid.summed(aged)
    a, b = begins[:, None], ends[None, :]
    turn = np.minimum(b, a + supply.aged_ms)
    earned = np.interp(turn, bounds, young) - np.interp(a, bounds, young)
    earned += np.interp(np.maximum(b, turn), bounds, old) - np.interp(turn, bounds, old)
    length = b - a
    scale = np.inf
    for family in supply.families:
        # A lease of just the longest length lies between two that are looked at.
        known = (length > 0) & (length <= family.longest_ms + 3 * grid.step) & (earned > 0)
        if known.any():
            cost = supply.kind.boot_ms + length[known] - family.yields * launch_ms
            scale = min(scale, float((cost / (family.yields * earned[known])).min()))
    return scale
