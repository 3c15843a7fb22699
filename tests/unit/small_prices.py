"""A price book of a few lines, and what AWS might answer for it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from placement.books import BookStamp, Figure, PriceBook, Tier
from placement.price_list.offers import Offer
from placement.price_list.refresh import Answer


def tiers(*steps: tuple[str, str]) -> tuple[Tier, ...]:
    return tuple(Tier(Decimal(above), Decimal(usd)) for above, usd in steps)


def offer(usd: str, *later: tuple[str, str]) -> Offer:
    return Offer(tiers(("0", usd), *later), "AWS Price List API, Service, SKU", "2026-11-20")


def figure(usd: str, *later: tuple[str, str], unit: str = "USD/GB") -> Figure:
    return Figure(Decimal(usd), unit, "src", "2024-07-01", tiers=tiers(*later))


OLD = PriceBook(
    BookStamp("prices-us-east-1", "2026-08-22", "us-east-1"),
    {
        "logs_gb": figure("0.5"),
        "transfer_out_gb": figure("0.09", ("10240", "0.085")),
        "month_s": figure("2592000", unit="s"),
    },
    {"c5.large": figure("0.085", unit="USD/h"), "c5.xlarge": figure("0.17", unit="USD/h")},
    {"src": "somewhere", "other": "unused"},
)
FOUND: dict[str, Answer] = {
    "logs_gb": offer("0.4"),
    "transfer_out_gb": offer("0.09", ("10240", "0.085")),
    "c5.large": offer("0.085"),
    "c5.xlarge": replace(offer("0.16"), date="2026-11-19"),
}
