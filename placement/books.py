"""The price book and the platform book: dated figures, each with unit, source and date.

All estimates, and the money of all measurements, come from these two data files. A figure that is
missing is an error; one that nobody measured or documented is there as a labelled assumption.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from placement.errors import UserError
from placement.yaml_source import Path, Source

_FOLDER = FilePath(__file__).parent / "books"
PRICES_FILE = _FOLDER / "prices-us-east-1.yaml"
PLATFORMS_FILE = _FOLDER / "platforms-us-east-1.yaml"

type Arch = Literal["x86_64", "arm64"]

_ZERO = Decimal(0)
_LAMBDA_PRICES: Mapping[str, str] = {"x86_64": "lambda_x86_gb_s", "arm64": "lambda_arm_gb_s"}


@dataclass(frozen=True, slots=True)
class Tier:
    """A volume tier: what a month uses above this quantity costs `usd` each."""

    above: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `assumed`: nobody measured or documented it, and `source` says why this value.

    A price that falls with the volume of a month has `tiers` above the first, whose price `value`
    is.
    """

    value: Decimal
    unit: str
    source: str
    date: str
    assumed: bool = False
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceType:
    """What an EC2 instance type has: vCPUs, memory in GiB, baseline network in Gbit/s, EFA.

    `arch` is "x86_64" or "arm64".
    """

    name: str
    vcpu: int
    memory_gib: float
    network_gbps: float
    efa: bool
    arch: Arch


@dataclass(frozen=True, slots=True)
class BookStamp:
    """Which book a figure came from."""

    name: str
    date: str
    region: str


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Unit prices in USD by name; instance prices in USD per hour by type (Linux, on demand).

    `sources` says what the short names of figures' sources stand for.
    """

    stamp: BookStamp
    figures: Mapping[str, Figure]
    instances: Mapping[str, Figure]
    sources: Mapping[str, str] = MappingProxyType({})

    def usd(self, name: str) -> Decimal:
        """Return a unit price in USD; UserError that names it where the book has none.

        Of a price with volume tiers it is the first.
        """
        return _figure(self.figures, name, self.stamp, "price").value

    def tiers(self, name: str) -> tuple[Tier, ...]:
        """Return a unit price's volume tiers in USD, the first above 0; UserError as `usd`."""
        figure = _figure(self.figures, name, self.stamp, "price")
        return (Tier(_ZERO, figure.value), *figure.tiers)

    def rule(self, name: str) -> Decimal:
        """Return a figure of a billing rule (a minimum, a length of month) in its own unit."""
        return _figure(self.figures, name, self.stamp, "billing rule").value

    def lambda_usd_per_gb_s(self, arch: str) -> Decimal:
        """Return the price of a GB-second of Lambda on "x86_64" or "arm64", in the first tier."""
        return self.lambda_tiers(arch)[0].usd

    def lambda_tiers(self, arch: str) -> tuple[Tier, ...]:
        """Return the volume tiers of a GB-second of Lambda on "x86_64" or "arm64"."""
        if arch not in _LAMBDA_PRICES:
            raise UserError(
                f'Lambda has no architecture "{arch}"; there are {" and ".join(_LAMBDA_PRICES)}.'
            )
        return self.tiers(_LAMBDA_PRICES[arch])

    def instance_usd_per_hour(self, instance_type: str) -> Decimal:
        """Return an instance type's price in USD per hour; UserError where it is not sold."""
        return _figure(self.instances, instance_type, self.stamp, "instance price").value


@dataclass(frozen=True, slots=True)
class PlatformBook:
    """Times, limits and counts of the platforms, what instances have, and assumed profiles.

    `lambda_memory_mb` is what is deployed; a plan of a task graph may choose among `lambda_sizes`
    (MB by architecture), `ray_types` and `hpc_types`.
    """

    stamp: BookStamp
    figures: Mapping[str, Figure]
    profile_defaults: Mapping[str, Figure]
    lambda_memory_mb: tuple[int, ...]
    instances: Mapping[str, InstanceType]
    lambda_sizes: Mapping[str, tuple[int, ...]]
    ray_types: tuple[str, ...]
    hpc_types: tuple[str, ...]
    hpc_head_type: str

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


