"""Money: measured or estimated quantities times the price book, as items that add up exactly.

The same functions serve estimates and measurements. An item's `usd` is its quantity times its unit
price, rounded half to even to 12 decimals, so that a total is the exact sum of what is printed.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Self

from placement.books import PriceBook

# Enough digits that a product is exact before it is rounded, once.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_USD_STEP = Decimal("1e-12")
# Prices per second come from prices per hour or month; 15 decimals lose under 1 part in 10^7.
_UNIT_STEP = Decimal("1e-15")
_QUANTITY_STEP = Decimal("1e-9")
_MB_PER_GB = 1024
_INCLUDED_TMP_MB = 512


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
class LambdaCall:
    """Calls of one function: configured memory, billed milliseconds of each (INIT included).

    `arch` is "x86_64" or "arm64", which are priced apart.
    """

    memory_mb: int
    billed_ms: int
    count: int = 1
    tmp_mb: int = _INCLUDED_TMP_MB
    arch: str = "x86_64"


def item(what: str, quantity: Decimal | int, unit: str, unit_usd: Decimal) -> Item:
    """Make an item; the quantity is kept to 9 decimals, the unit price to 15."""
    amount = Decimal(quantity).quantize(_QUANTITY_STEP, context=_EXACT)
    price = unit_usd.quantize(_UNIT_STEP, context=_EXACT)
    usd = _EXACT.multiply(amount, price).quantize(_USD_STEP, context=_EXACT)
    return Item(what, amount, unit, price, usd)


def total(items: Iterable[Item]) -> Decimal:
    """Return the exact sum of the items' `usd`."""
    return sum((each.usd for each in items), Decimal(0))


def decimal_text(value: Decimal) -> str:
    """Return a decimal in plain notation without trailing zeros ("0.0000025", "3", "0")."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def billed_ms(seconds: float) -> int:
    """Return seconds as Lambda bills them: whole milliseconds, rounded up.

    Rounded to nanoseconds first, or 0.3 s would be billed as 301 ms for how floats are kept.
    """
    return math.ceil(round(seconds * 1000, 6))


def lambda_items(
    prices: PriceBook, calls: Iterable[LambdaCall], what: str = "Lambda"
) -> tuple[Item, ...]:
    """Return compute per memory size, requests, and /tmp above the 512 MB that are included."""
    by_size: dict[tuple[str, int], int] = {}
    requests, tmp_mb_ms = 0, 0
    for call in calls:
        size = (call.arch, call.memory_mb)
        by_size[size] = by_size.get(size, 0) + call.billed_ms * call.count
        requests += call.count
        tmp_mb_ms += max(0, call.tmp_mb - _INCLUDED_TMP_MB) * call.billed_ms * call.count
    lines = [
        item(
            f"{what} compute {memory} MB" + ("" if arch == "x86_64" else f" {arch}"),
            Decimal(memory * ms) / (_MB_PER_GB * 1000),
            "GB-s",
            prices.lambda_usd_per_gb_s(arch),
        )
        for (arch, memory), ms in sorted(by_size.items())
    ]
    lines.append(item(f"{what} requests", requests, "request", prices.usd("lambda_request")))
    lines.append(
        item(
            f"{what} /tmp above 512 MB",
            Decimal(tmp_mb_ms) / (_MB_PER_GB * 1000),
            "GB-s",
            prices.usd("lambda_storage_gb_s"),
        )
    )
    return _nonzero(lines)


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

    A launched node is billed for at least the minimum of the price book (60 s) and brings its
    disk; a node that is up anyway has both behind it.
    """
    each = Decimal(str(round(seconds, 6)))
    if launched:
        each = max(each, prices.rule("instance_minimum_s"))
    hourly = prices.instance_usd_per_hour(instance_type)
    lines = [item(f"{instance_type} nodes", each * nodes, "node-s", hourly / 3600)]
    if launched:
        lines.append(gp3_item(prices, each * nodes * Decimal(str(disk_gb))))
    return _nonzero(lines)


def gp3_item(prices: PriceBook, gb_s: Decimal) -> Item:
    """EBS gp3 volumes, by GB-seconds."""
    usd_per_gb_s = prices.usd("ebs_gp3_gb_month") / prices.rule("month_s")
    return item("EBS gp3 disks", gb_s, "GB-s", usd_per_gb_s)


def fsx_items(prices: PriceBook, gb: float, seconds: float) -> tuple[Item, ...]:
    """Return an FSx for Lustre file system (SCRATCH_2), by GB-seconds."""
    usd_per_gb_s = prices.usd("fsx_scratch2_gb_month") / prices.rule("month_s")
    gb_s = Decimal(str(gb)) * Decimal(str(round(seconds, 6)))
    return _nonzero([item("FSx for Lustre", gb_s, "GB-s", usd_per_gb_s)])


def s3_request_items(prices: PriceBook, *, put: int, get: int) -> tuple[Item, ...]:
    """Return S3 requests; LIST counts as put."""
    return _nonzero(
        [
            item("S3 PUT", put, "request", prices.usd("s3_put")),
            item("S3 GET", get, "request", prices.usd("s3_get")),
        ]
    )


def transition_items(prices: PriceBook, transitions: int) -> tuple[Item, ...]:
    """Return state transitions of Standard executions."""
    price = prices.usd("state_transition")
    return _nonzero([item("Step Functions transitions", transitions, "transition", price)])


def sqs_items(prices: PriceBook, requests: int) -> tuple[Item, ...]:
    """Return requests to standard queues."""
    return _nonzero([item("SQS requests", requests, "request", prices.usd("sqs_request"))])


def ledger_items(prices: PriceBook, *, writes: int, reads: int) -> tuple[Item, ...]:
    """Return DynamoDB request units, on demand."""
    return _nonzero(
        [
            item("DynamoDB writes", writes, "write unit", prices.usd("dynamodb_write")),
            item("DynamoDB reads", reads, "read unit", prices.usd("dynamodb_read")),
        ]
    )


def event_items(prices: PriceBook, events: int) -> tuple[Item, ...]:
    """Return EventBridge events."""
    return _nonzero([item("EventBridge events", events, "event", prices.usd("eventbridge_event"))])


def _nonzero(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(each for each in items if each.quantity)
