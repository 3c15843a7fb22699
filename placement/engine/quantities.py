"""Durations, money and sizes as people write them on a command line.

Each reader takes the text and what messages call it ("--deadline"), and raises UserError: one
sentence.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from placement.errors import UserError

# 31 years, a billion dollars, an exabyte: what is above that is a slip of the finger.
_MOST_S = Decimal(10**9)
_MOST_USD = Decimal(10**9)
_MOST_BYTES = Decimal(10**18)

_LONGEST_SHOWN = 40
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_NUMBER = r"[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}"
_PLAIN = re.compile(_NUMBER)
_WITH_UNIT = re.compile(rf"(?P<number>{_NUMBER}) ?(?P<unit>[A-Za-z]*)")


def duration_s(text: str, what: str = "a duration") -> float:
    """Return the seconds of `5400`, `5400s`, `90m` or `1.5h`; above 0."""
    value = _with_unit(text, _SECONDS)
    _refuse_above(value, _MOST_S, "s", text, what)
    if value is None or not value:
        raise _error(
            text, what, "is a number of seconds above 0, or one with s, m or h: 5400, 90m or 1.5h"
        )
    return float(value)


def size_bytes(text: str, what: str = "a size") -> int:
    """Return the bytes of `2GB` (10^9), `350MB`, `1.5GiB` (2^30) or plain bytes; above 0."""
    value = _with_unit(text, _BYTES)
    _refuse_above(value, _MOST_BYTES, "bytes", text, what)
    if value is None or value < 1:
        raise _error(
            text, what, "is a number of bytes above 0, or one with a unit: 2GB, 350MB or 1.5GiB"
        )
    return round(value)


def money_usd(text: str, what: str = "an amount of money") -> Decimal:
    """Return the USD of `2.50`, `$2.50` or `2.50 USD`; above 0."""
    number = text.strip().removeprefix("$").removesuffix("USD").strip()
    value = Decimal(number) if _PLAIN.fullmatch(number) else Decimal(0)
    _refuse_above(value, _MOST_USD, "USD", text, what)
    if not value:
        raise _error(text, what, "is a number of US dollars above 0, such as 2.50")
    return value


def uploads(texts: Iterable[str], what: str = "--upload") -> dict[str, tuple[int, ...]]:
    """Return the sizes in bytes by role of `ROLE=SIZE`, such as `reads=2GB`, one for each file."""
    found: dict[str, tuple[int, ...]] = {}
    for text in texts:
        role, equals, size = text.partition("=")
        role = role.strip()
        if not equals or not role:
            raise _error(text, what, "is ROLE=SIZE, for example reads=2GB")
        found[role] = (*found.get(role, ()), size_bytes(size, f"SIZE in {what} {role}=SIZE"))
    return found


def _with_unit(text: str, units: Mapping[str, int]) -> Decimal | None:
    found = _WITH_UNIT.fullmatch(text.strip())
    if found is None or found["unit"].lower() not in units:
        return None
    return Decimal(found["number"]) * units[found["unit"].lower()]


def _refuse_above(value: Decimal | None, most: Decimal, unit: str, text: str, what: str) -> None:
    if value is not None and value > most:
        raise _error(text, what, f"may be {most:,} {unit} at the most")


def _error(text: str, what: str, takes: str) -> UserError:
    given = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return UserError(f'{what} {takes}, not "{given}".')
