"""The typed view of report.json, its published JSON Schema, and the check that its sums are exact.

The models are the edge: a report read from a file, a bucket or a ledger is parsed here once, and
everything that shows it works on the typed value. `report.schema.json` is `schema_text()`.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from placement.errors import UserError
from reporting.schema import published_schema

MICRO_USD = Decimal("0.000001")
NANO_USD = Decimal("0.000000001")
USD_PATTERN = r"^[0-9]+(\.[0-9]+)?$"
NUMBER_OR_DECIMAL = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": USD_PATTERN}]
}


def _plain_decimal(value: object) -> object:
    """Refuse floats and exponents: money is exact, and read by people and simple tools."""
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or re.fullmatch(USD_PATTERN, value) is None:
        raise ValueError('must be a plain decimal string such as "0.000123"')
    return value


def _number_or_decimal(value: object) -> object:
    """Take a float as the decimal it is written as, so that products come out exact."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004  (pydantic turns ValueErrors into messages)
    return _plain_decimal(value) if isinstance(value, str) else value


Usd = Annotated[
    Decimal,
    BeforeValidator(_plain_decimal),
    WithJsonSchema({"type": "string", "pattern": USD_PATTERN}),
]
Quantity = Annotated[
    Decimal,
    Field(ge=0, allow_inf_nan=False),
    BeforeValidator(_number_or_decimal),
    WithJsonSchema(NUMBER_OR_DECIMAL),
]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Size = dict[str, int | Number | str]
Platform = Name


class _Part(BaseModel):
    """Common to all: frozen, and a field that nobody knows is an error, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Amount(_Part):
    """A time and a cost; the field that holds it says whether it is an estimate or measured."""

    seconds: Seconds
    usd: Usd


class Item(_Part):
    """One line of the bill: `usd` = `quantity` (in `unit`) times `unit_usd`."""

    what: Name
    quantity: Quantity
    unit: str
    unit_usd: Usd
    usd: Usd


class PlacedPart(_Part):
    """One platform's share (0 to 1) of a step whose tasks are split over platforms."""

    platform: Platform
    size: Size
    share: Annotated[float, Field(gt=0, le=1)]


class SplitUsd(_Part):
    """One step's part of a line that belongs to no step."""

    step: Name
    usd: Usd


class SharedItem(Item):
    """What a cluster cost beside the steps; `split` says whose it would be, by node-seconds.

    The split is a column of its own: no step's measured cost contains any of it.
    """

    kind: Literal["idle", "boot", "scale-down", "head", "disk", "file-system"]
    platform: Platform
    split: tuple[SplitUsd, ...]


class HeadOff(Item):
    """A head that was stopped during the run: what it would have cost, what was waited for it."""

    platform: Platform
    waited_s: Seconds


class SharedEstimate(Item):
    """What a cluster was estimated to cost beside the steps.

    `up_anyway`: a warm node's idle time, or a head; it is in the run's account, and no reason for
    any placement.
    """

    kind: Literal["idle", "boot", "head", "disk", "file-system"]
    platform: Platform
    up_anyway: bool


class Book(_Part):
    """A book of facts that the figures come from; a region where prices depend on one."""

    name: Name
    date: Name
    region: str | None


class WallSeconds(_Part):
    """Measured seconds: `wall_s`, and the four kinds that it splits into."""

    queue_s: Seconds
    startup_s: Seconds
    transfer_s: Seconds
    compute_s: Seconds
    wall_s: Seconds


class Attempt(_Part):
    """One try of one step's part on one platform: `usd` is the sum of its items.

    `estimate` is null where the plan has none of this part alone; `books` are what it rests on.
    `task_s` is what its tasks computed in all, one after another; null in older reports.
    """

    attempt: Annotated[int, Field(ge=1)]
    part: Count
    platform: Platform
    size: Size
    outcome: Literal["running", "succeeded", "failed", "replaced"]
    reason: str | None
    queued_at: AwareDatetime | None
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    estimate: Amount | None
    books: tuple[Book, ...]
    measured: WallSeconds
    task_s: Seconds | None = None
    usd: Usd
    items: tuple[Item, ...]


class StepMeasured(WallSeconds):
    """Measured seconds and cost of one step."""

    usd: Usd


EventKind = Literal["queue", "startup", "transfer", "compute"]


class Event(_Part):
    """What a worker did from `start_s` to `end_s`, in seconds since the run's start."""

    kind: EventKind
    start_s: Seconds
    end_s: Seconds

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.end_s < self.start_s:
            raise ValueError("end_s is before start_s")
        return self


class Worker(_Part):
    """One row of the timeline."""

    worker: Name
    events: tuple[Event, ...]


class Rejected(_Part):
    """A placement that was considered for a step, what it was estimated at, and why it lost."""

    platform: Platform
    size: Size
    seconds: Seconds | None
    usd: Usd | None
    why: Name


class Output(_Part):
    """How much a step left for others: so many shards, of so many bytes in all."""

    shards: Count
    bytes: Count


