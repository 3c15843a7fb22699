"""A new price book from an old one and what AWS publishes, and how they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from placement.books import BookStamp, Figure, PriceBook
from placement.errors import UserError
from placement.price_list.offers import Offer, Unclear

type Answer = Offer | Unclear

_NO_QUERY = Unclear("how to ask for it is not known")
_NAMED = 5  # missing prices that an error names; it counts the others


@dataclass(frozen=True, slots=True)
class Change:
    """A price that is another one now, or has other volume tiers."""

    name: str
    old: Figure
    new: Figure


@dataclass(frozen=True, slots=True)
class Kept:
    """A price that stays as it was, with its source and date, because AWS gave no single one."""

    name: str
    figure: Figure
    why: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A new book, and what became of the prices of the old one."""

    old: BookStamp
    book: PriceBook
    changed: tuple[Change, ...]
    unchanged: int
    kept: tuple[Kept, ...]


def refreshed(old: PriceBook, region: str, answers: Mapping[str, Answer]) -> Refreshed:
    """Return the book of a region with the prices that were found.

    Billing rules are the same everywhere and stay. A price that was not found stays as it was; in
    another region than the old book's it cannot.

    Raises:
        UserError: no price was found, or one of another region is missing, which is named.

    """
    prices = {name for name, each in old.figures.items() if each.unit.startswith("USD")}
    offers = {name: each for name, each in answers.items() if isinstance(each, Offer)}
    missing = [name for name in (*sorted(prices), *sorted(old.instances)) if name not in offers]
    if not offers:
        raise UserError(f"the AWS Price List has no price of the book in {region}.")
    if missing and region != old.stamp.region:
        raise UserError(
            f"the AWS Price List has no single price in {region} for {_list(missing)}, and those "
            f"of the book {old.stamp.name} are for {old.stamp.region}."
        )
    figures = {name: _new(each, offers.get(name)) for name, each in old.figures.items()}
    instances = {name: _new(each, offers.get(name)) for name, each in old.instances.items()}
    date = max(each.date for each in offers.values())
    stamp = BookStamp(f"prices-{region}", date, region)
    used = {each.source for each in (*figures.values(), *instances.values())}
    sources = {
        name: text for name, text in old.sources.items() if any(name in each for each in used)
    }
    before, after = {**old.figures, **old.instances}, {**figures, **instances}
    changed = tuple(
        Change(name, before[name], after[name])
        for name in before
        if name in offers and not _same_price(before[name], after[name])
    )
    return Refreshed(
        old.stamp,
        PriceBook(stamp, figures, instances, sources),
        changed,
        len(offers) - len(changed),
        tuple(Kept(name, before[name], _why(answers.get(name, _NO_QUERY))) for name in missing),
    )


def _new(old: Figure, offer: Offer | None) -> Figure:
    if offer is None:
        return old
    first, *later = offer.tiers
    return replace(
        old,
        value=first.usd,
        source=offer.source,
        date=offer.date,
        assumed=False,
        tiers=tuple(later),
    )


def _same_price(one: Figure, other: Figure) -> bool:
    return (one.value, one.tiers) == (other.value, other.tiers)


def _why(answer: Answer) -> str:
    assert isinstance(answer, Unclear)
    return answer.why


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} others" if more > 0 else "")
