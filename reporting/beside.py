"""What a run costs beside its steps: its clusters and its orchestration, estimated and measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from reporting.report import Item, Report, SplitUsd


@dataclass(frozen=True)
class ClusterRow:
    """One line of what a cluster costs beside the steps; None: not estimated, or not measured."""

    what: str
    platform: str
    estimate_usd: Decimal | None
    measured_usd: Decimal | None
    split: tuple[SplitUsd, ...]


@dataclass(frozen=True)
class Beside:
    """The sums (USD) of what belongs to no step; an estimate is None where there is none."""

    clusters_estimate_usd: Decimal | None
    clusters_usd: Decimal
    orchestration_estimate_usd: Decimal | None
    orchestration_usd: Decimal


def beside(report: Report) -> Beside:
    """Return the sums of what belongs to no step.

    A report that estimates nothing of its clusters, but measured it, has no estimate of either.
    """
    clusters_usd = _usd(report.shared_items)
    told = report.estimated_shared_items or not report.shared_items
    clusters_estimate_usd = _usd(report.estimated_shared_items) if told else None
    rest = _estimate_beside_steps(report)
    if rest is None or clusters_estimate_usd is None:
        return Beside(None, clusters_usd, rest, _usd(report.other_items))
    return Beside(
        clusters_estimate_usd,
        clusters_usd,
        rest - clusters_estimate_usd,
        _usd(report.other_items),
    )


def cluster_rows(report: Report) -> list[ClusterRow]:
    """Return each line of what the clusters cost beside the steps, the measured ones first."""
    estimated: dict[tuple[str, str], Decimal] = {}
    for line in report.estimated_shared_items:
        key = (line.platform, line.what)
        estimated[key] = estimated.get(key, Decimal(0)) + line.usd
    rows = []
    for item in report.shared_items:
        estimate_usd = estimated.pop((item.platform, item.what), None)
        rows.append(ClusterRow(item.what, item.platform, estimate_usd, item.usd, item.split))
    rows += [
        ClusterRow(what, platform, usd, None, ()) for (platform, what), usd in estimated.items()
    ]
    return rows


def up_anyway_usd(report: Report) -> Decimal:
    """Return the estimate of what is up whatever is placed where: warm nodes' idle time, heads."""
    return _usd(line for line in report.estimated_shared_items if line.up_anyway)


def _estimate_beside_steps(report: Report) -> Decimal | None:
    """Return the run's estimate less its steps' estimates; None where one of them is missing."""
    estimates = [step.estimate for step in report.steps]
    known = [estimate.usd for estimate in estimates if estimate is not None]
    if report.estimate is None or len(known) < len(estimates):
        return None
    return report.estimate.usd - sum(known, Decimal(0))


def _usd(items: Iterable[Item]) -> Decimal:
    return sum((item.usd for item in items), Decimal(0))
