"""An amount divided among kinds of cost, in parts that add up to it exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from placement.account import QUANTITY_STEP, USD_STEP
from reporting.comparing.outcome import Kind


def divided(
    quantity: Decimal, usd: Decimal, weights: Mapping[Kind, float]
) -> Iterator[tuple[Kind, Decimal, Decimal]]:
    """Yield each kind with its part of the quantity and of the amount.

    The last kind takes what rounding leaves. Where nothing has a weight, all of it is computing.
    """
    weighed: dict[Kind, float] = {kind: weight for kind, weight in weights.items() if weight > 0}
    weighed = weighed or {"compute": 1.0}
    whole = sum(weighed.values())
    *others, last = weighed
    left, left_usd = quantity, usd
    for kind in others:
        share = Decimal(weighed[kind] / whole)
        part = (quantity * share).quantize(QUANTITY_STEP)
        part_usd = (usd * share).quantize(USD_STEP)
        yield kind, part, part_usd
        left, left_usd = left - part, left_usd - part_usd
    yield last, left, left_usd
