"""Words for how one figure stands to another, the same wherever two are compared."""

from __future__ import annotations

import math
from decimal import Decimal

from reporting.text import change_text, usd_text

_DIGITS = 3  # of an amount inside a sentence
_TIMES = 2  # from so many times on, times are told as multiples
_SAME = 5e-4  # what would be written as 0.0 %


def share_text(value: float) -> str:
    """Write a share in percent: `0.4 %`, `31 %`, `>99 %`, `1,200 %`; only all of it is `100 %`."""
    percent = value * 100
    if 99.5 <= abs(percent) < 100:  # noqa: PLR2004  (rounded, it would claim to be all)
        return ">99 %"
    if abs(percent) >= 100:  # noqa: PLR2004  (two digits say how many times as much)
        return f"{float(f'{percent:.1e}'):,.0f} %"
    if 0 < abs(percent) < 0.05:  # noqa: PLR2004  (one decimal would show 0.0)
        return "<0.1 %"
    return f"{percent:.1f} %" if abs(percent) < 0.95 else f"{percent:.0f} %"  # noqa: PLR2004


def amount_text(usd: float | Decimal) -> str:
    """Write an amount of money to three digits, cents at least."""
    value = abs(float(usd))
    decimals = 2 if value >= 1 else min(9, _DIGITS - 1 - math.floor(math.log10(value or 1)))
    return usd_text(Decimal(str(usd)), decimals)


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def than(value: float | Decimal, base: float | Decimal, less: str, more: str) -> tuple[str, int]:
    """Return `31 % cheaper` and whether that is better; no words where there is no difference."""
    change = _change(value, base)
    if not change:
        return "", 0
    return f"{share_text(abs(change))} {less if change < 0 else more}", -1 if change > 0 else 1


def faster(value_s: float, base_s: float) -> tuple[str, int]:
    """Return `31 % faster`, from twice on `2.5 times as fast`, and whether that is better.

    A time that is 85 % shorter is 6.7 times as fast, which nobody reads out of a percentage.
    """
    slow, fast = value_s >= _TIMES * base_s > 0, base_s >= _TIMES * value_s > 0
    if not (slow or fast):
        return than(value_s, base_s, "faster", "slower")
    times = value_s / base_s if slow else base_s / value_s
    shown = f"{times:.2g}" if times < 10 else f"{times:,.0f}"  # noqa: PLR2004
    return f"{shown} times as {'slow' if slow else 'fast'}", -1 if slow else 1


def compared(cost: tuple[str, int], time: tuple[str, int], base: str) -> str:
    """Join two comparisons; each is its words (none: equal) and whether it is better (1, -1)."""
    (dear, cheap), (slow, fast) = cost, time
    if not dear and not slow:
        return f"as cheap and as fast as {base}"
    if not slow:
        return f"{dear} than {base} and as fast"
    if not dear:
        return f"{slow} {'as' if ' times as ' in slow else 'than'} {base} and as cheap"
    joint = "and" if cheap == fast else "but"
    if " times as " in slow:
        return f"{dear} than {base} {joint} {slow}"
    return f"{dear} {joint} {slow} than {base}"


def against_text(value: float | Decimal, base: float | Decimal) -> str:
    """Write `value` against `base` as a signed percentage; what no one would notice is `same`."""
    return "same" if _change(value, base) == 0 else change_text(value, base)


def _change(value: float | Decimal, base: float | Decimal) -> float:
    """Return by which share of `base` a value is above it; 0 where that would be written as 0."""
    change = float(value) / float(base) - 1 if base else 0.0
    return 0.0 if abs(change) < _SAME else change
