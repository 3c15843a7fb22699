"""Why a billed amount differs from the measured one: exact parts, and what no part explains.

Notation: q is a quantity and c a cost, b of what was billed and m of what was measured; p is the
part of b that costs something, f the part that costs nothing; u is the measured unit price, or
that of p where nothing was measured. Then

    c_b - c_m = [c_p - q_p u] - q_f u + (q_b - q_m) u + adjustments + [q_m u - c_m].

The first bracket is rounding where it is as small as rounding can be, and another unit price
otherwise. The third term is shared out among the reasons that quantities differ for. Amounts are
kept to 12 decimals; what is lost by that is rounding, too, and the parts add up to the last digit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from billing.line import RESERVED
from billing.tally import EXACT, ZERO, Tally, exact_sum
from placement.account import USD_STEP, decimal_text

# AWS writes a line's cost with ten decimals, so a line may be off by half of the last.
LINE_ROUNDING_USD = Decimal("5e-11")
NANO_USD = Decimal("1e-9")
_NODES = "node-s"

type Reason = Literal[
    "adjustment",
    "free_tier",
    "held_by_no_job",
    "not_billed_yet",
    "not_measured",
    "other_price",
    "reservation",
    "rounding",
    "shared_hours",
]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a difference (billed less measured), its reason, and the facts behind it.

    `exact` says that the amount follows from the bill; if not, it is the most that the reason can
    account for.
    """

    reason: Reason
    usd: Decimal
    says: str
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """What Trivium measured of one kind; `unit_usd` is its price, the mean where it had several."""

    quantity: Decimal
    unit_usd: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else is known: what other runs of the same hours measured, and whether all is billed."""

    beside: Decimal
    complete: bool


def explain(
    billed: Tally, measured: Measured | None, known: Circumstances
) -> tuple[tuple[Part, ...], Decimal]:
    """Return the parts of a difference, and what is left of it unexplained.

    They add up exactly to what was billed less what was measured.
    """
    difference = EXACT.subtract(billed.usd, measured.usd if measured else ZERO)
    parts = [part for part in _parts(billed, measured, known) if part.usd]
    left = EXACT.subtract(difference, exact_sum(part.usd for part in parts))
    if left and abs(left) <= NANO_USD:
        before = exact_sum(part.usd for part in parts if part.reason == "rounding")
        parts = [part for part in parts if part.reason != "rounding"]
        parts.append(_rounding(EXACT.add(before, left)))
        left = ZERO
    return tuple(part for part in parts if part.usd), left


def _parts(billed: Tally, measured: Measured | None, known: Circumstances) -> Iterator[Part]:
    for line_type, usd in sorted(billed.adjustments.items()):
        yield Part("adjustment", usd, f"{line_type} lines")
    if measured is None and not billed.kind.measurable:
        yield Part("not_measured", billed.paid.usd, "no item of a report is about it")
        return
    unit_usd = _unit_usd(billed, measured)
    for line_type, quantity in sorted(billed.free.items()):
        yield _free(line_type, quantity, unit_usd, billed.kind.unit)
    if billed.paid.quantity:
        yield _other_price(billed, unit_usd)
    more = EXACT.subtract(billed.quantity, measured.quantity if measured else ZERO)
    yield from _other_quantity(more, unit_usd, billed.kind.unit, known)


def _unit_usd(billed: Tally, measured: Measured | None) -> Decimal:
    if measured is not None and measured.quantity:
        return measured.unit_usd
    paid = billed.paid
    return EXACT.divide(paid.usd, paid.quantity) if paid.quantity else ZERO


def _free(line_type: str, quantity: Decimal, unit_usd: Decimal, unit: str) -> Part:
    reason: Reason = "reservation" if line_type == RESERVED else "free_tier"
    says = f"{decimal_text(quantity)} {unit} at no cost"
    return Part(reason, -_product(quantity, unit_usd), says)


def _other_price(billed: Tally, unit_usd: Decimal) -> Part:
    """Return what the lines cost more than at the measured price, which may be just rounding."""
    paid = billed.paid
    off = _rounded(EXACT.subtract(paid.usd, EXACT.multiply(paid.quantity, unit_usd)))
    if abs(off) <= LINE_ROUNDING_USD * billed.paid_lines + NANO_USD:
        return _rounding(off)
    each = EXACT.divide(paid.usd, paid.quantity)
    says = f"billed at ${_price(each)} a {billed.kind.unit}, measured at ${_price(unit_usd)}"
    return Part("other_price", off, says)


def _rounding(usd: Decimal) -> Part:
    return Part("rounding", usd, "each amount is rounded at its last decimal")


def _other_quantity(
    more: Decimal, unit_usd: Decimal, unit: str, known: Circumstances
) -> Iterator[Part]:
    """Share out a difference of quantities: `more` was billed than was measured, or less."""
    if more < 0:
        if not known.complete:
            says = "the export ends within 24 hours after the run"
            yield Part("not_billed_yet", _product(more, unit_usd), says, exact=False)
        return
    shared = min(more, known.beside)
    says = f"they measured {decimal_text(known.beside)} {unit}"
    yield Part("shared_hours", _product(shared, unit_usd), says, exact=False)
    if unit == _NODES:
        rest = EXACT.subtract(more, shared)
        says = f"for {decimal_text(rest)} {unit}"
        yield Part("held_by_no_job", _product(rest, unit_usd), says)


def _product(quantity: Decimal, unit_usd: Decimal) -> Decimal:
    return _rounded(EXACT.multiply(quantity, unit_usd))


def _rounded(usd: Decimal) -> Decimal:
    return usd.quantize(USD_STEP, rounding=ROUND_HALF_EVEN, context=EXACT)


def _price(unit_usd: Decimal) -> str:
    """Return a unit price to twelve decimals, as a person writes it."""
    return decimal_text(_rounded(unit_usd))
