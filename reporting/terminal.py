"""The report in a terminal: readable at 80 columns, without colour, and in a log."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reporting.report import Report, shared_estimate_usd, shared_usd
from reporting.table import titled_table
from reporting.text import (
    attempt_texts,
    book_texts,
    comparisons,
    headline,
    judgement,
    machine_text,
    placed_text,
    plain,
    run_decimals,
    score_text,
    seconds_text,
    usd_text,
)


def placement_table(report: Report) -> RenderableType:
    """Lay out the report: placement, totals, alternatives, score, what the figures rest on."""
    parts: list[RenderableType] = [Text(headline(report)), Text(), _placements(report), Text()]
    stories = attempt_texts(report)
    if stories:
        parts += [*(Text(story) for story in stories), Text()]
    if report.shared_items or report.not_known:
        parts += [_shared(report), Text()]
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
    table.add_row(
        "other",
        "shared and idle",
        "",
        "",
        "",
        usd_text(shared_estimate_usd(report), decimals),
        usd_text(shared_usd(report), decimals),
        end_section=True,
    )
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
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("split by node-seconds", overflow="fold")
    for line in report.shared_items:
        split = [f"{plain(part.step)} {usd_text(part.usd, decimals)}" for part in line.split]
        table.add_row(
            Text(plain(line.what)),
            Text(plain(line.platform)),
            usd_text(line.usd, decimals),
            Text(", ".join(split)),
        )
    notes = [Text(f"Not known of {plain(sentence)}") for sentence in report.not_known]
    return Group(*([table] if report.shared_items else []), *notes)


def _alternatives(report: Report) -> RenderableType:
    table = titled_table("The same run placed otherwise (estimates only)", "policy")
    for head in ("time", "against plan", "cost", "against plan"):
        table.add_column(head, justify="right", no_wrap=True)
    if report.estimate:
        table.add_row(
            Text(f"{plain(report.policy)} (this plan)"),
            seconds_text(report.estimate.seconds),
            "",
            usd_text(report.estimate.usd, run_decimals(report)),
            "",
            style="bold",
        )
    notes = []
    for other in comparisons(report):
        table.add_row(
            Text(other.policy), other.seconds, other.seconds_change, other.usd, other.usd_change
        )
        if other.why_not:
            notes.append(Text(f"No plan under {other.policy}: {other.why_not.rstrip('. ')}."))
    said = judgement(report)
    return Group(table, *notes, *([Text(said)] if said else []))
