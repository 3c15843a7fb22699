"""Where money goes: bars from nothing to a cost, or from one cost to another, kind by kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from reporting.comparing.difference import Difference
from reporting.comparing.outcome import Outcome
from reporting.comparing.rows import kind_rows
from reporting.comparing.words import kind_text

type Sort = Literal["total", "part", "more", "less"]

# Kinds that do less than this for the picture are drawn as one.
_WORTH_A_BAR = Decimal("0.002")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: a whole, a part of one, or a signed change; where it lies in percent of the page."""

    label: str
    sort: Sort
    usd: Decimal
    from_percent: float
    width_percent: float


def of_outcome(outcome: Outcome) -> tuple[Bar, ...]:
    """Return what each kind of cost adds, the dearest first, and the whole."""
    parts = [(label, usd) for label, (usd,) in kind_rows([outcome])]
    return _bars(None, parts, "whole")


def of_difference(found: Difference, base: str, other: str) -> tuple[Bar, ...]:
    """Return what leads from one cost to the other, whatever saves or adds most first."""
    parts = [(kind_text(part.kind, part.service), part.usd) for part in found.kinds if part.usd]
    return _bars((base, found.base.usd), parts, other)


def _bars(
    base: tuple[str, Decimal] | None, parts: Iterable[tuple[str, Decimal]], last: str
) -> tuple[Bar, ...]:
    at = base[1] if base else Decimal(0)
    begun = [(base[0], Decimal(0), at)] if base else []
    changes, top = [], at
    for label, usd in _worth_drawing(list(parts), at):
        changes.append((label, at, at + usd))
        at += usd
        top = max(top, at)
    whole = top or Decimal(1)
    return (
        *(_bar(label, "total", low, high, whole) for label, low, high in begun),
        *(
            _bar(label, _sort(base is None, end - start), start, end, whole)
            for label, start, end in changes
        ),
        _bar(last, "total", Decimal(0), at, whole),
    )


def _worth_drawing(parts: list[tuple[str, Decimal]], base: Decimal) -> list[tuple[str, Decimal]]:
    """Keep what can be seen; the rest is one part, so that all add up still."""
    scale = max(base, sum((abs(usd) for _, usd in parts), Decimal(0)))
    kept = [part for part in parts if abs(part[1]) >= scale * _WORTH_A_BAR]
    rest = [part for part in parts if abs(part[1]) < scale * _WORTH_A_BAR]
    if len(rest) == 1:
        return [*kept, *rest]
    left = sum((usd for _, usd in rest), Decimal(0))
    return [*kept, (f"{len(rest)} smaller ones", left)] if rest else kept


def _sort(of_whole: bool, usd: Decimal) -> Sort:
    if of_whole:
        return "part"
    return "more" if usd >= 0 else "less"


def _bar(
    label: str,
    sort: Sort,
    start: Decimal,
    end: Decimal,
    whole: Decimal,
) -> Bar:
    low, high = sorted((start, end))
    return Bar(
        label,
        sort,
        end - start,
        round(float(low / whole) * 100, 3),
        round(float((high - low) / whole) * 100, 3),
    )
