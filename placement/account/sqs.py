"""Amazon SQS: requests. Source: https://aws.amazon.com/sqs/pricing/."""

from placement.account.items import NEW_MONTH, Item, Month, chunks, nonzero, tiered_items
from placement.books import PriceBook

_CHUNK_BYTES = 64 << 10


def sqs_requests(payload_bytes: int) -> int:
    """Return the requests that one API call is billed as: one per 64 KB of payload begun."""
    return chunks(payload_bytes, _CHUNK_BYTES)


def sqs_items(
    prices: PriceBook, requests: int, *, fifo: bool = False, month: Month = NEW_MONTH
) -> tuple[Item, ...]:
    """Return requests to standard queues, or to FIFO queues; empty receives count too.

    Raises:
        UserError: the book lacks the price, which is named.

    """
    what = "SQS FIFO requests" if fifo else "SQS requests"
    tiers = prices.tiers("sqs_fifo_request" if fifo else "sqs_request")
    return nonzero(tiered_items(what, requests, "request", tiers, month))
