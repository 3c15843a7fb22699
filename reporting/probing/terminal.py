"""A probe in a terminal: a row for each step and place, then its account, then what it says."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reporting.probing.result import (
    ProbeResult,
    of_shards,
    spent_text,
    whole_compute_s,
)
from reporting.report import Item, Rejected, Report
from reporting.table import titled_table
from reporting.text import (
    MISSING,
    attempt_texts,
    book_texts,
    machine_text,
    number_text,
    plain,
    run_decimals,
    seconds_text,
    usd_text,
)


def probe_table(result: ProbeResult) -> RenderableType:
    """Lay out a probe: what it cost, its places, its account, what all of the input would take."""
    report = result.report
    parts: list[RenderableType] = [Text(headline(result)), Text(), _places(result), Text()]
    left_out = [_left_out(step.step, one) for step in report.steps for one in step.rejected]
    stories = [*attempt_texts(report), *left_out]
    if stories:
        parts += [*(Text(story) for story in stories), Text()]
    parts += [_account(report), Text()]
    parts += [Text(f"Not known of {plain(sentence)}") for sentence in report.not_known]
    whole = whole_text(result)
    parts += [Text(whole)] if whole else []
    parts.append(Text(machine_text(report)))
    parts += [Text(f"Book: {book}.") for book in book_texts(report)]
    return Group(*parts)


def headline(result: ProbeResult) -> str:
    """Say in a sentence what the probe cost and took."""
    report = result.report
    decimals = run_decimals(report)
    spent = usd_text(report.measured.usd, decimals)
    cost = f"{spent}, {spent_text(report.measured.usd, result.budget_usd)}"
    estimate = report.estimate
    expected = f"; the estimate was {usd_text(estimate.usd, decimals)}" if estimate else ""
    time = f"and {seconds_text(report.makespan_s)}"
    what = f"The probe of {plain(report.workflow)}"
    ended = f"{what} cost {cost}, {time}{expected}"
    if report.status == "succeeded":
        return f"{ended}."
    return f"{ended}. It failed: {plain((report.reason or '').rstrip('. '))}."


def whole_text(result: ProbeResult) -> str | None:
    """Say in a sentence what all of the input would take; None where no place did every step."""
    found = [f"{seconds_text(seconds)} on {name}" for name, seconds in whole_compute_s(result)]
    if not found:
        return None
    listed = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"
    return f"By these shards, computing all of the input would take about {listed}, task by task."


def _places(result: ProbeResult) -> Table:
    """Lay out a line for each step, and below it one for each of its places."""
    decimals = run_decimals(result.report)
    table = titled_table("", "step\n  place")
    for head in ("shards", "start-up", "transfer\nper shard", "computing\nper shard", "cost"):
        table.add_column(head, justify="right", no_wrap=True)
    for step in result.report.steps:
        table.add_row(Text(plain(step.step), style="bold"))
        for place in result.places_of(step):
            table.add_row(
                Text(f"  {place.name}"),
                str(len(place.shards)),
                seconds_text(place.attempt.measured.startup_s),
                _span([shard.transfer_s for shard in place.shards]),
                _span([shard.compute_s for shard in place.shards]),
                usd_text(place.attempt.usd, decimals),
            )
    return table


def _span(seconds: list[float]) -> str:
    least, most = (seconds_text(value) for value in of_shards(seconds))
    if not seconds:
        return MISSING
    return least if least == most else f"{least.removesuffix(' s')} to {most}"


def _account(report: Report) -> Table:
    decimals = run_decimals(report)
    table = titled_table("", "what it cost")
    for head in ("quantity", "unit price", "cost"):
        table.add_column(head, justify="right", no_wrap=True)
    lines = [(plain(step.step), item) for step in report.steps for item in step.items]
    lines += [("", item) for item in (*report.shared_items, *report.other_items)]
    for name, item in lines:
        table.add_row(Text(f"{name} {plain(item.what)}".strip()), *_amounts(item, decimals))
    table.add_section()
    table.add_row("the whole probe", "", "", usd_text(report.measured.usd, decimals), style="bold")
    return table


def _amounts(item: Item, decimals: int) -> tuple[str, str, str]:
    quantity = f"{number_text(round(item.quantity, 3))} {plain(item.unit)}"
    return quantity, f"${item.unit_usd.normalize():f}", usd_text(item.usd, decimals)


def _left_out(step: str, one: Rejected) -> str:
    return plain(f"{step} was not probed on {one.why.rstrip('. ')}.")
