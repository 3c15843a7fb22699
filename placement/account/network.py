"""Networks: transfer out and between zones, NAT gateways, interface endpoints.

Sources: https://aws.amazon.com/ec2/pricing/on-demand/ (data transfer),
https://aws.amazon.com/vpc/pricing/, https://aws.amazon.com/privatelink/pricing/. Transfer in,
within a zone, and between S3 and compute of one region costs nothing, nor do gateway endpoints.
Transfer between regions, which depends on both, and public IPv4 addresses are left out.
"""

import math
from decimal import Decimal

from placement.account.items import NEW_MONTH, Item, Month, item, nonzero, tiered_items
from placement.books import PriceBook

_SECONDS_PER_HOUR = 3600


def transfer_out_items(
    prices: PriceBook, gb: Decimal, month: Month = NEW_MONTH
) -> tuple[Item, ...]:
    """Return transfer to the internet, by volume tiers over S3, EC2 and all others together.

    Raises:
        UserError: the book lacks the price, which is named.

    """
    tiers = prices.tiers("transfer_out_gb")
    return nonzero(tiered_items("Transfer to the internet", gb, "GB", tiers, month))


def transfer_zone_items(prices: PriceBook, gb: Decimal) -> tuple[Item, ...]:
    """Return transfer between zones of a region, which is billed on its way out and its way in.

    Raises:
        UserError: the book lacks the price, which is named.

    """
    return nonzero([item("Transfer between zones", 2 * gb, "GB", prices.usd("transfer_zone_gb"))])


def nat_items(prices: PriceBook, gateways: int, seconds: float, gb: Decimal) -> tuple[Item, ...]:
    """Return NAT gateways by hours, a begun one in full, and by GB in either direction.

    What leaves for the internet is billed as transfer besides.

    Raises:
        UserError: the book lacks a price, which is named.

    """
    hours = gateways * _begun_hours(seconds)
    return nonzero(
        [
            item("NAT gateway hours", hours, "h", prices.usd("nat_hour")),
            item("NAT gateway data", gb, "GB", prices.usd("nat_gb")),
        ]
    )


def endpoint_items(
    prices: PriceBook, endpoints: int, seconds: float, gb: Decimal, month: Month = NEW_MONTH
) -> tuple[Item, ...]:
    """Return interface endpoints by hours, a begun one in full, and by GB in volume tiers.

    An endpoint in two zones is two.

    Raises:
        UserError: the book lacks a price, which is named.

    """
    hours = endpoints * _begun_hours(seconds)
    return nonzero(
        (
            item("Interface endpoint hours", hours, "h", prices.usd("endpoint_hour")),
            *tiered_items("Interface endpoint data", gb, "GB", prices.tiers("endpoint_gb"), month),
        )
    )


def _begun_hours(seconds: float) -> int:
    return math.ceil(round(seconds, 6) / _SECONDS_PER_HOUR)
