"""Whose the time of a cluster's nodes was: the jobs that ran on them, or nobody's.

Rule. At every moment each job has as many nodes as it was given. Where the jobs of a moment were
given more nodes than are up, because they run side by side on one node, all nodes that are up are
shared in proportion to the slots that the jobs use. Nodes that are up and have no job are idle. So
jobs and idle time add up to the time that the nodes were up, never to more.

Times are whole microseconds since the epoch, amounts whole node-microseconds, so that sums are
exact. A job's share depends on what ran beside it only, not on the window that is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from placement.apportion import apportion

_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """A job that was given `nodes`, and uses `slots` of them, from start to end."""

    job: str
    start_us: int
    end_us: int
    nodes: int
    slots: int


@dataclass(frozen=True, slots=True)
class Up:
    """So many nodes were seen from start to end: up, booting, and going down."""

    start_us: int
    end_us: int
    nodes: int
    booting: int = 0
    stopping: int = 0


@dataclass(frozen=True, slots=True)
class NodeUse:
    """Node-microseconds of a window, and for how long of it nobody said how many nodes were up."""

    by_job: Mapping[str, int]
    idle: int
    booting: int
    stopping: int
    unseen_us: int


def microseconds(seconds: float) -> int:
    """Return seconds as whole microseconds."""
    return round(seconds * _US_PER_S)


def node_seconds(amount_us: int) -> Decimal:
    """Return node-microseconds as exact node-seconds."""
    return Decimal(amount_us) / _US_PER_S


def node_use(held: Iterable[Held], up: Iterable[Up], window: tuple[int, int]) -> NodeUse:
    """Attribute all node time of a window, from its start to its end, by the rule above.

    While nobody says how many nodes are up, there are as many as the largest job was given. Where
    two spans of `up` overlap, the earlier one counts. O(n^2) in the jobs and spans of the window.
    """
    begin, end = window
    jobs = sorted(
        (one for one in held if max(one.start_us, begin) < min(one.end_us, end)),
        key=lambda one: (one.job, one.start_us),
    )
    spans = sorted(up, key=lambda one: (one.start_us, one.end_us))
    by_job = dict.fromkeys((one.job for one in jobs), 0)
    idle = booting = stopping = unseen_us = 0
    for start, stop in _segments([*jobs, *spans], begin, end):
        length = stop - start
        active = [one for one in jobs if one.start_us <= start < one.end_us]
        seen = next((one for one in spans if one.start_us <= start < one.end_us), None)
        for one, share in zip(active, _shares(active, seen, length), strict=True):
            by_job[one.job] += share
        if seen is None:
            unseen_us += length
        else:
            idle += max(0, seen.nodes - sum(one.nodes for one in active)) * length
            booting += seen.booting * length
            stopping += seen.stopping * length
    return NodeUse(by_job, idle, booting, stopping, unseen_us)


def _segments(spans: Sequence[Held | Up], begin: int, end: int) -> list[tuple[int, int]]:
    """Cut a window wherever something begins or ends."""
    edges = {begin, end}
    for span in spans:
        edges |= {edge for edge in (span.start_us, span.end_us) if begin < edge < end}
    return list(itertools.pairwise(sorted(edges)))


def _shares(active: Sequence[Held], seen: Up | None, length: int) -> list[int]:
    if not active:
        return []
    largest = max(one.nodes for one in active)
    there = largest if seen is None else max(seen.nodes, largest)
    if sum(one.nodes for one in active) <= there:
        return [one.nodes * length for one in active]
    return apportion(there * length, [one.slots for one in active])
