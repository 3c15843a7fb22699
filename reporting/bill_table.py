"""A run's bill in a terminal: the sentence, and every item billed beside measured."""

from collections.abc import Iterator
from decimal import Decimal

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from billing.bill import Bill, LeftOut, Row
from billing.differences import Part
from reporting.bill_text import LEFT_OUT, REASONS, bill_headline, exact_usd, verb
from reporting.text import MISSING, number_text, plain

_SHOWN = Decimal("1e-6")


def bill_table(bill: Bill) -> RenderableType:
    """Lay out a bill: the sentence, the items with their reasons, and what was left out."""
    return Group(
        Text(bill_headline(bill), style="bold"),
        *(Text(note) for note in _notes(bill)),
        Text(),
        _items(bill),
        Text(),
        *(Text(line, style="dim") for line in _left_out(bill)),
    )


def _notes(bill: Bill) -> Iterator[str]:
    scope = bill.scope
    whose = f"stack {plain(scope.stack)}, account {plain(bill.account or 'unknown')}"
    span = f"{scope.start:%Y-%m-%d %H:%M} to {scope.end:%Y-%m-%d %H:%M} UTC"
    yield f"Billed by the hour: {whose}, {scope.region}, {span}."
    if not bill.complete:
        until = "has no usage" if bill.until is None else f"ends at {bill.until:%Y-%m-%d %H:%M} UTC"
        yield f"The export {until}, less than 24 hours after the run: more may be billed yet."
    if bill.beside:
        runs = "run" if len(bill.beside) == 1 else "runs"
        yield plain(f"In these hours ran, too: {runs} {', '.join(bill.beside)}.")


def _items(bill: Bill) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_footer=True)
    table.add_column("item, and what its difference is", "all", overflow="fold")
    for heading, usd in (
        ("billed", bill.billed_usd),
        ("measured", bill.measured_usd),
        ("difference", bill.difference_usd),
    ):
        table.add_column(heading, exact_usd(usd), justify="right", no_wrap=True)
    for row in bill.rows:
        _add(table, row)
    return table


def _add(table: Table, row: Row) -> None:
    """Add an item's costs, below them its quantities, and below these the difference in parts."""
    measured = row.measured
    table.add_row(
        Text(plain(row.kind.name)),
        exact_usd(row.billed.usd),
        exact_usd(measured.usd) if measured else MISSING,
        exact_usd(row.difference_usd),
    )
    table.add_row(
        Text(f"  {plain(row.kind.unit)}"),
        _quantity(row.billed.quantity),
        _quantity(measured.quantity) if measured else MISSING,
        "",
        style="dim",
    )
    for part in row.parts:
        table.add_row(_below(_reason(part)), "", "", exact_usd(part.usd))
    if row.unexplained_usd:
        table.add_row(_below("unexplained"), "", "", exact_usd(row.unexplained_usd), style="bold")


def _below(text: str) -> Padding:
    return Padding(Text(text), (0, 0, 0, 4))


def _reason(part: Part) -> str:
    return plain(f"{verb(exact=part.exact)} {REASONS[part.reason]}: {part.says}")


def _quantity(value: Decimal) -> str:
    """Write a quantity to the millionth, and a smaller one as it is."""
    return number_text(value if abs(value) < _SHOWN else round(value, 6))


def _left_out(bill: Bill) -> Iterator[str]:
    yield f"Of {_lines(bill.lines)} ({exact_usd(bill.lines_usd)}) were left out:"
    for each in bill.left_out:
        yield f"  {_left_out_text(each)}"
    if not bill.left_out:
        yield "  none"


def _left_out_text(each: LeftOut) -> str:
    return f"{_lines(each.lines)} ({exact_usd(each.usd)}) that {LEFT_OUT[each.reason]}"


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"
