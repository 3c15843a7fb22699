"""Arrays as the relaxation uses them: names of their types, and compressed rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from placement import account

type Ints = npt.NDArray[np.int64]
type Floats = npt.NDArray[np.float64]
type Bools = npt.NDArray[np.bool_]

# Later than every time there is; sums of some of it still fit into 64 bits.
NEVER = 1 << 50


def ms(seconds: float) -> int:
    """Return seconds as whole milliseconds, rounded up, but not for how floats are kept."""
    return math.ceil(round(seconds * 1000, 6))


def all_ms(seconds: Floats) -> Ints:
    """Return seconds as whole milliseconds, rounded up, but not for how floats are kept."""
    return np.ceil(np.round(seconds * 1000, 6)).astype(np.int64)


def usd(unit_price: Decimal) -> float:
    """Return a unit price as an account has it, that is rounded."""
    return float(account.item("", 1, "", unit_price).unit_usd)


@dataclass(frozen=True, slots=True)
class Rows:
    """Compressed rows: the entries of row i are `entries[ptr[i]:ptr[i + 1]]`."""

    ptr: Ints
    entries: Ints

    @staticmethod
    def of(rows: Iterable[Sequence[int]]) -> Rows:
        """Compress lists."""
        lengths: list[int] = [0]
        entries: list[int] = []
        for row in rows:
            entries.extend(row)
            lengths.append(len(entries))
        return Rows(np.array(lengths, dtype=np.int64), np.array(entries, dtype=np.int64))

    def owners(self) -> Ints:
        """Return each entry's row."""
        return np.repeat(np.arange(len(self.ptr) - 1), np.diff(self.ptr))

    def counts(self) -> Ints:
        """Return the lengths of the rows."""
        return np.diff(self.ptr)

    def sums(self, values: Ints) -> Ints:
        """Return the sum of each row's values, which stand as the entries do."""
        return np.diff(np.concatenate([[0], np.cumsum(values)])[self.ptr])
