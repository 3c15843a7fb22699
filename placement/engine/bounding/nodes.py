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
# Types are one kind if moving takes about as long on them: their difference is less than this part
# of computing, or more where there would be more kinds than that on a platform.
_MOVING_ALIKE = 0.005
_MOST_KINDS = 5


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
    types: Sequence[NodeType], weights: Weights, thread_mb_per_s: float, moved_mb_per_s: float
) -> tuple[tuple[NodeType, ...], ...]:
    """Return the types as kinds, by platform; the first kind of each has the cheapest cores.

    A kind counts as what is best of all its types, so only types that move data about equally fast
    may be one. `moved_mb_per_s` is what tasks move per second of computing: how much speed matters.
    """
    kinds: list[tuple[NodeType, ...]] = []
    for platform in ("ray", "hpc"):
        of_it = [each for each in types if each.platform == platform]
        apart = _MOVING_ALIKE
        bands = _bands(of_it, weights, thread_mb_per_s, apart / max(1e-9, moved_mb_per_s))
        while len(bands) > _MOST_KINDS:
            apart *= 2
            bands = _bands(of_it, weights, thread_mb_per_s, apart / max(1e-9, moved_mb_per_s))
        bands.sort(key=lambda band: (-max(map(weights.yields, band)), band[0].name))
        kinds += map(tuple, bands)
    return tuple(kinds)


def _bands(
    types: Sequence[NodeType], weights: Weights, thread_mb_per_s: float, apart: float
) -> list[list[NodeType]]:
    """Put types together whose seconds per MB differ by at most `apart`.

    A type that another one outdoes in speed, yield and price of the whole node is put beside that
    one: what a kind is taken for is no better by it.
    """

    def slowness(node: NodeType) -> float:
        return 1 / min(thread_mb_per_s, node.core_mb_per_s)

    def outdone(node: NodeType, by: NodeType) -> bool:
        return (
            slowness(by) <= slowness(node)
            and weights.yields(by) >= weights.yields(node)
            and by.usd_per_ms <= node.usd_per_ms
        )

    bands: list[list[NodeType]] = []
    for node in sorted(types, key=lambda node: (slowness(node), node.usd_per_ms, node.name)):
        above = [band for band in bands if any(outdone(node, by) for by in band)]
        if above:
            above[-1].append(node)
        elif bands and slowness(node) <= slowness(bands[-1][0]) + apart:
            bands[-1].append(node)
        else:
            bands.append([node])
    return bands
