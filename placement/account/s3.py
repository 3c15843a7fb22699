"""Amazon S3 Standard: requests by class, and storage. Transfer is in `network`.

Sources: https://aws.amazon.com/s3/pricing/, https://aws.amazon.com/s3/faqs/#Billing. Other storage
classes, inventory, replication and retrieval are left out.
"""

from decimal import Decimal

from placement.account.items import NEW_MONTH, Item, Month, item, nonzero, tiered_items
from placement.books import PriceBook

_BYTES_PER_GB = 1 << 30


def s3_request_items(prices: PriceBook, *, put: int, get: int) -> tuple[Item, ...]:
    """Return S3 requests: PUT, COPY, POST and LIST count as put, GET and all others as get.

    DELETE and CANCEL cost nothing.

    Raises:
        UserError: the book lacks a price, which is named.

    """
    return nonzero(
        [
            item("S3 PUT", put, "request", prices.usd("s3_put")),
            item("S3 GET", get, "request", prices.usd("s3_get")),
        ]
    )


def gb_months(byte_hours: int, month_hours: int) -> Decimal:
    """Return byte-hours as GB-months: 2^30 bytes over all hours of that month (672 to 744)."""
    return Decimal(byte_hours) / _BYTES_PER_GB / month_hours


def s3_storage_items(
    prices: PriceBook, stored_gb_months: Decimal, month: Month = NEW_MONTH
) -> tuple[Item, ...]:
    """Return storage in S3 Standard by GB-months, by volume tiers of the region's month.

    Raises:
        UserError: the book lacks the price, which is named.

    """
    tiers = prices.tiers("s3_gb_month")
    return nonzero(tiered_items("S3 storage", stored_gb_months, "GB-month", tiers, month))
