"""A price book, and what refreshing it changed, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from placement.account import decimal_text
from placement.books import BookStamp, Figure, PriceBook
from placement.price_list.refresh import Change, Kept, Refreshed

_ARROW = "\N{RIGHTWARDS ARROW}"


def age_text(stamp: BookStamp, today: date) -> str:
    """Return a book's age in words; a date that names no day has none that is known."""
    days = age_days(stamp, today)
    if days is None:
        return "of unknown age"
    return f"{days} day old" if days == 1 else f"{days} days old"


def age_days(stamp: BookStamp, today: date) -> int | None:
    """Return how many days ago the book's date was; None: it names no day."""
    try:
        return (today - date.fromisoformat(stamp.date)).days
    except ValueError:
        return None


def price_table(book: PriceBook, today: date, contains: str = "") -> RenderableType:
    """Lay out a book: its age, every figure and instance type whose name contains a text."""
    figures = _having(book.figures, contains)
    instances = _having(book.instances, contains)
    parts: list[RenderableType] = [Text(_headline(book.stamp, today), style="bold")]
    if figures:
        parts += [Text(), _figure_rows(figures)]
    if instances:
        parts += [Text(), _instance_rows(instances)]
    if not figures and not instances:
        parts.append(Text(f'Nothing in it has a name with "{contains}" in it.'))
    return Group(*parts, *_notes(book, [*figures.values(), *instances.values()]))


def price_json(book: PriceBook, today: date, contains: str = "") -> dict[str, Any]:
    """Return what the table shows; prices are decimal strings."""
    return {
        "name": book.stamp.name,
        "region": book.stamp.region,
        "date": book.stamp.date,
        "age_days": age_days(book.stamp, today),
        "sources": dict(book.sources),
        "figures": _figures_json(_having(book.figures, contains)),
        "instances": _figures_json(_having(book.instances, contains)),
    }


def refresh_table(result: Refreshed) -> RenderableType:
    """Lay out what a refresh changed, and what stays as it was and why."""
    stamp = result.book.stamp
    parts: list[RenderableType] = [
        Text(f"{_stamp(result.old)} {_ARROW} {_stamp(stamp)}", style="bold"),
        Text(f"{len(result.changed)} changed, {result.unchanged} unchanged."),
    ]
    if result.changed:
        parts += [Text(), _changes(result.changed)]
    if result.kept:
        parts += [Text(), Text("Kept as they were:"), _kept(result.kept)]
    return Group(*parts)


def refresh_json(result: Refreshed) -> dict[str, Any]:
    """Return what a refresh changed; prices are decimal strings."""
    return {
        "old": _stamp_json(result.old),
        "new": _stamp_json(result.book.stamp),
        "changed": [
            {
                "name": each.name,
                "old": _figure_json(each.old),
                "new": _figure_json(each.new),
                "percent": _percent(each.old.value, each.new.value),
            }
            for each in result.changed
        ],
        "unchanged": result.unchanged,
        "kept": [
            {"name": each.name, "why": each.why, **_figure_json(each.figure)}
            for each in result.kept
        ],
    }


def _headline(stamp: BookStamp, today: date) -> str:
    return f"Prices of {stamp.region}: {stamp.name}, {stamp.date}, {age_text(stamp, today)}."


def _figure_rows(figures: Mapping[str, Figure]) -> Table:
    """Lay out figures: each with its tiers, and below them where it comes from."""
    table = _plain_table()
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit, source and date")
    for name, figure in figures.items():
        table.add_row(name, decimal_text(figure.value), figure.unit)
        for tier in figure.tiers:
            table.add_row("", decimal_text(tier.usd), f"above {tier.above:,f} a month")
        table.add_row("", "", Text(_origin_text(figure), style="dim"))
    return table


def _origin_text(figure: Figure) -> str:
    source = f"assumed: {figure.source}" if figure.assumed else figure.source
    return f"{source}, {figure.date}" if figure.date else source


def _instance_rows(instances: Mapping[str, Figure]) -> Table:
    table = _plain_table()
    table.add_column("instance type", no_wrap=True)
    table.add_column("USD/h", justify="right", no_wrap=True)
    table.add_column("source and date")
    for name, figure in instances.items():
        table.add_row(name, decimal_text(figure.value), _origin_text(figure))
    return table


def _notes(book: PriceBook, shown: Iterable[Figure]) -> Iterator[RenderableType]:
    """Give what the short names of the sources that are shown stand for."""
    texts = [each.source for each in shown]
    named = {
        name: text for name, text in book.sources.items() if any(name in each for each in texts)
    }
    if named:
        yield Text()
    for name, text in named.items():
        yield Text(f"{name}: {text}")


def _changes(changes: Iterable[Change]) -> Table:
    table = _plain_table()
    table.add_column("price", no_wrap=True)
    for heading in ("old", "new", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit")
    for each in changes:
        table.add_row(
            each.name,
            decimal_text(each.old.value),
            decimal_text(each.new.value),
            "tiers" if each.old.value == each.new.value else _percent_text(each),
            each.new.unit,
        )
    return table


def _kept(kept: Iterable[Kept]) -> Table:
    table = _plain_table()
    table.add_column("price", no_wrap=True)
    table.add_column("USD", justify="right", no_wrap=True)
    table.add_column("source and date, and why")
    for each in kept:
        text = f"{_origin_text(each.figure)}: {each.why}"
        table.add_row(each.name, decimal_text(each.figure.value), text)
    return table


def _plain_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _percent_text(change: Change) -> str:
    percent = _percent(change.old.value, change.new.value)
    return "" if percent is None else f"{Decimal(percent):+f} %"


def _percent(old: Decimal, new: Decimal) -> str | None:
    """Return a change in percent to one decimal; None: from nothing."""
    return None if not old else f"{(new - old) / old * 100:.1f}"


def _having(figures: Mapping[str, Figure], contains: str) -> dict[str, Figure]:
    return {name: each for name, each in figures.items() if contains in name}


def _stamp(stamp: BookStamp) -> str:
    return f"{stamp.name} ({stamp.date})"


def _stamp_json(stamp: BookStamp) -> dict[str, str]:
    return {"name": stamp.name, "date": stamp.date, "region": stamp.region}


def _figures_json(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: _figure_json(each) for name, each in figures.items()}


def _figure_json(figure: Figure) -> dict[str, Any]:
    return {
        "value": decimal_text(figure.value),
        "unit": figure.unit,
        "source": figure.source,
        "date": figure.date,
        "assumed": figure.assumed,
        "tiers": [
            {"above": decimal_text(each.above), "value": decimal_text(each.usd)}
            for each in figure.tiers
        ],
    }
