"""A comparison in a terminal: readable at 80 columns, without colour, and in a log."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reporting.change import against_text
from reporting.comparing.difference import Difference, StepDifference, difference, side_by_side
from reporting.comparing.outcome import Outcome
from reporting.comparing.rows import kind_rows, letter, where_text
from reporting.comparing.words import book_text, cautions, named, sentence
from reporting.table import titled_table
from reporting.text import MISSING, plan_decimals, seconds_text, short_names, usd_text

_MOST_COLUMNS = 4  # outcomes side by side in a table by step or kind


def compared_table(outcomes: Sequence[Outcome]) -> RenderableType:
    """Lay out the sentences, the totals, the cost by step and by kind, and what they rest on.

    Takes two outcomes at least; all stand beside the first.
    """
    base, *others = outcomes
    found = [difference(base, each) for each in others]
    shown, left_out = list(outcomes[:_MOST_COLUMNS]), outcomes[_MOST_COLUMNS:]
    decimals = plan_decimals(max(each.usd for each in outcomes))
    parts: list[RenderableType] = [Text(sentence(each), style="bold") for each in found]
    parts += [Text(), _totals(outcomes, decimals), Text()]
    parts += [_steps(found[: len(shown) - 1], shown, decimals), Text(), _kinds(shown, decimals)]
    if left_out:
        names = ", ".join(named(each, labels=False) for each in left_out)
        parts.append(Text(f"Not shown by step and kind: {names}. --csv, --json, --html have them."))
    parts += [Text(), *(Text(said) for said in cautions(outcomes))]
    books = dict.fromkeys(book_text(book) for each in outcomes for book in each.books)
    parts += [Text(f"Book: {book}.") for book in books]
    return Group(*parts)


def _totals(outcomes: Sequence[Outcome], decimals: int) -> Table:
    table = titled_table("", "", "", "figures")
    for head in ("time", "against A", "cost", "against A"):
        table.add_column(head, justify="right", no_wrap=True)
    base = outcomes[0]
    for position, each in enumerate(outcomes):
        first = position == 0
        table.add_row(
            letter(position),
            Text(named(each, labels=False)),
            each.basis,
            seconds_text(each.makespan_s),
            "" if first else against_text(each.makespan_s, base.makespan_s),
            usd_text(each.usd, decimals),
            "" if first else against_text(each.usd, base.usd),
        )
    return table


def _steps(found: Sequence[Difference], shown: Sequence[Outcome], decimals: int) -> Table:
    """Lay out what each step takes and costs, and where it is where that is not the same."""
    table = titled_table("By step", "step", "on")
    if len(shown) == 2:  # noqa: PLR2004  (of two there is room for the times)
        for position, each in enumerate(shown):
            _figures(table, f"{letter(position)} time", each)
    for position, each in enumerate(shown):
        _figures(table, f"{letter(position)} cost", each)
    rows = side_by_side(found)
    names = short_names([row[0].step for row in rows if row[0].step is not None])
    for name, row in zip((*names, "other"), rows, strict=True):
        table.add_row(Text(name), Text(where_text(row)), *_step_figures(row, len(shown), decimals))
    return table


def _step_figures(row: Sequence[StepDifference], columns: int, decimals: int) -> list[str]:
    first, *_ = row
    times = []
    if columns == 2:  # noqa: PLR2004  (see above)
        times = [seconds_text(x.elapsed_s if x else None) for x in (first.base, first.other)]
        times = ["", ""] if first.step is None else times
    costs = [(first.base, first.base_usd), *((each.other, each.other_usd) for each in row)]
    return times + [
        usd_text(usd, decimals) if step or usd or first.step is None else MISSING
        for step, usd in costs
    ]


def _kinds(shown: Sequence[Outcome], decimals: int) -> Table:
    table = titled_table("By kind of cost", "kind")
    for position, each in enumerate(shown):
        _figures(table, f"{letter(position)} cost", each)
    for label, amounts in kind_rows(shown):
        table.add_row(Text(label), *(usd_text(usd, decimals) for usd in amounts))
    table.add_section()
    table.add_row("whole", *(usd_text(each.usd, decimals) for each in shown), style="bold")
    return table


def _figures(table: Table, head: str, outcome: Outcome) -> None:
    table.add_column(f"{head}\n{outcome.basis}", justify="right", no_wrap=True)
