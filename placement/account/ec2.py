"""Amazon EC2: instances on demand and spot, and the EBS gp3 volumes that they bring.

Sources: https://aws.amazon.com/ec2/pricing/on-demand/, https://aws.amazon.com/ec2/spot/pricing/,
https://aws.amazon.com/ebs/pricing/. Linux, shared tenancy. Reserved capacity, savings plans and
public IPv4 addresses are left out.
"""

from dataclasses import dataclass
from decimal import Decimal

from placement.account.items import Item, exact_seconds, item, nonzero
from placement.books import PriceBook

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class SpotPrice:
    """A spot price that somebody observed: it varies by zone and hour, so no book has it."""

    instance_type: str
    usd_per_hour: Decimal
    source: str
    date: str


def instance_items(
    prices: PriceBook,
    instance_type: str,
    seconds: float,
    nodes: int,
    *,
    launched: bool,
    disk_gb: float = 0,
) -> tuple[Item, ...]:
    """Return whole nodes for `seconds` each, and the gp3 disks of launched ones.

    Linux is billed per second. A launched node is billed for at least the minimum of the price
    book (60 s) and brings its disk; a node that is up anyway has both behind it.

    Raises:
        UserError: the book lacks the type's price or a rule, which is named.

    """
    each_s = exact_seconds(seconds)
    if launched:
        each_s = max(each_s, prices.rule("instance_minimum_s"))
    hourly = prices.instance_usd_per_hour(instance_type)
    lines = [_node_line(f"{instance_type} nodes", each_s * nodes, hourly)]
    if launched:
        lines.append(gp3_item(prices, each_s * nodes * Decimal(str(disk_gb))))
    return nonzero(lines)


def node_item(prices: PriceBook, what: str, instance_type: str, node_s: Decimal) -> Item:
    """Return node-seconds of an instance type as an item of that name.

    Raises:
        UserError: the book lacks the type's price, which is named.

    """
    return _node_line(what, node_s, prices.instance_usd_per_hour(instance_type))


def spot_items(
    prices: PriceBook,
    price: SpotPrice,
    seconds: float,
    nodes: int,
    *,
    reclaimed: bool = False,
    disk_gb: float = 0,
) -> tuple[Item, ...]:
    """Return launched spot nodes for `seconds` each at a given price, and their gp3 disks.

    Billed per second with the same minimum as on demand. Linux nodes that AWS takes back
    (`reclaimed`) within the first hour cost nothing; their disks do.

    Raises:
        UserError: the book lacks a rule or the price of disks, which is named.

    """
    each_s = max(exact_seconds(seconds), prices.rule("instance_minimum_s"))
    free = reclaimed and exact_seconds(seconds) < prices.rule("spot_reclaimed_free_s")
    name = f"{price.instance_type} spot nodes ({price.source}, {price.date})"
    hourly = Decimal(0) if free else price.usd_per_hour
    return nonzero(
        (
            _node_line(name, each_s * nodes, hourly),
            gp3_item(prices, each_s * nodes * Decimal(str(disk_gb))),
        )
    )


def gp3_item(prices: PriceBook, gb_s: Decimal) -> Item:
    """EBS gp3 volumes, by GB-seconds."""
    return _volume_item(prices, "EBS gp3 disks", gb_s, "GB-s", "ebs_gp3_gb_month")


def gp3_items(
    prices: PriceBook, gb: float, seconds: float, *, iops: int = 0, mb_per_s: int = 0
) -> tuple[Item, ...]:
    """Return one gp3 volume: its storage, and IOPS and MB/s beyond those that are included.

    Per second of a month of storage, for at least the minimum of the book (60 s).

    Raises:
        UserError: the book lacks a price or a rule, which is named.

    """
    lasted_s = max(exact_seconds(seconds), prices.rule("ebs_minimum_s"))
    lines = [gp3_item(prices, Decimal(str(gb)) * lasted_s)]
    if iops:
        more = max(Decimal(0), iops - prices.rule("ebs_gp3_included_iops"))
        lines.append(
            _volume_item(prices, "EBS gp3 IOPS", more * lasted_s, "IOPS-s", "ebs_gp3_iops_month")
        )
    if mb_per_s:
        more = max(Decimal(0), mb_per_s - prices.rule("ebs_gp3_included_mb_s"))
        lines.append(
            _volume_item(
                prices, "EBS gp3 throughput", more * lasted_s, "MB/s-s", "ebs_gp3_mb_s_month"
            )
        )
    return nonzero(lines)


def _node_line(what: str, node_s: Decimal, usd_per_hour: Decimal) -> Item:
    return item(what, node_s, "node-s", usd_per_hour / _SECONDS_PER_HOUR)


def _volume_item(
    prices: PriceBook, what: str, quantity_s: Decimal, unit: str, by_month: str
) -> Item:
    return item(what, quantity_s, unit, prices.usd(by_month) / prices.rule("month_s"))
