"""Clauses with figures: what a plan says of a placement, before it is put into words.

A clause keeps its figures as numbers, so that whoever prints it decides how they are written, and
may say the same of several placements at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

type Unit = Literal["ms", "usd", "share", "mib", "count", "name"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure and its unit: milliseconds, USD, a share (0.05 is 5 %), 2^20 bytes, a number."""

    value: float | str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause; each `{}` of its text stands for the next of its figures."""

    text: str
    figures: tuple[Quantity, ...] = ()


def ms(value: float) -> Quantity:
    """Return a duration or a moment, in milliseconds."""
    return Quantity(int(value), "ms")


def usd(value: float) -> Quantity:
    """Return an amount of money."""
    return Quantity(float(value), "usd")


def share(value: float) -> Quantity:
    """Return a part of a whole, or a change by so much of it."""
    return Quantity(float(value), "share")


def mib(size_bytes: float) -> Quantity:
    """Return an amount of memory or disk, given in bytes."""
    return Quantity(float(size_bytes) / (1 << 20), "mib")


def count(value: int) -> Quantity:
    """Return a number of things."""
    return Quantity(int(value), "count")


def name(value: str) -> Quantity:
    """Return what something is called."""
    return Quantity(value, "name")
