"""A schedule file as the checker reads it: fields of the right kind, times in milliseconds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.checker.model import Line


@dataclass(frozen=True)
class Row:
    """A task of the schedule; times in milliseconds."""

    id: str
    platform: str
    worker: str
    start: int
    end: int
    startup: int
    transfer: int
    compute: int
    cores: int
    memory_bytes: int
    usd: Decimal


@dataclass(frozen=True)
class Worker:
    """A node or a Lambda environment of the schedule; times in milliseconds."""

    id: str
    platform: str
    type: str
    vcpus: float
    memory_bytes: int
    launch: int
    ready: int
    release: int
    usd: Decimal


@dataclass(frozen=True)
class Schedule:
    """What a schedule file says."""

    rows: tuple[Row, ...]
    workers: tuple[Worker, ...]
    other: tuple[Line, ...]
    makespan_ms: int
    cost_usd: Decimal


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("is not text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("is not a number")
    return value


def _whole(value: Any) -> int:
    if _number(value) != int(value):
        raise ValueError("is not a whole number")
    return int(value)


def _time(value: Any) -> int:
    exact = _number(value) * 1000
    if abs(exact - round(exact)) > 1e-4:
        raise ValueError("is not in whole milliseconds")
    return round(exact)


def _money(value: Any) -> Decimal:
    try:
        amount = Decimal(_text(value))
    except InvalidOperation as error:
        raise ValueError("is not a decimal number") from error
    if not amount.is_finite() or amount < 0:
        raise ValueError("is not an amount")
    return amount


_TASK = {
    "id": _text,
    "platform": _text,
    "worker": _text,
    "start_s": _time,
    "end_s": _time,
    "startup_s": _time,
    "transfer_s": _time,
    "compute_s": _time,
    "cores": _whole,
    "memory_bytes": _whole,
    "usd": _money,
}
_WORKER = {
    "id": _text,
    "platform": _text,
    "type": _text,
    "vcpus": _number,
    "memory_bytes": _whole,
    "launch_s": _time,
    "ready_s": _time,
    "release_s": _time,
    "usd": _money,
}
_OTHER = {"what": _text, "quantity": _money, "unit": _text, "unit_usd": _money, "usd": _money}
_TOTALS = {"makespan_s": _time, "cost_usd": _money}


def read_schedule(data: Mapping[str, Any], problems: list[str]) -> Schedule | None:
    tasks = _read_rows(data, "tasks", _TASK, problems)
    workers = _read_rows(data, "workers", _WORKER, problems)
    other = _read_rows(data, "other", _OTHER, problems)
    totals = _read_fields(data, "the schedule", _TOTALS, problems)
    if problems:
        return None
    return Schedule(
        tuple(Row(*values) for values in tasks),
        tuple(Worker(*values) for values in workers),
        tuple(Line(*values) for values in other),
        *totals,
    )


def _read_rows(
    data: Mapping[str, Any], part: str, fields: Mapping[str, Any], problems: list[str]
) -> list[list[Any]]:
    rows = data.get(part)
    if not isinstance(rows, list):
        problems.append(f'the schedule has no list "{part}"')
        return []
    found = []
    for place, row in enumerate(rows):
        if isinstance(row, dict):
            name = row.get("id", row.get("what", place))
            found.append(_read_fields(row, f'{part}: "{name}"', fields, problems))
        else:
            problems.append(f"{part}: entry {place} is not an object")
    return found


def _read_fields(
    row: Mapping[str, Any], where: str, fields: Mapping[str, Any], problems: list[str]
) -> list[Any]:
    values = []
    for field, read in fields.items():
        if field not in row:
            problems.append(f"{where} has no {field}")
            continue
        try:
            values.append(read(row[field]))
        except (TypeError, ValueError) as error:
            problems.append(f"{where}: {field} {row[field]!r} {error}")
    return values
