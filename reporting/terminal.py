"""The report in a terminal: readable at 80 columns, without colour, and in a log."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reporting.beside import beside, cluster_rows
from reporting.calibrated import EstimateErrors, estimate_errors
from reporting.report import Report
from reporting.table import titled_table
from reporting.text import (
    attempt_texts,
    book_texts,
    chosen_by_usd,
    comparisons,
    head_off_texts,
    headline,
    judgement,
    machine_text,
    placed_text,
    plain,
    run_decimals,
    score_text,
    seconds_text,
    up_anyway_text,
    usd_text,
)


def placement_table(report: Report) -> RenderableType:
    """Lay out the report: placement, totals, alternatives, score, what the figures rest on."""
    parts: list[RenderableType] = [Text(headline(report)), Text(), _placements(report), Text()]
    stories = attempt_texts(report)
    if stories:
        parts += [*(Text(story) for story in stories), Text()]
    if report.shared_items or report.estimated_shared_items or report.not_known:
        parts += [_shared(report), Text()]
    errors = estimate_errors(report)
    if errors:
        parts += [_calibrated(errors), Text()]
    if report.alternatives:
        parts += [_alternatives(report), Text()]
    score = score_text(report)
    if score:
        parts.append(Text(f"Score: {score}."))
    parts.append(Text(machine_text(report)))
    parts += [Text(f"Book: {book}.") for book in book_texts(report)]
    return Group(*parts)


def _placements(report: Report) -> Table:
    decimals = run_decimals(report)
    table = titled_table("Placement", "step", "placed on")
    table.add_column("tasks", justify="right", no_wrap=True)
    for head in ("time\nestimate", "time\nmeasured", "cost\nestimate", "cost\nmeasured"):
        table.add_column(head, justify="right", no_wrap=True)
    for step in report.steps:
        estimate = step.estimate
        table.add_row(
            Text(plain(step.step)),
            Text(placed_text(step)),
            f"{step.tasks:,}",
            seconds_text(estimate.seconds if estimate else None),
            seconds_text(step.measured.wall_s),
            usd_text(estimate.usd if estimate else None, decimals),
            usd_text(step.measured.usd, decimals),
        )
    found = beside(report)
    rest = [("other", "orchestration", found.orchestration_estimate_usd, found.orchestration_usd)]
    if report.shared_items or report.estimated_shared_items:
        clusters = (found.clusters_estimate_usd, found.clusters_usd)
        rest.insert(0, ("clusters", "beside the steps", *clusters))
    for name, where, estimate_usd, usd in rest:
        amounts = (usd_text(estimate_usd, decimals), usd_text(usd, decimals))
        table.add_row(name, where, "", "", "", *amounts)
    table.add_section()
    estimate = report.estimate
    table.add_row(
        "whole run",
        "",
        f"{sum(step.tasks for step in report.steps):,}",
        seconds_text(estimate.seconds if estimate else None),
        seconds_text(report.measured.seconds),
        usd_text(estimate.usd if estimate else None, decimals),
        usd_text(report.measured.usd, decimals),
        style="bold",
    )
    return table


def _shared(report: Report) -> RenderableType:
    decimals = run_decimals(report)
    table = titled_table("The clusters beside the steps", "line", "platform")
    for head in ("cost\nestimate", "cost\nmeasured"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("measured, split\nby node-seconds", overflow="fold")
    rows = cluster_rows(report)
    for row in rows:
        split = [f"{plain(part.step)} {usd_text(part.usd, decimals)}" for part in row.split]
        table.add_row(
            Text(plain(row.what)),
            Text(plain(row.platform)),
            usd_text(row.estimate_usd, decimals),
            usd_text(row.measured_usd, decimals),
            Text(", ".join(split)),
        )
    notes = [Text(sentence) for sentence in head_off_texts(report)]
    notes += [Text(f"Not known of {plain(sentence)}") for sentence in report.not_known]
    said = up_anyway_text(report)
    return Group(*([table] if rows else []), *([Text(said)] if said else []), *notes)


def _calibrated(errors: EstimateErrors) -> RenderableType:
    table = titled_table("The estimate's error before and after calibration", "step")
    for head in ("measured", "by the book", "error", "calibrated", "error"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in errors.rows:
        table.add_row(
            Text(plain(row.name)),
            row.measured,
            row.by_book,
            row.error_before,
            row.calibrated,
            row.error_after,
        )
    notes = [Text(f"{plain(row.name)}: {plain(row.basis)}.") for row in errors.rows if row.basis]
    return Group(table, *notes, Text(plain(errors.sentence)))


def _alternatives(report: Report) -> RenderableType:
    table = titled_table("The same run placed otherwise (estimates only)", "policy")
    for head in ("time", "against\nplan", "cost", "against\nplan", "with what\nis up anyway"):
        table.add_column(head, justify="right", no_wrap=True)
    decimals = run_decimals(report)
    if report.estimate:
        table.add_row(
            Text(f"{plain(report.policy)} (this plan)"),
            seconds_text(report.estimate.seconds),
            "",
            usd_text(chosen_by_usd(report), decimals),
            "",
            usd_text(report.estimate.usd, decimals),
            style="bold",
        )
    notes = []
    for other in comparisons(report):
        changes = (other.seconds, other.seconds_change, other.usd, other.usd_change)
        table.add_row(Text(other.policy), *changes, other.whole_usd)
        if other.why_not:
            notes.append(Text(f"No plan under {other.policy}: {other.why_not.rstrip('. ')}."))
    said = judgement(report)
    return Group(table, *notes, *([Text(said)] if said else []))
