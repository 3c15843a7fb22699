"""The rows of a comparison, the same in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from reporting.comparing.difference import StepDifference
from reporting.comparing.outcome import Line, Outcome, total, with_idle_in_computing
from reporting.comparing.words import kind_text, places_text
from reporting.text import MISSING

_ARROW = "\N{RIGHTWARDS ARROW}"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letter(position: int) -> str:
    """Return what an outcome is called where its name would be too long: A, B, ... Z, 27, 28."""
    return _LETTERS[position] if position < len(_LETTERS) else str(position + 1)


def where_text(row: Sequence[StepDifference]) -> str:
    """Say where a step is, in one line."""
    return "; ".join(where_lines(row))


def where_lines(row: Sequence[StepDifference]) -> list[str]:
    """Say where a step is: once where it is the same for all, from where to where of two.

    Of more each place is told with the letters of those that have it.
    """
    first, *_ = row
    if first.step is None:
        return ["shared and idle"]
    sides = [first.base, *(each.other for each in row)]
    said = [places_text(side.places) if side else MISSING for side in sides]
    places = dict.fromkeys(said)
    if len(places) == 1 or len(said) == 2:  # noqa: PLR2004  (from one to the other)
        return [f" {_ARROW} ".join(said if len(places) > 1 else places)]
    having = {place: [letter(at) for at, x in enumerate(said) if x == place] for place in places}
    return [f"{', '.join(letters)}: {place}" for place, letters in having.items()]


def kind_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Decimal]]]:
    """Return each kind of cost with what every outcome pays for it, the dearest first.

    Where one does not tell idle time apart, it counts as computing in all.
    """
    tell = all(each.tells_idle for each in outcomes)
    columns = []
    for each in outcomes:
        lines = each.lines if tell else with_idle_in_computing(each.lines)
        columns.append(_by_label(lines))
    labels = dict.fromkeys(label for column in columns for label in column)
    rows = [(label, [column.get(label, Decimal(0)) for column in columns]) for label in labels]
    return sorted(rows, key=lambda row: (-max(row[1]), row[0]))


def _by_label(lines: Iterable[Line]) -> dict[str, Decimal]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(kind_text(line.kind, line.service), []).append(line)
    return {label: total(alike) for label, alike in found.items()}
