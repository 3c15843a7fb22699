"""Amazon FSx for Lustre: provisioned storage, by the second of a month.

Source: https://aws.amazon.com/fsx/lustre/pricing/. Backups, provisioned metadata IOPS and more
than 125 MB/s per TiB are left out.
"""

from decimal import Decimal
from typing import Literal

from placement.account.items import Item, exact_seconds, item, nonzero
from placement.books import PriceBook

type Deployment = Literal["SCRATCH_2", "PERSISTENT_2_125"]

_PRICES: dict[Deployment, str] = {
    "SCRATCH_2": "fsx_scratch2_gb_month",
    "PERSISTENT_2_125": "fsx_persistent2_125_gb_month",
}


def fsx_items(
    prices: PriceBook, gb: float, seconds: float, deployment: Deployment = "SCRATCH_2"
) -> tuple[Item, ...]:
    """Return a file system of `gb` provisioned for so long, by GB-seconds.

    Raises:
        UserError: the book lacks the deployment's price, which is named.

    """
    usd_per_gb_s = prices.usd(_PRICES[deployment]) / prices.rule("month_s")
    gb_s = Decimal(str(gb)) * exact_seconds(seconds)
    return nonzero([item("FSx for Lustre", gb_s, "GB-s", usd_per_gb_s)])
