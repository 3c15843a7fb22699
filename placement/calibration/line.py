"""A line through points, robust to outliers: Siegel's repeated medians, or a known line scaled.

A. F. Siegel, "Robust regression using repeated medians", Biometrika 69 (1982), doi:10.2307/2335877:
the slope is the median over points of the median slope to the other points, the intercept the
median of what that leaves. Up to half of the points may be wrong. O(n^2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scipy.stats import siegelslopes

from placement.calibration.median import observed_median

# Below this many sizes, or this ratio of the largest to the smallest, a slope would be guessed.
LEAST_SIZES = 4
LEAST_RATIO = 1.5


@dataclass(frozen=True, slots=True)
class Line:
    """`intercept + slope * x`, neither of them negative."""

    intercept: float
    slope: float

    def at(self, x: float) -> float:
        """Return its value at x."""
        return self.intercept + self.slope * x

    def scaled(self, factor: float) -> Line:
        """Return the line whose values are this one's, times a factor."""
        return Line(self.intercept * factor, self.slope * factor)


@dataclass(frozen=True, slots=True)
class Fit:
    """A line; whether its coefficients were fitted, or those of the known line scaled.

    `spread` is the median distance of the points from the line, as a part of the line's value.
    """

    line: Line
    fitted: bool
    spread: float


def fit_line(points: Sequence[tuple[float, float]], known: Line) -> Fit:
    """Return the line through points (x, y), all of them at least 0, in order of time.

    Where the x are too few or too much alike to tell a slope, the `known` line is scaled by the
    median ratio of the points to it.
    """
    sizes = {x for x, _ in points}
    fitted = len(sizes) >= LEAST_SIZES and max(sizes) >= LEAST_RATIO * min(sizes)
    line = _repeated_medians(points) if fitted else _scaled(points, known)
    off = [abs(y - line.at(x)) / line.at(x) for x, y in points if line.at(x) > 0]
    return Fit(line, fitted, median(off) if off else 0.0)


def _repeated_medians(points: Sequence[tuple[float, float]]) -> Line:
    xs, ys = zip(*points, strict=True)
    slope, intercept = map(float, siegelslopes(ys, xs))
    if slope < 0:
        return Line(median(ys), 0.0)
    if intercept < 0:
        return Line(0.0, median(y / x for x, y in points if x > 0))
    return Line(intercept, slope)


def _scaled(points: Sequence[tuple[float, float]], known: Line) -> Line:
    ratios = [y / known.at(x) for x, y in points if known.at(x) > 0]
    if not ratios:
        return Line(observed_median([y for _, y in points]), 0.0)
    return known.scaled(observed_median(ratios))