_Price = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_LambdaSizes = Annotated[list[Annotated[int, Field(ge=128, le=10_240)]], Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _TierModel(_Model):
    above: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
    value: _Price

    def tier(self) -> Tier:
        return Tier(self.above, self.value)


class _FigureModel(_Model):
    value: _Price
    unit: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    date: str = ""
    assumed: bool = False
    tiers: list[_TierModel] = []

    def figure(self) -> Figure:
        tiers = tuple(each.tier() for each in self.tiers)
        return Figure(self.value, self.unit, self.source, self.date, self.assumed, tiers)


class _BlockModel(_Model):
    source: str
    date: str


class _ApartModel(_BlockModel):
    families: list[str] = []
    types: list[str] = []


class _InstancePricesModel(_BlockModel):
    usd_per_hour: dict[str, _Price]
    apart: list[_ApartModel] = []  # types and families with another source than the others

    def figures(self) -> dict[str, Figure]:
        """Return prices in USD per hour by type, with the sources of their types or families."""
        by_type: dict[str, _BlockModel] = {name: each for each in self.apart for name in each.types}
        by_family: dict[str, _BlockModel] = {
            name: each for each in self.apart for name in each.families
        }
        found = {}
        for name, usd in self.usd_per_hour.items():
            block = by_type.get(name) or by_family.get(name.partition(".")[0]) or self
            found[name] = Figure(usd, "USD/h", block.source, block.date)
        return found


class _InstancesModel(_BlockModel):
    types: dict[str, tuple[Annotated[int, Field(ge=1)], _Positive, _Positive, bool, Arch]]


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
    lambda_sizes: dict[Arch, _LambdaSizes]
    ray_types: list[str]
    hpc_types: list[str]
    hpc_head_type: str
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
    source = Source(text, file_name)
    model = _validated(_PriceBookModel, source)
    _check_tiers(model, source)
    return PriceBook(
        model.stamp(),
        {name: figure.figure() for name, figure in model.figures.items()},
        model.instances.figures(),
        dict(model.sources),
    )


def load_platform_book(text: str, file_name: str = "platform book") -> PlatformBook:
    """Read a platform book. Raises UserError: one sentence, with the line."""
    source = Source(text, file_name)
    model = _validated(_PlatformBookModel, source)
    _check_types(model, source)
    _check_speeds(model, source)
    return PlatformBook(
        model.stamp(),
        {name: figure.figure() for name, figure in model.figures.items()},
        {name: figure.figure() for name, figure in model.profile_defaults.items()},
        tuple(sorted(model.lambda_memory_mb)),
        {
            name: InstanceType(name, vcpu, memory_gib, network_gbps, efa, arch)
            for name, (vcpu, memory_gib, network_gbps, efa, arch) in model.instances.types.items()
        },
        {arch: tuple(sorted(sizes)) for arch, sizes in sorted(model.lambda_sizes.items())},
        tuple(model.ray_types),
        tuple(model.hpc_types),
        model.hpc_head_type,
    )


def _check_tiers(model: _PriceBookModel, source: Source) -> None:
    """Refuse tiers that do not rise: a quantity would fall into two of them, or into none."""
    for name, figure in model.figures.items():
        begins = [tier.above for tier in figure.tiers]
        if any(later <= sooner for sooner, later in pairwise(begins)):
            raise source.error(("figures", name, "tiers"), f"the tiers of {name} do not rise.")


def _check_types(model: _PlatformBookModel, source: Source) -> None:
    """Refuse an offer of an instance type that the book does not describe, and one made twice."""
    offers: list[tuple[Path, str]] = [(("hpc_head_type",), model.hpc_head_type)]
    for where, names in (("ray_types", model.ray_types), ("hpc_types", model.hpc_types)):
        offers += [((where, i), name) for i, name in enumerate(names)]
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise source.error((where,), f'{where} names "{twice}" twice.')
    for path, name in offers:
        if name not in model.instances.types:
            raise source.error(
                path, f'{path[0]} names "{name}", which instances: does not describe.'
            )


def _check_speeds(model: _PlatformBookModel, source: Source) -> None:
    """Refuse a speed of 0: times are divided by it."""
    for name, figure in model.figures.items():
        if name.endswith("_core_speed") and not figure.value:
            raise source.error(("figures", name), f"figures.{name} is 0; a speed is above 0.")


def _validated[M: BaseModel](kind: type[M], source: Source) -> M:
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
