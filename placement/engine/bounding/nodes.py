"""Node types, what their time is worth, and which of them a relaxation may take together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from placement.books import PlatformBook, PriceBook
from placement.engine.bounding.arrays import Ints, usd
from placement.workflow import Platform

_MIB = 1 << 20
_GIB = 1 << 30
_BYTES_PER_GB = 1_000_000_000
_MB_PER_GBIT = 125
# Types are one kind if their cores cost about the same or move about as much.
_USD_ALIKE = 0.03
_MB_ALIKE = 0.05


@dataclass(frozen=True, slots=True)
class NodeType:
    """A type on one platform; `usd_per_ms` is the instance and the least disk that it can have."""

    platform: Platform
    name: str
    vcpus: int
    memory_bytes: int
    core_mb_per_s: float
    usd_per_ms: float


@dataclass(frozen=True, slots=True)
class Weights:
    """What a core and a byte of memory are worth (USD/ms): no Ray node more than it costs."""

    core_usd_per_ms: float
    byte_usd_per_ms: float

    def yields(self, node: NodeType) -> float:
        """Return what a node is worth per USD that it costs; above 1 only on other platforms."""
        worth = node.vcpus * self.core_usd_per_ms + node.memory_bytes * self.byte_usd_per_ms
        return worth / node.usd_per_ms


def node_types(prices: PriceBook, book: PlatformBook, least_bytes: int) -> tuple[NodeType, ...]:
    """Return all types; `least_bytes` lie on the disk of every node that is of use."""
    disk_gb = math.ceil(book.value("node_image_gb") + least_bytes / _BYTES_PER_GB)
    disk_usd_per_s = disk_gb * usd(prices.usd("ebs_gp3_gb_month") / prices.rule("month_s"))
    reserved = int(book.value("node_reserved_mb")) * _MIB
    found = []
    platforms: tuple[tuple[Platform, Sequence[str]], ...] = (
        ("ray", book.ray_types),
        ("hpc", book.hpc_types),
    )
    for platform, names in platforms:
        for name in names:
            has = book.instance(name)
            instance_usd_per_s = usd(prices.instance_usd_per_hour(name) / 3600)
            found.append(
                NodeType(
                    platform,
                    name,
                    has.vcpu,
                    int(has.memory_gib * _GIB) - reserved,
                    has.network_gbps * _MB_PER_GBIT / has.vcpu,
                    (instance_usd_per_s + disk_usd_per_s) / 1000,
                )
            )
    return tuple(found)


def resource_weights(
    types: Sequence[NodeType], compute_ms: Ints, cores: Ints, memory: Ints
) -> Weights:
    """Share out the price of nodes among cores and memory, to the most that the tasks can be worth.

    A linear program in two variables over the types of Ray (of all platforms where it has none).
    """
    taken = [each for each in types if each.platform == "ray"] or list(types)
    work_ms = np.maximum(1, compute_ms).astype(np.float64)
    total = np.array([(work_ms * cores).sum(), (work_ms * memory).sum() / _GIB])
    per_usd = np.array(
        [
            [each.vcpus / each.usd_per_ms, each.memory_bytes / _GIB / each.usd_per_ms]
            for each in taken
        ]
    )
    # In units in which both numbers are near 1, as the solver likes them.
    unit = per_usd.max(axis=0)
    solved = linprog(-total / unit / max(total / unit), per_usd / unit, np.ones(len(taken)))
    core, gib = np.maximum(0.0, solved.x) / unit
    found = Weights(float(core), float(gib) / _GIB)
    # The solver keeps its constraints to a tolerance only.
    excess = max(1.0, *(found.yields(each) for each in taken))
    return Weights(found.core_usd_per_ms / excess, found.byte_usd_per_ms / excess)


def alike(
    types: Sequence[NodeType], weights: Weights, thread_mb_per_s: float
) -> tuple[tuple[NodeType, ...], ...]:
    """Return the types as kinds, by platform; the first kind of each has the cheapest cores.

    Only a type that moves data faster than all cheaper ones begins a kind.
    """

    def speed(node: NodeType) -> float:
        return min(thread_mb_per_s, node.core_mb_per_s)

    kinds = []
    for platform in ("ray", "hpc"):
        of_it = [each for each in types if each.platform == platform]
        heads: list[tuple[float, float]] = []  # yield, and the speed up to which the kind goes
        for each in sorted(of_it, key=lambda node: (-weights.yields(node), node.name)):
            worth = weights.yields(each)
            if heads and speed(each) <= heads[-1][1]:
                continue
            near = heads and (
                worth > heads[-1][0] * (1 - _USD_ALIKE)
                or speed(each) < heads[-1][1] * (1 + _MB_ALIKE)
            )
            if near:
                heads[-1] = (heads[-1][0], speed(each))
            else:
                heads.append((worth, speed(each)))
        below = 0.0
        for _, fastest in heads:
            kinds.append(tuple(each for each in of_it if below < speed(each) <= fastest))
            below = fastest
    return tuple(kinds)
