"""Amazon CloudWatch Logs, Standard class: what is taken in, and what is kept.

Source: https://aws.amazon.com/cloudwatch/pricing/. Queries, live tail and the tiers of vended logs
are left out.
"""

from decimal import Decimal

from placement.account.items import NEW_MONTH, Item, Month, item, nonzero, tiered_items
from placement.books import PriceBook


def logs_items(
    prices: PriceBook,
    taken_in_gb: Decimal,
    stored_gb_months: Decimal = Decimal(0),
    month: Month = NEW_MONTH,
) -> tuple[Item, ...]:
    """Return logs by GB taken in, and by GB-months kept (compressed, as AWS stores them).

    `month` is that of what is taken in.

    Raises:
        UserError: the book lacks a price, which is named.

    """
    lines = tiered_items(
        "CloudWatch Logs taken in", taken_in_gb, "GB", prices.tiers("logs_gb"), month
    )
    if stored_gb_months:
        usd = prices.usd("logs_stored_gb_month")
        lines += (item("CloudWatch Logs kept", stored_gb_months, "GB-month", usd),)
    return nonzero(lines)
