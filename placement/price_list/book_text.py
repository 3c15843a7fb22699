"""A price book as the YAML text that `placement.books.load_price_book` reads."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal

from placement.account import decimal_text
from placement.books import Figure, PriceBook


def price_book_text(book: PriceBook) -> str:
    """Return a book as text; reading it gives the same book."""
    return "\n".join(
        [
            f"# Unit prices in {book.stamp.region}, each with its source and the date of that.",
            f"name: {_quoted(book.stamp.name)}",
            f"date: {_quoted(book.stamp.date)}",
            f"region: {_quoted(book.stamp.region)}",
            *_block("sources", {_quoted(name): _quoted(s) for name, s in book.sources.items()}),
            *_block("figures", {name: _figure(each) for name, each in book.figures.items()}),
            "instances:",
            *_instances(book.instances),
            "",
        ]
    )


def _block(name: str, values: Mapping[str, str], indent: str = "") -> Iterator[str]:
    """Give a mapping with a line for each of its values."""
    yield f"{indent}{name}:" if values else f"{indent}{name}: {{}}"
    for key, value in values.items():
        yield f"{indent}  {key}: {value}"


def _figure(figure: Figure) -> str:
    parts = {
        "value": decimal_text(figure.value),
        "unit": _quoted(figure.unit),
        "source": _quoted(figure.source),
        "date": _quoted(figure.date),
    }
    if figure.assumed:
        parts["assumed"] = "true"
    if figure.tiers:
        tiers = (_mapping(above=each.above, value=each.usd) for each in figure.tiers)
        parts["tiers"] = f"[{', '.join(tiers)}]"
    return "{" + ", ".join(f"{name}: {value}" for name, value in parts.items()) + "}"


def _instances(instances: Mapping[str, Figure]) -> Iterator[str]:
    """Give the block of instances: one source for most types, and those that stand apart."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, figure in instances.items():
        groups.setdefault((figure.source, figure.date), []).append(name)
    largest = max(groups, key=lambda key: len(groups[key]), default=("", ""))
    yield f"  source: {_quoted(largest[0])}"
    yield f"  date: {_quoted(largest[1])}"
    apart = {key: types for key, types in groups.items() if key != largest}
    yield "  apart:" if apart else "  apart: []"
    for (source, date), types in apart.items():
        yield (
            f"    - {{types: [{', '.join(types)}], source: {_quoted(source)}, "
            f"date: {_quoted(date)}}}"
        )
    hourly = {name: decimal_text(figure.value) for name, figure in instances.items()}
    yield from _block("usd_per_hour", hourly, "  ")


def _mapping(**values: Decimal) -> str:
    return "{" + ", ".join(f"{name}: {decimal_text(each)}" for name, each in values.items()) + "}"


def _quoted(text: str) -> str:
    """Return text in double quotes: JSON's are YAML's."""
    return json.dumps(text, ensure_ascii=False)
