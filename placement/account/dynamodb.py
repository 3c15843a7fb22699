"""Amazon DynamoDB on demand: request units and storage of the Standard table class.

Source: https://aws.amazon.com/dynamodb/pricing/on-demand/. Streams, backups, indexes' own writes
and global tables are left out.
"""

from decimal import Decimal
from typing import Literal

from placement.account.items import NEW_MONTH, Item, Month, chunks, item, nonzero, tiered_items
from placement.books import PriceBook

type Consistency = Literal["eventual", "strong", "transactional"]

_WRITE_UNIT_BYTES = 1 << 10
_READ_UNIT_BYTES = 4 << 10
_READ_FACTORS: dict[Consistency, Decimal] = {
    "eventual": Decimal("0.5"),
    "strong": Decimal(1),
    "transactional": Decimal(2),
}


def write_units(item_bytes: int, *, transactional: bool = False) -> int:
    """Return the write request units of one item: one per KB begun, twice that in transactions."""
    return chunks(item_bytes, _WRITE_UNIT_BYTES) * (2 if transactional else 1)


def read_units(item_bytes: int, consistency: Consistency = "eventual") -> Decimal:
    """Return the read request units of one item: one per 4 KB begun if strongly consistent.

    Half of that if eventually consistent, twice that in transactions.
    """
    return chunks(item_bytes, _READ_UNIT_BYTES) * _READ_FACTORS[consistency]


def ledger_items(prices: PriceBook, *, writes: int, reads: Decimal | int) -> tuple[Item, ...]:
    """Return DynamoDB request units, on demand.

    Raises:
        UserError: the book lacks a price, which is named.

    """
    return nonzero(
        [
            item("DynamoDB writes", writes, "write unit", prices.usd("dynamodb_write")),
            item("DynamoDB reads", reads, "read unit", prices.usd("dynamodb_read")),
        ]
    )


def dynamodb_storage_items(
    prices: PriceBook, stored_gb_months: Decimal, month: Month = NEW_MONTH
) -> tuple[Item, ...]:
    """Return table storage by GB-months; AWS's 25 free GB are `month.free`, if at all.

    Raises:
        UserError: the book lacks the price, which is named.

    """
    tiers = prices.tiers("dynamodb_gb_month")
    return nonzero(tiered_items("DynamoDB storage", stored_gb_months, "GB-month", tiers, month))
