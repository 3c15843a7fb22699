"""The price book and the platform book: dated figures, each with unit, source and date.

All estimates, and the money of all measurements, come from these two data files. A figure that is
missing is an error; one that nobody measured or documented is there as a labelled assumption.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from placement.errors import UserError
from placement.yaml_source import Source

_FOLDER = Path(__file__).parent / "books"
PRICES_FILE = _FOLDER / "prices-us-east-1.yaml"
PLATFORMS_FILE = _FOLDER / "platforms-us-east-1.yaml"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `assumed`: nobody measured or documented it, and `source` says why this value."""

    value: Decimal
    unit: str
    source: str
    date: str
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class InstanceType:
    """What an EC2 instance type has: vCPUs, memory in GiB, baseline network in Gbit/s, EFA."""

    name: str
    vcpu: int
    memory_gib: float
    network_gbps: float
    efa: bool


@dataclass(frozen=True, slots=True)
class BookStamp:
    """Which book a figure came from."""

    name: str
    date: str
    region: str


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Unit prices in USD by name; instance prices in USD per hour by type (Linux, on demand)."""

    stamp: BookStamp
    figures: Mapping[str, Figure]
    instances: Mapping[str, Figure]

    def usd(self, name: str) -> Decimal:
        """Return a unit price in USD; UserError that names it where the book has none."""
        return _figure(self.figures, name, self.stamp, "price").value

    def rule(self, name: str) -> Decimal:
        """Return a figure of a billing rule (a minimum, a length of month) in its own unit."""
        return _figure(self.figures, name, self.stamp, "billing rule").value

    def instance_usd_per_hour(self, instance_type: str) -> Decimal:
        """Return an instance type's price in USD per hour; UserError where it is not sold."""
        return _figure(self.instances, instance_type, self.stamp, "instance price").value


@dataclass(frozen=True, slots=True)
class PlatformBook:
    """Times, limits and counts of the platforms, what instances have, and assumed profiles."""

    stamp: BookStamp
    figures: Mapping[str, Figure]
    profile_defaults: Mapping[str, Figure]
    lambda_memory_mb: tuple[int, ...]
    instances: Mapping[str, InstanceType]

    def value(self, name: str) -> float:
        """Return a figure in the unit that its name ends with; UserError where it is missing."""
        return float(_figure(self.figures, name, self.stamp, "figure").value)

    def instance(self, instance_type: str) -> InstanceType:
        """Return what an instance type has; UserError where the book does not know it."""
        if instance_type not in self.instances:
            raise UserError(
                f'the book {self.stamp.name} does not know the instance type "{instance_type}".'
            )
        return self.instances[instance_type]

    def profile_default(self, name: str) -> float:
        """Return the value assumed for a figure that a step's profile leaves out."""
        return float(_figure(self.profile_defaults, name, self.stamp, "profile default").value)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _FigureModel(_Model):
    value: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
    unit: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    date: str = ""
    assumed: bool = False

    def figure(self) -> Figure:
        return Figure(self.value, self.unit, self.source, self.date, self.assumed)


class _BlockModel(_Model):
    source: str
    date: str


class _InstancePricesModel(_BlockModel):
    usd_per_hour: dict[str, Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]]


class _InstancesModel(_BlockModel):
    types: dict[str, tuple[int, float, float, bool]]


class _BookModel(_Model):
    name: str
    date: str
    region: str
    sources: dict[str, str]
    figures: dict[str, _FigureModel]

    def stamp(self) -> BookStamp:
        return BookStamp(self.name, self.date, self.region)


class _PriceBookModel(_BookModel):
    instances: _InstancePricesModel


class _PlatformBookModel(_BookModel):
    profile_defaults: dict[str, _FigureModel]
    lambda_memory_mb: list[int]
    instances: _InstancesModel


@cache
def default_books() -> tuple[PriceBook, PlatformBook]:
    """Return the books that come with Trivium (us-east-1), read once per process."""
    return (
        load_price_book(PRICES_FILE.read_text(encoding="utf-8"), PRICES_FILE.name),
        load_platform_book(PLATFORMS_FILE.read_text(encoding="utf-8"), PLATFORMS_FILE.name),
    )


def load_price_book(text: str, file_name: str = "price book") -> PriceBook:
    """Read a price book. Raises UserError: one sentence, with the line."""
    model = _validated(_PriceBookModel, text, file_name)
    block = model.instances
    return PriceBook(
        model.stamp(),
        {name: figure.figure() for name, figure in model.figures.items()},
        {
            name: Figure(usd, "USD/h", block.source, block.date)
            for name, usd in block.usd_per_hour.items()
        },
    )


def load_platform_book(text: str, file_name: str = "platform book") -> PlatformBook:
    """Read a platform book. Raises UserError: one sentence, with the line."""
    model = _validated(_PlatformBookModel, text, file_name)
    return PlatformBook(
        model.stamp(),
        {name: figure.figure() for name, figure in model.figures.items()},
        {name: figure.figure() for name, figure in model.profile_defaults.items()},
        tuple(sorted(model.lambda_memory_mb)),
        {
            name: InstanceType(name, vcpu, memory_gib, network_gbps, efa)
            for name, (vcpu, memory_gib, network_gbps, efa) in model.instances.types.items()
        },
    )


def _validated[M: BaseModel](kind: type[M], text: str, file_name: str) -> M:
    source = Source(text, file_name)
    try:
        return kind.model_validate(source.data)
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda e: source.line(e["loc"]))
        where = ".".join(str(part) for part in first["loc"])
        raise source.error(first["loc"], f"{where}: {first['msg']}.") from error


def _figure(figures: Mapping[str, Figure], name: str, stamp: BookStamp, what: str) -> Figure:
    if name not in figures:
        raise UserError(
            f'the book {stamp.name} ({stamp.date}, {stamp.region}) has no {what} "{name}".'
        )
    return figures[name]
