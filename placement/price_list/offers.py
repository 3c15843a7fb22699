"""Reads what the AWS Price List API answers (GetProducts, format aws_v1) to one query."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from placement.books import Tier
from placement.errors import UserError
from placement.price_list.queries import Query

_NO_END = "Inf"


@dataclass(frozen=True, slots=True)
class Offer:
    """A price as AWS publishes it: volume tiers in USD of the book's unit, the first above 0."""

    tiers: tuple[Tier, ...]
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Why an answer gives no single price."""

    why: str


class _Dimension(BaseModel):
    unit: str
    begin: Annotated[Decimal, Field(alias="beginRange", ge=0, allow_inf_nan=False)]
    end: Annotated[str, Field(alias="endRange")]
    prices: Annotated[
        dict[str, Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]], Field(alias="pricePerUnit")
    ]


class _Term(BaseModel):
    effective: Annotated[str, Field(alias="effectiveDate")]
    dimensions: Annotated[dict[str, _Dimension], Field(alias="priceDimensions")]


class _Terms(BaseModel):
    on_demand: Annotated[dict[str, _Term], Field(alias="OnDemand")] = {}


class _Product(BaseModel):
    sku: str
    attributes: dict[str, str]


class _Entry(BaseModel):
    product: _Product
    terms: _Terms
    published: Annotated[
        str, Field(alias="publicationDate", pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T")
    ]


def read_offer(query: Query, answers: Iterable[str]) -> Offer | Unclear:
    """Return the one price among the products that answer a query, or why there is none.

    A free tier at the beginning is left out: accounts have it, runs do not. The date is the one
    on which the price list was published.

    Raises:
        UserError: an answer has not the documented shape.

    """
    entries = [_entry(query, answer) for answer in answers]
    meant = [each for each in entries if query.accepts(each.product.attributes["usagetype"])]
    found = [_offer(query, entry) for entry in meant if entry.terms.on_demand]
    if not found:
        return Unclear("no product has it")
    offers = sorted((each for each in found if isinstance(each, Offer)), key=lambda o: o.source)
    if len(offers) < len(found):
        return next(each for each in found if isinstance(each, Unclear))
    if any(each.tiers != offers[0].tiers for each in offers):
        return Unclear(f"{len(offers)} products differ in it")
    return offers[0]


def _entry(query: Query, answer: str) -> _Entry:
    try:
        entry = _Entry.model_validate_json(answer)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "an entry"
        raise _strange(query, f"{where}: {first['msg']}") from error
    if "usagetype" not in entry.product.attributes:
        raise _strange(query, "a product has no usagetype")
    return entry


def _strange(query: Query, what: str) -> UserError:
    return UserError(
        f"the AWS Price List API answered for {query.service} in an unknown shape ({what})."
    )


def _offer(query: Query, entry: _Entry) -> Offer | Unclear:
    latest = max(entry.terms.on_demand.values(), key=lambda term: term.effective)
    steps = sorted(
        (each for each in latest.dimensions.values() if query.unit in {"", each.unit}),
        key=lambda each: each.begin,
    )
    if not steps or any("USD" not in each.prices for each in steps):
        return Unclear("it has no price in USD" + (f" per {query.unit}" if query.unit else ""))
    if not _connected(steps):
        return Unclear("its volume tiers have gaps")
    while steps and not steps[0].prices["USD"]:
        steps = steps[1:]
    if not steps:
        return Unclear("it costs nothing")
    first, *later = ((each.begin, each.prices["USD"] / query.per) for each in steps)
    return Offer(
        (Tier(Decimal(0), _plain(first[1])), *(Tier(_plain(a), _plain(usd)) for a, usd in later)),
        f"AWS Price List API, {query.service}, {entry.product.sku}",
        entry.published[:10],
    )


def _connected(steps: Sequence[_Dimension]) -> bool:
    """Return whether tiers begin at 0, each where the one before ends, and go on without end."""
    return (
        steps[0].begin == 0
        and steps[-1].end == _NO_END
        and all(
            sooner.end != _NO_END and Decimal(sooner.end) == later.begin
            for sooner, later in pairwise(steps)
        )
    )


def _plain(value: Decimal) -> Decimal:
    """Return a decimal without the trailing zeros that AWS writes."""
    return Decimal(f"{value.normalize():f}")
