"""AWS Step Functions, Standard workflows: state transitions.

Source: https://aws.amazon.com/step-functions/pricing/. Express workflows are left out.
"""

from placement.account.items import NEW_MONTH, Item, Month, nonzero, tiered_items
from placement.books import PriceBook


def transition_items(
    prices: PriceBook, transitions: int, retries: int = 0, month: Month = NEW_MONTH
) -> tuple[Item, ...]:
    """Return state transitions of Standard executions; every retry is one more.

    A transition is counted for each state that is entered, over all state machines of the month.

    Raises:
        UserError: the book lacks the price, which is named.

    """
    tiers = prices.tiers("state_transition")
    count = transitions + retries
    return nonzero(tiered_items("Step Functions transitions", count, "transition", tiers, month))
