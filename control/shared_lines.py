"""What a run's clusters cost beside its steps: idle nodes, heads, disks, file systems.

Only a cluster on which the run had a job is in its account, from the run's start to its end. A line
is split over the run's steps in a column of its own, by their node-seconds on that cluster; what is
split is not part of what a step has cost.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from control.attempt_record import Attempt
from control.stack import Stack
from placement.account import Item, decimal_text, fsx_items, gp3_item, node_item
from placement.apportion import apportion
from placement.books import PriceBook
from placement.node_time import Held, NodeUse, Up, microseconds, node_seconds, node_use
from runtime.clock import now_s
from runtime.cluster_log import ClusterLog, NotedNodes, bridged

_PICO_USD = Decimal("1e-12")  # what an item's amount is rounded to

type Json = dict[str, Any]


@dataclass(frozen=True)
class SharedLine:
    """One line that belongs to no step, and how it is split over the steps."""

    kind: str
    platform: str
    item: Item
    split: Mapping[str, Decimal]

    def to_json(self) -> Json:
        """Return JSON values."""
        split = [
            {"step": step, "usd": decimal_text(usd)} for step, usd in sorted(self.split.items())
        ]
        return {"kind": self.kind, "platform": self.platform, **self.item.to_json(), "split": split}


@dataclass(frozen=True)
class HeadOff:
    """A head that was stopped while the run was on: what that saved, what was waited for it."""

    platform: str
    saved: Item
    waited_s: float

    def to_json(self) -> Json:
        """Return JSON values."""
        return {"platform": self.platform, **self.saved.to_json(), "waited_s": self.waited_s}


@dataclass(frozen=True)
class ClusterUse:
    """What the jobs of a run had of one cluster, and what else the cluster was up for."""

    platform: str
    node_us: Mapping[str, int]  # by job of this run
    whole: NodeUse  # all that happened from the run's start to its end
    spans: tuple[NotedNodes, ...]
    window_s: tuple[float, float]


def cluster_uses(
    stack: Stack, attempts: Iterable[Attempt], window_s: tuple[float, float]
) -> list[ClusterUse]:
    """Return the use of every cluster on which one of these attempts was a job, by platform."""
    by_platform: dict[str, list[str]] = {}
    for one in attempts:
        if one.platform != "lambda":
            by_platform.setdefault(one.platform, []).append(one.job)
    uses = [
        _cluster_use(stack, platform, frozenset(by_platform[platform]), window_s)
        for platform in sorted(by_platform)
    ]
    return [use for use in uses if use.node_us]


def _cluster_use(
    stack: Stack, platform: str, mine: frozenset[str], window_s: tuple[float, float]
) -> ClusterUse:
    log, at_s = ClusterLog(stack.ledger, platform), now_s()
    begin_s, end_s = window_s
    noted = log.jobs(begin_s, max(end_s, at_s))
    held = [one for job in noted for one in job.held(at_s)]
    spans = log.nodes(begin_s, max(end_s, at_s))
    up = bridged(spans)
    own = [one for one in held if one.job in mine]
    node_us = _own_use(own, held, up) if own else {}
    whole = node_use(held, up, (microseconds(begin_s), microseconds(end_s)))
    return ClusterUse(platform, node_us, whole, tuple(spans), window_s)


def _own_use(own: Sequence[Held], held: Sequence[Held], up: Sequence[Up]) -> dict[str, int]:
    """Return what each of these jobs had, over all of its life."""
    life = (min(one.start_us for one in own), max(one.end_us for one in own))
    use = node_use(held, up, life)
    return {one.job: use.by_job.get(one.job, 0) for one in own}


def shared_lines(
    prices: PriceBook, uses: Sequence[ClusterUse], attempts: Sequence[Attempt]
) -> list[SharedLine]:
    """Return all lines that belong to no step."""
    return [line for use in uses for line in _lines(prices, use, attempts)]


def _lines(prices: PriceBook, use: ClusterUse, attempts: Sequence[Attempt]) -> list[SharedLine]:
    if not use.spans:
        return []
    node_type, equipment = use.spans[-1].instance_type, use.spans[-1].equipment
    begin_s, end_s = use.window_s
    seen_us = microseconds(end_s) - microseconds(begin_s) - use.whole.unseen_us
    nodes = [
        ("idle", "idle", node_type, use.whole.idle),
        ("boot", "booting", node_type, use.whole.booting),
        ("scale-down", "stopping", node_type, use.whole.stopping),
    ]
    if equipment.head_type is not None:
        off_us = sum(end_us - start_us for start_us, end_us in _head_off(use))
        nodes.append(("head", "head", equipment.head_type, seen_us - off_us))
    found = [
        (kind, node_item(prices, f"{word} {name} nodes", name, amount))
        for kind, word, name, amount_us in nodes
        if (amount := node_seconds(amount_us))
    ]
    beside = use.whole.idle + use.whole.booting + use.whole.stopping
    disk_gb_us = (equipment.node_disk_gb or 0) * (sum(use.node_us.values()) + beside)
    disk_gb_us += (equipment.head_disk_gb or 0) * seen_us
    if disk_gb_us:
        found.append(("disk", gp3_item(prices, node_seconds(disk_gb_us))))
    shared = fsx_items(prices, equipment.file_system_gb or 0, seen_us / 1e6)
    found += [("file-system", item) for item in shared]
    return [_line(use, attempts, kind, item) for kind, item in found]


def _line(use: ClusterUse, attempts: Sequence[Attempt], kind: str, item: Item) -> SharedLine:
    weights: dict[str, int] = {}
    for one in attempts:
        if one.job in use.node_us:
            weights[one.step] = weights.get(one.step, 0) + use.node_us[one.job]
    return SharedLine(kind, use.platform, item, split_usd(item.usd, weights))


def heads_off(
    prices: PriceBook, uses: Sequence[ClusterUse], attempts: Sequence[Attempt]
) -> list[HeadOff]:
    """Return how long heads were stopped during the run, with what that saved and cost in waiting.

    A head was waited for from the run's first job for it, or from its stop, to its agent's word.
    """
    found = []
    for use in uses:
        spans = _head_off(use)
        head_type = use.spans[-1].equipment.head_type if use.spans else None
        if not spans or head_type is None:
            continue
        off_s = node_seconds(sum(end_us - start_us for start_us, end_us in spans))
        queued_s = min(one.queued_s for one in attempts if one.platform == use.platform)
        waited_s = sum(
            max(0.0, following.from_s - max(span.from_s, queued_s))
            for span, following in itertools.pairwise(use.spans)
            if span.head_off
        )
        saved = node_item(prices, f"head {head_type} nodes", head_type, off_s)
        found.append(HeadOff(use.platform, saved, round(waited_s, 3)))
    return found


def _head_off(use: ClusterUse) -> list[tuple[int, int]]:
    """Return when, within the run, the head was stopped, in microseconds."""
    begin_us, end_us = (microseconds(at_s) for at_s in use.window_s)
    spans = [
        (max(begin_us, microseconds(span.from_s)), min(end_us, microseconds(span.until_s)))
        for span in use.spans
        if span.head_off
    ]
    return [(start_us, stop_us) for start_us, stop_us in spans if start_us < stop_us]


def split_usd(usd: Decimal, weights: Mapping[str, int]) -> dict[str, Decimal]:
    """Split an amount in proportion to weights, exactly; without a weight, equally.

    By the largest remainder of a pico-dollar; of equal ones the first by name.
    """
    names = sorted(weights)
    numbers = [weights[name] for name in names]
    if not any(numbers):
        numbers = [1] * len(names)
    shares = apportion(int(usd / _PICO_USD), numbers)
    return {name: share * _PICO_USD for name, share in zip(names, shares, strict=True)}


def not_known(uses: Sequence[ClusterUse]) -> list[str]:
    """Say in sentences what these clusters cost beside the steps that nobody has told."""
    found = []
    for use in uses:
        if not use.spans:
            found.append(f"{use.platform}: no agent said how many nodes were up.")
            continue
        if use.whole.unseen_us:
            unseen_s = node_seconds(use.whole.unseen_us)
            found.append(
                f"{use.platform}: for {decimal_text(round(unseen_s, 1))} s no agent said how many "
                "nodes were up."
            )
        last = use.spans[-1]
        if last.booting_nodes is None or last.stopping_nodes is None:
            found.append(f"{use.platform}: this cluster does not tell of nodes that boot or stop.")
        untold = [
            name
            for name, told in (
                ("head node", last.equipment.head_type),
                ("disk", last.equipment.node_disk_gb),
                ("shared file system", last.equipment.file_system_gb),
            )
            if told is None
        ]
        if untold:
            found.append(f"{use.platform}: no {' and no '.join(untold)} of its own is known.")
    return found
