"""The two books as the checker reads them: every number as it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

BOOKS = Path(__file__).parents[2] / "placement" / "books"
_GIB = 1 << 30


@dataclass(frozen=True)
class Node:
    """What an instance type has."""

    vcpus: int
    memory_bytes: int
    network_mb_per_s: float


@dataclass(frozen=True)
class Books:
    """The figures of both books; `types` are the instance types offered for ray and for hpc."""

    figures: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    hourly: Mapping[str, Decimal]
    nodes: Mapping[str, Node]
    lambda_sizes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, tuple[str, ...]]
    hpc_head_type: str

    def value(self, name: str) -> float:
        """Return a figure of the platform book. Raises ValueError where it is missing."""
        if name not in self._floats:
            raise ValueError(f'the platform book has no figure "{name}"')
        return self._floats[name]

    @cached_property
    def _floats(self) -> Mapping[str, float]:
        return {name: float(value) for name, value in self.figures.items()}

    def exact(self, name: str) -> Decimal:
        """Return a figure of the platform book as it is written there."""
        if name not in self.figures:
            raise ValueError(f'the platform book has no figure "{name}"')
        return self.figures[name]

    def usd(self, name: str) -> Decimal:
        """Return a figure of the price book. Raises ValueError where it is missing."""
        if name not in self.prices:
            raise ValueError(f'the price book has no figure "{name}"')
        return self.prices[name]


def read_books(folder: Path = BOOKS) -> Books:
    """Read `platforms-*.yaml` and `prices-*.yaml`, every number digit by digit."""
    platforms, prices = _book(folder, "platforms"), _book(folder, "prices")
    return Books(
        _figures(platforms["figures"]),
        _figures(prices["figures"]),
        {name: Decimal(usd) for name, usd in prices["instances"]["usd_per_hour"].items()},
        {name: _node(row) for name, row in platforms["instances"]["types"].items()},
        {
            arch: tuple(int(memory) for memory in memories)
            for arch, memories in platforms["lambda_sizes"].items()
        },
        {name: tuple(platforms[f"{name}_types"]) for name in ("ray", "hpc")},
        platforms["hpc_head_type"],
    )


def _book(folder: Path, name: str) -> dict[str, Any]:
    found = sorted(folder.glob(f"{name}-*.yaml"))
    if len(found) != 1:
        raise ValueError(f"{folder} has {len(found)} files {name}-*.yaml; one is wanted")
    # The base loader leaves every number as the text that it is: no binary rounding.
    data = yaml.load(found[0].read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
    if not isinstance(data, dict):
        raise TypeError(f"{found[0]} is no book")
    return data


def _figures(rows: Mapping[str, Mapping[str, str]]) -> dict[str, Decimal]:
    figures = {}
    for name, row in rows.items():
        try:
            figures[name] = Decimal(row["value"])
        except InvalidOperation as error:
            raise ValueError(f'figure "{name}": {row["value"]} is no number') from error
    return figures


def _node(row: Sequence[str]) -> Node:
    vcpus, memory_gib, network_gbps = row[:3]
    return Node(int(vcpus), int(Decimal(memory_gib) * _GIB), float(network_gbps) * 125)
