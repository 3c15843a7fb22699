"""AWS Lambda: compute by GB-seconds, requests, and ephemeral storage.

Source: https://aws.amazon.com/lambda/pricing/. Provisioned concurrency and SnapStart are left out.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from placement.account.items import NEW_MONTH, Item, Month, item, nonzero, tiered_items
from placement.books import PriceBook

_MB_PER_GB = 1024
_MS_PER_S = 1000
_INCLUDED_TMP_MB = 512


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


@dataclass(frozen=True, slots=True)
class LambdaMonth:
    """What the account's month has used, and what of it is free: GB-s by architecture, requests.

    AWS applies the tiers to each architecture apart, over all functions of a region.
    """

    gb_s: Mapping[str, Month] = MappingProxyType({})
    requests: Month = NEW_MONTH


_NEW_LAMBDA_MONTH = LambdaMonth()


def billed_ms(seconds: float) -> int:
    """Return seconds as Lambda bills them: whole milliseconds, rounded up.

    Rounded to nanoseconds first, or 0.3 s would be billed as 301 ms for how floats are kept.
    """
    return math.ceil(round(seconds * _MS_PER_S, 6))


def lambda_items(
    prices: PriceBook,
    calls: Iterable[LambdaCall],
    what: str = "Lambda",
    month: LambdaMonth = _NEW_LAMBDA_MONTH,
) -> tuple[Item, ...]:
    """Return compute per memory size, requests, and /tmp above the 512 MB that are included.

    Compute is configured memory times billed time, in GB-s of 1024 MB, by volume tiers of the
    month and architecture. Nothing is free unless `month` says so.

    Raises:
        UserError: the book lacks a price, which is named, or there is no such architecture.

    """
    by_size: dict[tuple[str, int], int] = {}
    requests, tmp_mb_ms = 0, 0
    for call in calls:
        size = (call.arch, call.memory_mb)
        by_size[size] = by_size.get(size, 0) + call.billed_ms * call.count
        requests += call.count
        tmp_mb_ms += max(0, call.tmp_mb - _INCLUDED_TMP_MB) * call.billed_ms * call.count
    request_tiers = prices.tiers("lambda_request")
    return nonzero(
        (
            *_compute_items(prices, by_size, what, month.gb_s),
            *tiered_items(f"{what} requests", requests, "request", request_tiers, month.requests),
            item(
                f"{what} /tmp above 512 MB",
                _gb_s(tmp_mb_ms),
                "GB-s",
                prices.usd("lambda_storage_gb_s"),
            ),
        )
    )


def _compute_items(
    prices: PriceBook,
    ms_by_size: Mapping[tuple[str, int], int],
    what: str,
    months: Mapping[str, Month],
) -> Iterable[Item]:
    """Return compute by architecture and memory, the smaller first; each goes on where one ends."""
    used: dict[str, Decimal] = {}
    for (arch, memory_mb), ms in sorted(ms_by_size.items()):
        month = months.get(arch, NEW_MONTH)
        before = used.get(arch, month.used)
        gb_s = _gb_s(memory_mb * ms)
        used[arch] = before + gb_s
        yield from tiered_items(
            f"{what} compute {memory_mb} MB" + ("" if arch == "x86_64" else f" {arch}"),
            gb_s,
            "GB-s",
            prices.lambda_tiers(arch),
            Month(before, month.free),
        )


def _gb_s(mb_ms: int) -> Decimal:
    return Decimal(mb_ms) / (_MB_PER_GB * _MS_PER_S)
