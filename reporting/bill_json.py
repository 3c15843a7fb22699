"""A run's bill as JSON, and its published JSON Schema.

`bill.schema.json` is `bill_schema_text()`; `docs/bill.md` says what each field means.
"""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from billing.bill import Bill, LeftOut, Row
from billing.differences import Measured, Part, Reason
from billing.scope import LeftOutReason
from placement.account import decimal_text
from reporting.bill_text import bill_headline
from reporting.schema import SIGNED_DECIMAL, published_schema

# Money and quantities are plain decimal strings; credits and differences may be negative.
Amount = Annotated[Decimal, PlainSerializer(decimal_text), WithJsonSchema(SIGNED_DECIMAL)]
Count = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ResourceModel(_Model):
    """What one resource was billed for."""

    resource: str
    quantity: Amount
    usd: Amount


class BilledModel(_Model):
    """What AWS billed, in the unit in which the kind is measured."""

    quantity: Amount
    usd: Amount
    resources: tuple[ResourceModel, ...]


class MeasuredModel(_Model):
    """What Trivium measured, at the prices of the run's price book."""

    quantity: Amount
    unit_usd: Amount
    usd: Amount


class PartModel(_Model):
    """A part of a difference and its reason; not `exact`: the most it can account for."""

    reason: Reason
    usd: Amount
    says: str
    exact: bool


class ItemModel(_Model):
    """One kind. `parts` and `unexplained_usd` add up to `difference_usd`: billed less measured."""

    kind: str
    unit: str
    billed: BilledModel
    measured: MeasuredModel | None
    difference_usd: Amount
    parts: tuple[PartModel, ...]
    unexplained_usd: Amount


class LeftOutModel(_Model):
    """Lines of the export that are not the run's."""

    reason: LeftOutReason
    lines: Count
    usd: Amount


class BillModel(_Model):
    """What AWS billed for a run's hours, beside what was measured.

    `billed_usd` and the `usd` of `left_out` add up to `lines_usd`.
    """

    says: str
    run: str
    stack: str
    account: str | None
    region: str
    hours_from: AwareDatetime
    hours_to: AwareDatetime
    export_until: AwareDatetime | None
    complete: bool
    beside: tuple[str, ...]
    billed_usd: Amount
    measured_usd: Amount
    difference_usd: Amount
    unexplained_usd: Amount
    items: tuple[ItemModel, ...]
    left_out: tuple[LeftOutModel, ...]
    lines: Count
    lines_usd: Amount


def bill_json(bill: Bill) -> dict[str, Any]:
    """Return a bill as it is published."""
    model = BillModel(
        says=bill_headline(bill),
        run=bill.scope.run,
        stack=bill.scope.stack,
        account=bill.account,
        region=bill.scope.region,
        hours_from=bill.scope.start,
        hours_to=bill.scope.end,
        export_until=bill.until,
        complete=bill.complete,
        beside=bill.beside,
        billed_usd=bill.billed_usd,
        measured_usd=bill.measured_usd,
        difference_usd=bill.difference_usd,
        unexplained_usd=bill.unexplained_usd,
        items=tuple(_item(row) for row in bill.rows),
        left_out=tuple(_left_out(each) for each in bill.left_out),
        lines=bill.lines,
        lines_usd=bill.lines_usd,
    )
    return model.model_dump(mode="json")


def _item(row: Row) -> ItemModel:
    billed, measured = row.billed, row.measured
    return ItemModel(
        kind=row.kind.name,
        unit=row.kind.unit,
        billed=BilledModel(
            quantity=billed.quantity,
            usd=billed.usd,
            resources=tuple(
                ResourceModel(resource=each.resource, quantity=each.quantity, usd=each.usd)
                for each in billed.resources
            ),
        ),
        measured=None if measured is None else _measured(measured),
        difference_usd=row.difference_usd,
        parts=tuple(_part(part) for part in row.parts),
        unexplained_usd=row.unexplained_usd,
    )


def _measured(measured: Measured) -> MeasuredModel:
    return MeasuredModel(quantity=measured.quantity, unit_usd=measured.unit_usd, usd=measured.usd)


def _part(part: Part) -> PartModel:
    return PartModel(reason=part.reason, usd=part.usd, says=part.says, exact=part.exact)


def _left_out(each: LeftOut) -> LeftOutModel:
    return LeftOutModel(reason=each.reason, lines=each.lines, usd=each.usd)


def bill_schema_text() -> str:
    """Write the JSON Schema of a bill as it is published beside this module."""
    return published_schema(BillModel, "serialization")
