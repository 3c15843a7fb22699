"""Amazon EventBridge: custom events. Source: https://aws.amazon.com/eventbridge/pricing/.

Events of AWS services on the default bus cost nothing. Pipes, Scheduler, archives and API
destinations are left out.
"""

from placement.account.items import Item, chunks, item, nonzero
from placement.books import PriceBook

_CHUNK_BYTES = 64 << 10


def billed_events(payload_bytes: int) -> int:
    """Return the events that one is billed as: one per 64 KB of payload begun."""
    return chunks(payload_bytes, _CHUNK_BYTES)


def event_items(prices: PriceBook, events: int) -> tuple[Item, ...]:
    """Return custom events that were published.

    Raises:
        UserError: the book lacks the price, which is named.

    """
    return nonzero([item("EventBridge events", events, "event", prices.usd("eventbridge_event"))])