class Step(_Part):
    """One step: where it ran, what it took, what it cost, and what else was considered.

    `output` is null where it is not done, and in older reports. Where the plan was calibrated,
    `calibrated` says from what, and `estimate_by_book` is the estimate without it.
    """

    step: Name
    platform: Platform
    parts: tuple[PlacedPart, ...] = ()
    size: Size = {}
    tasks: Count
    output: Output | None = None
    attempts: tuple[Attempt, ...]
    estimate: Amount | None
    estimate_by_book: Amount | None = None
    calibrated: str = ""
    measured: StepMeasured
    items: tuple[Item, ...]
    counts: dict[str, int | Number]
    workers: tuple[Worker, ...]
    rejected: tuple[Rejected, ...]

    @model_validator(mode="after")
    def _mixed_has_parts(self) -> Self:
        if self.platform == "mixed" and not self.parts:
            raise ValueError('platform "mixed" needs its parts')
        return self


class OtherPlan(_Part):
    """The estimate of the same run under another policy.

    `up_anyway_usd` is the part of `usd` that is no reason for any placement.
    """

    policy: Name
    seconds: Seconds
    usd: Usd
    up_anyway_usd: Usd = Decimal(0)


class NoPlan(_Part):
    """A policy that has no plan for this workflow, and why."""

    policy: Name
    why_not: Name


class Machine(_Part):
    """Whose seconds the measured seconds are."""

    kind: Literal["laptop", "aws"]
    note: str


class Score(_Part):
    """How good the result is, where the truth is known."""

    name: Name
    value: Number


class Report(_Part):
    """One run's report; `docs/report.md` says what each field means."""

    run: Name
    workflow: Name
    uploads: dict[Name, tuple[Count, ...]] = {}
    status: Literal["running", "succeeded", "failed"]
    reason: str | None
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    makespan_s: Seconds
    policy: Name
    objective: Name
    estimate: Amount | None
    estimated_shared_items: tuple[SharedEstimate, ...] = ()
    estimate_by_book: Amount | None = None
    measured: Amount
    steps: tuple[Step, ...]
    shared_items: tuple[SharedItem, ...] = ()
    other_items: tuple[Item, ...]
    heads_off: tuple[HeadOff, ...] = ()
    not_known: tuple[Name, ...] = ()
    alternatives: tuple[OtherPlan | NoPlan, ...]
    books: tuple[Book, ...]
    machine: Machine
    score: Score | None

    @model_validator(mode="after")
    def _failure_has_a_reason(self) -> Self:
        if self.status == "failed" and not self.reason:
            raise ValueError("a failed run needs its reason")
        return self


class TotalsError(ValueError):
    """A sum in a report that is not the sum of its parts; `level` names which."""

    def __init__(self, level: str, stated: Decimal, found: Decimal) -> None:
        """Keep the level apart, so that a caller can act on it."""
        super().__init__(f"{level} does not add up: {stated:f} stated, {found:f} found")
        self.level = level


def parse_report(data: Mapping[str, Any]) -> Report:
    """Read a report as it comes from JSON.

    Raises UserError with one sentence that names the first field that is wrong.
    """
    try:
        return Report.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the report"
        raise UserError(f"Not a valid report.json: {where}: {first['msg']}.") from error


def check_totals(report: Report) -> None:
    """Make sure that every total is exactly the sum of its parts.

    An item's `usd` is quantity times unit price, within a nano-dollar (an item may be the sum of
    several rounded amounts); one that is written with fewer decimals may be rounded at its last,
    but never by more than half a micro-dollar. An attempt is exactly its items; a step its
    attempts, and its items; a shared line its split; the run its steps, shared lines and other
    items. Raises TotalsError.
    """
    for step in report.steps:
        _check_step(step)
    _check_items("shared items", report.shared_items)
    for line in report.shared_items:
        _check_sum(f'split of "{line.what}"', line.usd, [part.usd for part in line.split])
    _check_items("other items", report.other_items)
    _check_items("estimated shared items", report.estimated_shared_items)
    usd = [line.usd for line in (*report.shared_items, *report.other_items)]
    usd += [step.measured.usd for step in report.steps]
    _check_sum("run", report.measured.usd, usd)


def _check_step(step: Step) -> None:
    level = f"step {step.step}"
    for attempt in step.attempts:
        name = f"attempt {attempt.attempt}.{attempt.part} of {level}"
        _check_items(name, attempt.items)
        _check_sum(name, attempt.usd, [item.usd for item in attempt.items])
    _check_items(level, step.items)
    _check_sum(level, step.measured.usd, [item.usd for item in step.items])
    _check_sum(
        f"attempts of {level}", step.measured.usd, [attempt.usd for attempt in step.attempts]
    )


def _check_items(level: str, items: Sequence[Item]) -> None:
    for item in items:
        product = item.quantity * item.unit_usd
        exponent = item.usd.as_tuple().exponent
        assert isinstance(exponent, int)  # parsing admits neither NaN nor infinity
        half_last_place = min(MICRO_USD, Decimal(1).scaleb(exponent)) / 2
        if abs(product - item.usd) > max(half_last_place, NANO_USD):
            raise TotalsError(f'item "{item.what}" of {level}', item.usd, product)


def _check_sum(level: str, stated: Decimal, parts: Sequence[Decimal]) -> None:
    found = sum(parts, Decimal(0))
    if stated != found:
        raise TotalsError(level, stated, found)


def schema_text() -> str:
    """Write the JSON Schema of report.json as it is published beside this module."""
    return published_schema(Report)
