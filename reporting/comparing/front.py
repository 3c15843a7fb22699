"""Time against cost: points of plans, which are worth having, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from reporting.change import amount_text, compared, faster, than
from reporting.comparing.rows import letter
from reporting.text import seconds_text, usd_text

type Role = Literal["chosen", "front", "rejected"]

ROLES: dict[Role, str] = {
    "chosen": "chosen",
    "front": "on the front",
    "rejected": "behind the front",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One placement of the whole: what it takes and costs, its part, and why it was not taken."""

    label: str
    seconds: float
    usd: Decimal
    role: Role = "front"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a point is drawn: percent from the left and from the bottom."""

    left: float
    bottom: float


def judged(points: Sequence[Point], deadline_s: float | None = None) -> tuple[Point, ...]:
    """Return the points with their roles and reasons; one that is "chosen" stays so.

    Estimates and measurements must not be among the same points.
    """
    chosen = next((point for point in points if point.role == "chosen"), None)
    return tuple(_judged(point, points, chosen, deadline_s) for point in points)


def _judged(
    point: Point, points: Sequence[Point], chosen: Point | None, deadline_s: float | None
) -> Point:
    better = next((other for other in points if _beats(other, point)), None)
    if point.role == "chosen":
        why = _beaten_text(point, better) if better else ""
        return replace(point, why=why)
    if better is not None:
        return replace(point, role="rejected", why=_beaten_text(point, better))
    if deadline_s is not None and point.seconds > deadline_s:
        late = seconds_text(point.seconds - deadline_s)
        return replace(point, role="front", why=f"{late} past the deadline")
    return replace(point, role="front", why=_trade_text(point, chosen) if chosen else "")


def _beats(one: Point, other: Point) -> bool:
    return (
        one.seconds <= other.seconds
        and one.usd <= other.usd
        and (one.seconds, one.usd) != (other.seconds, other.usd)
    )


def _beaten_text(point: Point, better: Point) -> str:
    longer, dearer = point.seconds - better.seconds, point.usd - better.usd
    words = []
    if longer > 0:
        words.append(f"{seconds_text(longer)} slower")
    if dearer > 0:
        words.append(f"{amount_text(dearer)} dearer")
    return f"{better.label} is better: this is {' and '.join(words)}"


def _trade_text(point: Point, chosen: Point) -> str:
    if (point.seconds, point.usd) == (chosen.seconds, chosen.usd):
        return "comes to the same"
    cost = than(float(point.usd), float(chosen.usd), "cheaper", "dearer")
    return compared(cost, faster(point.seconds, chosen.seconds), "the chosen one")


@dataclass(frozen=True, slots=True)
class Plot:
    """Points with their letters and spots, the ends of both axes, and words for the marks drawn."""

    points: tuple[tuple[Point, str, Spot], ...]
    least_s: str
    most_s: str
    least_usd: str
    most_usd: str
    roles: dict[Role, str]


def plot(points: Sequence[Point], decimals: int) -> Plot | None:
    """Return what is drawn of the points; of less than two, nothing."""
    if len(points) < 2:  # noqa: PLR2004  (one point shows no choice)
        return None
    times, costs = [point.seconds for point in points], [point.usd for point in points]
    drawn = {point.role for point in points}
    letters = [letter(at) for at in range(len(points))]
    return Plot(
        tuple(zip(points, letters, spots(points), strict=True)),
        seconds_text(min(times)),
        seconds_text(max(times)),
        usd_text(min(costs), decimals),
        usd_text(max(costs), decimals),
        {role: words for role, words in ROLES.items() if role in drawn},
    )


def spots(points: Sequence[Point]) -> tuple[Spot, ...]:
    """Return where the points are drawn, the extremes at the edges."""
    times, costs = [point.seconds for point in points], [float(point.usd) for point in points]
    return tuple(
        Spot(_percent(time, times), _percent(cost, costs))
        for time, cost in zip(times, costs, strict=True)
    )


def _percent(value: float, among: Sequence[float]) -> float:
    low, high = min(among), max(among)
    return round((value - low) / (high - low) * 100, 2) if high > low else 50.0
