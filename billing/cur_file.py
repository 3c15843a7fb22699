"""Reads Cost and Usage Reports line by line: CUR 2.0 as CSV, gzipped CSV or Parquet.

Money stays exact. In CSV a cost is the text that AWS wrote. In Parquet it is a double, which is
taken as the shortest decimal that stands for it: what AWS wrote, up to 15 digits.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

from billing.cur_csv import GZIP_MAGIC, csv_rows
from billing.cur_parquet import PARQUET_MAGIC, parquet_rows
from billing.line import BilledLine, tag_key
from placement.errors import UserError

CURRENCY = "USD"
_MAGIC_BYTES = 4
# Powers of ten that quantities and costs begin with, and how long they are written: within these,
# sums are exact.
_SENSIBLE = range(-30, 19)
_DIGITS = 60
_NOT_BLANK = ("line_item_line_item_type", "line_item_usage_account_id")


def read_lines(paths: Iterable[Path]) -> Iterator[BilledLine]:
    """Give the lines of the files of one export, one after another.

    Raises:
        UserError: a file cannot be read, is no CUR 2.0, lacks a column, is cut off, or has a line
            that makes no sense or is not in USD.

    """
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise UserError(f"{path} is named twice; its lines would count twice.")
        seen.add(path.resolve())
        for number, row in _rows(path):
            yield _line(path, number, row)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Give the rows of a file with their numbers, by what the file begins with."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; --cur takes a file of the export.")
    try:
        with path.open("rb") as file:
            begin = file.read(_MAGIC_BYTES)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    if begin == PARQUET_MAGIC:
        return parquet_rows(path)
    return csv_rows(path, gzipped=begin.startswith(GZIP_MAGIC))


def _line(path: Path, number: int, row: Mapping[str, Any]) -> BilledLine:
    try:
        return _parsed(row)
    except (ValueError, InvalidOperation) as error:
        raise UserError(f"{path}, line {number}: {error}.") from error


def _parsed(values: Mapping[str, Any]) -> BilledLine:
    currency = _text(values["line_item_currency_code"])
    if currency != CURRENCY:
        raise ValueError(f"it is in {currency or 'no currency'}; Trivium counts in {CURRENCY} only")
    for name in _NOT_BLANK:
        if not _text(values[name]):
            raise ValueError(f"{name} is empty")
    start = _moment(values, "line_item_usage_start_date")
    end = _moment(values, "line_item_usage_end_date")
    if end < start:
        raise ValueError("line_item_usage_end_date is before line_item_usage_start_date")
    return BilledLine(
        account=_text(values["line_item_usage_account_id"]),
        region=_text(values["product_region_code"]),
        line_type=_text(values["line_item_line_item_type"]),
        start=start,
        end=end,
        product=_text(values["line_item_product_code"]),
        usage_type=_text(values["line_item_usage_type"]),
        resource=_text(values["line_item_resource_id"]),
        quantity=_number(values, "line_item_usage_amount", blank=Decimal(0)),
        unit=_text(values["pricing_unit"]),
        usd=_number(values, "line_item_unblended_cost"),
        tags=_tags(values["resource_tags"]),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(values: Mapping[str, Any], name: str, blank: Decimal | None = None) -> Decimal:
    value = values[name]
    if value is None or value == "":
        if blank is None:
            raise ValueError(f"{name} is empty")
        return blank
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        raise ValueError(f"{name} is {str(value)!r}, which is no number") from None
    if not number.is_finite() or number.adjusted() not in _SENSIBLE or len(str(number)) > _DIGITS:
        raise ValueError(f"{name} is {value}, which is no amount")
    return number


def _moment(values: Mapping[str, Any], name: str) -> datetime:
    """Return a moment; AWS writes UTC, with or without saying so."""
    value = values[name]
    if not isinstance(value, datetime):
        try:
            value = datetime.fromisoformat(_text(value))
        except ValueError:
            raise ValueError(f"{name} is {_text(value)!r}, which is no moment") from None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _tags(value: Any) -> Mapping[str, str]:
    """Return a map column: an object as JSON in CSV, pairs in Parquet."""
    if not value:
        return {}
    return _tags_of_text(value) if isinstance(value, str) else _tag_map(value)


@lru_cache(maxsize=1024)
def _tags_of_text(text: str) -> Mapping[str, str]:
    """Return the tags of a text; a resource has the same in every hour."""
    try:
        return _tag_map(json.loads(text))
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"resource_tags is {text!r}, which is no JSON") from None


def _tag_map(value: Any) -> Mapping[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        return {tag_key(str(key)): _text(written) for key, written in pairs}
    except (TypeError, ValueError):
        raise ValueError("resource_tags is no map") from None
