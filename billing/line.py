"""One line of an AWS bill, as a Cost and Usage Report (CUR 2.0) has it.

Source of the columns: https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

# Columns of a CUR 2.0 export that are read; an export that lacks one cannot be used.
COLUMNS = (
    "line_item_usage_account_id",
    "line_item_line_item_type",
    "line_item_usage_start_date",
    "line_item_usage_end_date",
    "line_item_product_code",
    "line_item_usage_type",
    "line_item_resource_id",
    "line_item_usage_amount",
    "line_item_unblended_cost",
    "line_item_currency_code",
    "pricing_unit",
    "product_region_code",
    "resource_tags",
)
# Line types that are usage. A reservation's cost is on other lines, so its usage is billed as 0.
RESERVED = "DiscountedUsage"
USAGE_TYPES = frozenset({"Usage", RESERVED, "SavingsPlanCoveredUsage"})


@dataclass(frozen=True, slots=True)
class BilledLine:
    """One line: `quantity` of `unit` from `start` to `end`, billed at `usd` (may be negative).

    `line_type` is AWS's: Usage, Tax, Credit and others. `resource` is an id or an ARN, "" where
    the line names none. `tags` are the activated cost allocation tags, by `tag_key`.
    """

    account: str
    region: str
    line_type: str
    start: datetime
    end: datetime
    product: str
    usage_type: str
    resource: str
    quantity: Decimal
    unit: str
    usd: Decimal
    tags: Mapping[str, str]

    @property
    def is_usage(self) -> bool:
        """Return whether the line is usage, not a tax, a credit, a discount or a fee."""
        return self.line_type in USAGE_TYPES


def tag_key(written: str) -> str:
    """Return the key of a tag in one form: `trivium:run` and `user_trivium_run` are the same.

    Exports write `user_` before the keys that users chose, and `_` for what is no letter or digit.
    """
    plain = "".join(c if c.isalnum() else "_" for c in written.lower())
    return plain.removeprefix("user_")
