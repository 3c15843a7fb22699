"""Sets what AWS billed beside what was measured, kind by kind; every line ends up somewhere.

The billed amounts of the rows, and what is left out and why, add up exactly to the sum of all
lines that were read.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from billing.differences import Circumstances, Measured, Part, explain
from billing.kinds import Kind, billed_kind, measured_kind
from billing.line import BilledLine
from billing.scope import LeftOutReason, Scope
from billing.tally import EXACT, ZERO, Tally, exact_sum
from placement.account import Item
from placement.errors import UserError

# AWS updates an export at least once a day until the month's charges are final.
BILLED_AFTER = timedelta(hours=24)
_MEAN_STEP = Decimal("1e-24")


@dataclass(frozen=True, slots=True)
class ResourceShare:
    """What one resource was billed for of one kind."""

    resource: str
    quantity: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Billed:
    """What AWS billed of one kind, and for which resources."""

    quantity: Decimal
    usd: Decimal
    resources: tuple[ResourceShare, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind: billed beside measured. The parts and `unexplained_usd` add up to the difference.

    `measured` is None where nothing of the kind was measured.
    """

    kind: Kind
    billed: Billed
    measured: Measured | None
    parts: tuple[Part, ...]
    unexplained_usd: Decimal

    @property
    def difference_usd(self) -> Decimal:
        """Return what was billed less what was measured."""
        return EXACT.subtract(self.billed.usd, self.measured.usd if self.measured else ZERO)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Lines that are not the run's, for one reason."""

    reason: LeftOutReason
    lines: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """A run's bill: its rows, the dearest first, and what was left out of the export.

    `account` is the one whose lines were taken, None if there were none and nobody named it.
    `until` is the end of the last usage in the export, None if it has none. `complete` says that
    this is at least `BILLED_AFTER` after the run. `beside` are the other runs that are known.
    """

    scope: Scope
    account: str | None
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    lines: int
    lines_usd: Decimal
    until: datetime | None
    complete: bool
    beside: tuple[str, ...]

    @property
    def billed_usd(self) -> Decimal:
        """Return the sum of what the rows were billed at."""
        return exact_sum(row.billed.usd for row in self.rows)

    @property
    def measured_usd(self) -> Decimal:
        """Return the sum of what was measured."""
        return exact_sum(row.measured.usd for row in self.rows if row.measured)

    @property
    def difference_usd(self) -> Decimal:
        """Return what was billed less what was measured."""
        return EXACT.subtract(self.billed_usd, self.measured_usd)

    @property
    def unexplained_usd(self) -> Decimal:
        """Return the sum of what no reason accounts for; amounts of both signs may cancel."""
        return exact_sum(row.unexplained_usd for row in self.rows)


@dataclass(frozen=True, slots=True)
class OtherRun:
    """A run that used the same resources in some of the same hours, and what it measured."""

    run: str
    items: tuple[Item, ...]


def bill_run(
    scope: Scope,
    ended: datetime,
    items: Iterable[Item],
    beside: Sequence[OtherRun],
    lines: Iterable[BilledLine],
) -> Bill:
    """Sort the lines into the run's kinds and explain each difference.

    Raises:
        UserError: the lines of several accounts fit and the scope names none.

    """
    sorting = _Sorting(scope)
    for line in lines:
        sorting.add(line)
    complete = sorting.until is not None and sorting.until >= ended + BILLED_AFTER
    measured = _measured(items)
    others = _measured(item for other in beside for item in other.items)
    nothing_billed = {name: Tally(kind) for name, (kind, _) in measured.items()}
    rows = []
    for name, tally in (nothing_billed | sorting.tallies).items():
        _, own = measured.get(name, (None, None))
        _, other = others.get(name, (None, None))
        known = Circumstances(other.quantity if other else ZERO, complete)
        rows.append(_row(tally, own, known))
    rows.sort(key=lambda row: (-max(abs(row.billed.usd), _usd(row.measured)), row.kind.name))
    return Bill(
        scope,
        sorting.account,
        tuple(rows),
        sorting.left_out(),
        sorting.lines,
        sorting.usd,
        sorting.until,
        complete,
        tuple(sorted(other.run for other in beside)),
    )


class _Sorting:
    """Puts every line into one tally, or among what is left out."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.tallies: dict[str, Tally] = {}
        self.lines = 0
        self.usd = ZERO
        self.until: datetime | None = None
        self._left: dict[LeftOutReason, tuple[int, Decimal]] = defaultdict(lambda: (0, ZERO))
        self.account = scope.account

    def add(self, line: BilledLine) -> None:
        """Sort one line; UserError where it is another account's and nobody named one."""
        self.lines += 1
        self.usd = EXACT.add(self.usd, line.usd)
        reason = self.scope.leaves_out(line)
        if line.is_usage and reason not in {"other_account", "longer_than_an_hour"}:
            self.until = line.end if self.until is None else max(self.until, line.end)
        if reason is not None:
            count, usd = self._left[reason]
            self._left[reason] = (count + 1, EXACT.add(usd, line.usd))
            return
        self._check_account(line.account)
        kind = billed_kind(line, self.scope.logical_id(line.resource))
        self.tallies.setdefault(kind.name, Tally(kind)).add(line)

    def _check_account(self, account: str) -> None:
        if self.account not in {None, account}:
            raise UserError(
                f"The accounts {' and '.join(sorted((str(self.account), account)))} both have a "
                f"stack {self.scope.stack!r}; say which one is meant with --account."
            )
        self.account = account

    def left_out(self) -> tuple[LeftOut, ...]:
        """Return how many lines were left out for each reason, and their sum."""
        return tuple(LeftOut(name, *self._left[name]) for name in sorted(self._left))


def _measured(items: Iterable[Item]) -> dict[str, tuple[Kind, Measured]]:
    """Add up items by kind."""
    by_kind: dict[str, list[Item]] = defaultdict(list)
    kinds: dict[str, Kind] = {}
    for item in items:
        kind = measured_kind(item)
        kinds.setdefault(kind.name, kind)
        by_kind[kind.name].append(item)
    return {name: (kinds[name], _sum(found)) for name, found in by_kind.items()}


def _sum(items: Sequence[Item]) -> Measured:
    """Add up items of one kind; where they have several prices, `unit_usd` is the mean."""
    quantity = exact_sum(item.quantity for item in items)
    usd = exact_sum(item.usd for item in items)
    prices = {item.unit_usd for item in items}
    unit_usd = items[0].unit_usd
    if len(prices) > 1 and quantity:
        unit_usd = EXACT.divide(usd, quantity).quantize(_MEAN_STEP, context=EXACT)
    return Measured(quantity, unit_usd, usd)


def _row(tally: Tally, measured: Measured | None, known: Circumstances) -> Row:
    parts, unexplained = explain(tally, measured, known)
    resources = tuple(
        ResourceShare(name, amount.quantity, amount.usd)
        for name, amount in sorted(tally.resources.items())
    )
    return Row(
        tally.kind, Billed(tally.quantity, tally.usd, resources), measured, parts, unexplained
    )


def _usd(measured: Measured | None) -> Decimal:
    return measured.usd if measured else ZERO
