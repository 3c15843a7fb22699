"""The report as one self-contained page: no script, no network, for screen, phone and paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reporting.beside import beside, cluster_rows
from reporting.calibrated import estimate_errors
from reporting.comparing import waterfall
from reporting.comparing.from_report import outcome_of_report
from reporting.comparing.front import Plot, Point, judged, plot
from reporting.report import Amount, Item, OtherPlan, Report, Step
from reporting.text import (
    book_texts,
    change_text,
    chosen_by_usd,
    comparisons,
    head_off_texts,
    headline,
    judgement,
    machine_text,
    number_text,
    placed_text,
    plain,
    run_decimals,
    score_text,
    seconds_text,
    size_text,
    up_anyway_text,
    usd_text,
)
from reporting.timeline import HEIGHT, HEIGHTS, WORDS, timeline

TEMPLATES = Path(__file__).parent / "templates"
# Amounts of single items are shown with all the decimals that the account keeps.
MAX_ITEM_DECIMALS = 12
# Longer lists of placements that lost start folded.
MAX_OPEN_REJECTED = 6


@dataclass(frozen=True)
class ItemGroup:
    """The items of one step, or the shared ones, and their sum."""

    name: str
    items: tuple[Item, ...]
    usd: Decimal


@dataclass(frozen=True)
class Pair:
    """One estimate beside what was measured; the bars' lengths in percent of the longest."""

    estimate: str
    measured: str
    change: str | None
    estimate_percent: float
    measured_percent: float


@dataclass(frozen=True)
class PairRow:
    """Time and cost of one step or of the whole run."""

    name: str
    seconds: Pair
    usd: Pair


def render(report: Report) -> str:
    """Write the page. Everything that comes from the report is escaped."""
    groups = [ItemGroup(step.step, step.items, step.measured.usd) for step in report.steps]
    sums = beside(report)
    groups.append(ItemGroup("Clusters beside the steps", report.shared_items, sums.clusters_usd))
    groups.append(ItemGroup("Orchestration", report.other_items, sums.orchestration_usd))
    decimals, rounded = _item_decimals(groups)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            headline=headline(report),
            judgement=judgement(report),
            decimals=run_decimals(report),
            task_count=sum(step.tasks for step in report.steps),
            beside=sums,
            cluster_rows=cluster_rows(report),
            up_anyway=up_anyway_text(report),
            heads_off=head_off_texts(report),
            chosen_by_usd=chosen_by_usd(report),
            groups=[group for group in groups if group.items],
            item_decimals=decimals,
            items_rounded=rounded,
            timeline=timeline(report),
            kinds=[(kind, WORDS[kind], HEIGHTS[kind]) for kind in WORDS],
            row_height=HEIGHT,
            pairs=_pairs(report),
            errors=estimate_errors(report),
            comparisons=comparisons(report),
            bars=waterfall.of_outcome(outcome_of_report(report)),
            plot=_plot(report),
            retried=[step for step in report.steps if _has_a_story(step)],
            max_open_rejected=MAX_OPEN_REJECTED,
            machine=machine_text(report),
            books=book_texts(report),
            score=score_text(report),
        )
    )


def _plot(report: Report) -> Plot | None:
    """Return this plan's estimate among the others', by what each placement costs itself."""
    usd = chosen_by_usd(report)
    if report.estimate is None or usd is None:
        return None
    own = Point(f"{report.policy} (this plan)", report.estimate.seconds, usd, "chosen")
    others = [
        Point(other.policy, other.seconds, other.usd - other.up_anyway_usd)
        for other in report.alternatives
        if isinstance(other, OtherPlan)
    ]
    return plot(judged([own, *others]), run_decimals(report))


def environment() -> Environment:
    """Return what pages are made with: all that is printed is escaped and on one line."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_control_characters,
    )
    environment.filters |= {
        "seconds": seconds_text,
        "usd": usd_text,
        "number": number_text,
        "size": size_text,
        "placed": placed_text,
        "when": _when_text,
    }
    return environment


def _without_control_characters(value: object) -> object:
    """Clean what the template prints, but not the markup that its own macros made."""
    return plain(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _when_text(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "not yet"


def _item_decimals(groups: Sequence[ItemGroup]) -> tuple[int, bool]:
    """Decimals that show every item exactly, so that a reader can add them up, and if it cannot."""
    needed = [6]
    for group in groups:
        for item in group.items:
            exponent = item.usd.normalize().as_tuple().exponent
            assert isinstance(exponent, int)  # parsing admits neither NaN nor infinity
            needed.append(-exponent)
    return min(max(needed), MAX_ITEM_DECIMALS), max(needed) > MAX_ITEM_DECIMALS


def _has_a_story(step: Step) -> bool:
    return any(attempt.outcome in ("failed", "replaced") for attempt in step.attempts)


def _pairs(report: Report) -> list[PairRow]:
    """Each step and the whole run, time and cost, each on one scale."""
    rows = [
        (step.step, step.estimate, step.measured.wall_s, step.measured.usd) for step in report.steps
    ]
    rows.append(("whole run", report.estimate, report.measured.seconds, report.measured.usd))
    most_s = max(
        max(seconds, estimate.seconds if estimate else 0) for _, estimate, seconds, _ in rows
    )
    most_usd = max(max(usd, estimate.usd if estimate else usd) for _, estimate, _, usd in rows)
    decimals = run_decimals(report)
    return [
        PairRow(
            name,
            _seconds_pair(estimate, seconds, most_s),
            _usd_pair(estimate, usd, most_usd, decimals),
        )
        for name, estimate, seconds, usd in rows
    ]


def _seconds_pair(estimate: Amount | None, seconds: float, most_s: float) -> Pair:
    estimate_s = estimate.seconds if estimate else None
    return Pair(
        seconds_text(estimate_s),
        seconds_text(seconds),
        change_text(seconds, estimate_s) if estimate_s is not None else None,
        _percent(estimate_s or 0, most_s),
        _percent(seconds, most_s),
    )


def _usd_pair(estimate: Amount | None, usd: Decimal, most_usd: Decimal, decimals: int) -> Pair:
    estimate_usd = estimate.usd if estimate else None
    return Pair(
        usd_text(estimate_usd, decimals),
        usd_text(usd, decimals),
        change_text(usd, estimate_usd) if estimate_usd is not None else None,
        _percent(estimate_usd or Decimal(0), most_usd),
        _percent(usd, most_usd),
    )


def _percent(value: float | Decimal, most: float | Decimal) -> float:
    return round(float(value) / float(most) * 100, 2) if most else 0.0
