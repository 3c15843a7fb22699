"""Adds up billed lines of one kind, exactly, keeping no line."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal

from billing.kinds import Kind
from billing.line import BilledLine

# Enough digits that sums and products of what AWS and Trivium write are exact.
EXACT = Context(prec=200)
ZERO = Decimal(0)


@dataclass(slots=True)
class Amount:
    """A quantity, in the unit of its kind, and what it was billed at."""

    quantity: Decimal = ZERO
    usd: Decimal = ZERO

    def add(self, quantity: Decimal, usd: Decimal) -> None:
        """Add a line's."""
        self.quantity = EXACT.add(self.quantity, quantity)
        self.usd = EXACT.add(self.usd, usd)


@dataclass(slots=True)
class Tally:
    """What was billed of one kind.

    `paid` is usage that costs something, `free` usage that costs nothing, by line type.
    `adjustments` are lines that are no usage (taxes, credits, discounts), by line type.
    """

    kind: Kind
    paid: Amount = field(default_factory=Amount)
    paid_lines: int = 0
    free: dict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    adjustments: dict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    resources: dict[str, Amount] = field(default_factory=lambda: defaultdict(Amount))

    def add(self, line: BilledLine) -> None:
        """Add a line."""
        quantity = ZERO
        if not line.is_usage:
            before = self.adjustments[line.line_type]
            self.adjustments[line.line_type] = EXACT.add(before, line.usd)
        else:
            quantity = EXACT.multiply(line.quantity, self.kind.per_billed)
            if line.usd == 0:
                self.free[line.line_type] = EXACT.add(self.free[line.line_type], quantity)
            else:
                self.paid.add(quantity, line.usd)
                self.paid_lines += 1
        self.resources[line.resource].add(quantity, line.usd)

    @property
    def quantity(self) -> Decimal:
        """Return all usage, paid or free."""
        return exact_sum((self.paid.quantity, *self.free.values()))

    @property
    def usd(self) -> Decimal:
        """Return all that was billed, less what was credited."""
        return exact_sum((self.paid.usd, *self.adjustments.values()))


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """Return a sum to the last digit."""
    found = ZERO
    for value in values:
        found = EXACT.add(found, value)
    return found
