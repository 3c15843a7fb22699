"""What every account is made of: items that add up exactly, and volume tiers.

The same functions serve estimates and measurements. An item's `usd` is its quantity times its unit
price, rounded half to even to 12 decimals, so that a total is the exact sum of what is printed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Self

from placement.books import Tier

USD_STEP = Decimal("1e-12")
QUANTITY_STEP = Decimal("1e-9")
# Prices per second come from prices per hour or month; 15 decimals lose under 1 part in 10^7.
_UNIT_STEP = Decimal("1e-15")
# Enough digits that a product is exact before it is rounded, once.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an account: `quantity` of `unit`, at `unit_usd` each, makes `usd`."""

    what: str
    quantity: Decimal
    unit: str
    unit_usd: Decimal
    usd: Decimal

    def to_json(self) -> dict[str, str]:
        """Return the item with its numbers as plain decimal strings."""
        return {
            "what": self.what,
            "quantity": decimal_text(self.quantity),
            "unit": self.unit,
            "unit_usd": decimal_text(self.unit_usd),
            "usd": decimal_text(self.usd),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            data["what"],
            Decimal(data["quantity"]),
            data["unit"],
            Decimal(data["unit_usd"]),
            Decimal(data["usd"]),
        )


@dataclass(frozen=True, slots=True)
class Month:
    """What a month has used already of something that AWS adds up by month, in its unit.

    The first `free` of the month cost nothing; nothing is free unless a caller says so, because
    free tiers belong to an account, not to a run. What is free counts towards the volume tiers.
    """

    used: Decimal = _ZERO
    free: Decimal = _ZERO


NEW_MONTH = Month()


def item(what: str, quantity: Decimal | int, unit: str, unit_usd: Decimal) -> Item:
    """Make an item; the quantity is kept to 9 decimals, the unit price to 15."""
    amount = Decimal(quantity).quantize(QUANTITY_STEP, context=_EXACT)
    price = unit_usd.quantize(_UNIT_STEP, context=_EXACT)
    usd = _EXACT.multiply(amount, price).quantize(USD_STEP, context=_EXACT)
    return Item(what, amount, unit, price, usd)


def tiered_items(
    what: str,
    quantity: Decimal | int,
    unit: str,
    tiers: tuple[Tier, ...],
    month: Month = NEW_MONTH,
) -> tuple[Item, ...]:
    """Return one item for each volume tier that a quantity falls into, and one for what is free.

    `tiers` begin at 0 and rise. The items' quantities add up to the quantity, to 9 decimals.
    Where nothing is used and nothing falls above the first tier there is one item, even of zero.

    Raises:
        ValueError: a quantity is negative.

    """
    if quantity < 0 or month.used < 0 or month.free < 0:
        raise ValueError(f"{what}: a quantity is negative")
    if month == NEW_MONTH and (len(tiers) == 1 or quantity <= tiers[1].above):
        return (item(what, quantity, unit, tiers[0].usd),)
    begin = month.used.quantize(QUANTITY_STEP, context=_EXACT)
    end = _EXACT.add(begin, Decimal(quantity).quantize(QUANTITY_STEP, context=_EXACT))
    steps = _steps(tiers, month.free)
    found = []
    for step, after in zip(steps, (*steps[1:], None), strict=True):
        low = max(begin, step.above)
        high = end if after is None else min(end, after.above)
        if high > low:
            found.append(item(_named(what, unit, step, month), high - low, unit, step.usd))
    return tuple(found) or (item(what, 0, unit, steps[0].usd),)


def _steps(tiers: tuple[Tier, ...], free: Decimal) -> tuple[Tier, ...]:
    """Return the tiers with the free part as the first of them."""
    if not free:
        return tiers
    at_free = [tier for tier in tiers if tier.above <= free][-1]
    later = (tier for tier in tiers if tier.above > free)
    return (Tier(_ZERO, _ZERO), Tier(free, at_free.usd), *later)


def _named(what: str, unit: str, step: Tier, month: Month) -> str:
    if step.above < month.free:
        return f"{what} (free)"
    if step.above > month.free:
        return f"{what} above {step.above:,f} {unit}"
    return what


def total(items: Iterable[Item]) -> Decimal:
    """Return the exact sum of the items' `usd`."""
    return sum((each.usd for each in items), Decimal(0))


def merge_items(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the items with those of one name and price put together, in order of appearance.

    The sum of the amounts is kept: an amount is added up, not computed anew.
    """
    merged: dict[tuple[str, str, Decimal], Item] = {}
    for one in items:
        before = merged.get((one.what, one.unit, one.unit_usd))
        if before is not None:
            both = (before.quantity + one.quantity, one.unit, one.unit_usd, before.usd + one.usd)
            one = Item(one.what, *both)  # noqa: PLW2901  (the sum takes the item's place)
        merged[one.what, one.unit, one.unit_usd] = one
    return tuple(merged.values())


def nonzero(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the items of which there is something."""
    return tuple(each for each in items if each.quantity)


def decimal_text(value: Decimal) -> str:
    """Return a decimal in plain notation without trailing zeros ("0.0000025", "3", "0")."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact_seconds(seconds: float) -> Decimal:
    """Return seconds as a decimal, to the microsecond."""
    return Decimal(str(round(seconds, 6)))


def chunks(size_bytes: int, chunk_bytes: int) -> int:
    """Return how many chunks a size is billed as: begun ones count, and nothing is one."""
    return max(1, -(-size_bytes // chunk_bytes))
