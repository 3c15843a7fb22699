"""A run's bill in words: the sentence that a person can repeat, and what each reason is called."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

from billing.bill import Bill
from billing.differences import Reason
from billing.scope import LeftOutReason
from billing.tally import EXACT, ZERO, exact_sum
from reporting.text import plain

REASONS: Mapping[Reason, str] = {
    "adjustment": "taxes, credits and discounts",
    "free_tier": "the free tier",
    "held_by_no_job": "nodes that no job of the run held",
    "not_billed_yet": "usage that is not billed yet",
    "not_measured": "what Trivium does not measure",
    "other_price": "other unit prices",
    "reservation": "usage that a reservation covers",
    "rounding": "rounding",
    "shared_hours": "other runs of the same hours",
}
LEFT_OUT: Mapping[LeftOutReason, str] = {
    "longer_than_an_hour": "span more than an hour",
    "names_no_resource": "name no resource",
    "other_account": "are another account's",
    "other_region": "are another region's",
    "other_resource": "are other resources'",
    "other_run": "carry another run's tag",
    "other_time": "are of other hours",
}
_MICRO_FROM_USD = Decimal("0.0001")
_WORTH_SAYING_USD = Decimal("1e-9")


def bill_headline(bill: Bill) -> str:
    """Say what was billed, what was measured, and where the difference comes from."""
    run = plain(bill.scope.run)
    measured = f"measured was {exact_usd(bill.measured_usd)}"
    if not bill.rows or not any(row.billed.resources for row in bill.rows):
        return f"AWS billed nothing in the hours of run {run} by this export; {measured}."
    first = f"AWS billed {exact_usd(bill.billed_usd)} in the hours of run {run}; {measured}"
    named = [
        f"{exact_usd(usd)} {surely} {REASONS[reason]}" for reason, surely, usd in _by_reason(bill)
    ]
    unexplained = [f"{exact_usd(usd)} is unexplained" for usd in _unexplained(bill)]
    if unexplained:
        named += unexplained
    elif named:
        named.append("nothing is unexplained")
    return f"{first}; {', '.join(named)}." if named else f"{first}."


def exact_usd(usd: Decimal) -> str:
    """Write dollars to six decimals, or to the nano-dollar where that shows more."""
    decimals = 6 if usd == 0 or abs(usd) >= _MICRO_FROM_USD else 9
    last = Decimal(1).scaleb(-decimals)
    sign = "-" if usd < 0 else ""
    if 0 < abs(usd) < last / 2:
        return f"{sign}<${last:f}"
    return f"{sign}${abs(usd):,.{decimals}f}"


def _unexplained(bill: Bill) -> list[Decimal]:
    """Return what is billed too much, and what too little; together they might seem nothing."""
    left = [row.unexplained_usd for row in bill.rows]
    sums = (exact_sum(max(usd, ZERO) for usd in left), exact_sum(min(usd, ZERO) for usd in left))
    return [usd for usd in sums if usd]


def verb(*, exact: bool) -> str:
    """Return how sure an amount is of its reason."""
    return "is" if exact else "may be"


def _by_reason(bill: Bill) -> list[tuple[Reason, str, Decimal]]:
    """Return what each reason accounts for and how surely, the largest first."""
    sums: dict[tuple[Reason, str], Decimal] = defaultdict(lambda: ZERO)
    for row in bill.rows:
        for part in row.parts:
            key = (part.reason, verb(exact=part.exact))
            sums[key] = EXACT.add(sums[key], part.usd)
    found = [(*key, usd) for key, usd in sums.items() if abs(usd) >= _WORTH_SAYING_USD]
    return sorted(found, key=lambda each: (-abs(each[2]), each[0]))
