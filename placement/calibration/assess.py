"""How far estimates are from what was measured, by the book and with a calibration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from placement.calibration.calibration import Calibration
from placement.calibration.known import Known, size_name
from placement.calibration.samples import Sample


@dataclass(frozen=True, slots=True)
class Assessed:
    """One step at one place: medians over its attempts, and what its next estimate rests on.

    Errors are |estimate - measured| / measured. Those of a calibration are of the attempts that it
    was fitted to, where there were enough.
    """

    workflow: str
    step: str
    platform: str
    size: str
    attempts: int
    measured_s: float
    book_s: float
    book_error: float
    calibrated_s: float
    calibrated_error: float
    basis: str


def assess(samples: Iterable[Sample], known: Known, calibration: Calibration) -> list[Assessed]:
    """Return every step at every place where a run had it, in their order of name."""
    groups: dict[tuple[str, str, str, str], list[Sample]] = {}
    for one in samples:
        if one.wall_s > 0 and not one.probe:
            at = (one.workflow, one.step, one.platform, size_name(one))
            groups.setdefault(at, []).append(one)
    return [_assessed(at, groups[at], known, calibration) for at in sorted(groups)]


def _assessed(
    at: tuple[str, str, str, str], group: list[Sample], known: Known, calibration: Calibration
) -> Assessed:
    book = [known.seconds(one) for one in group]
    fitted = [known.seconds(one, calibration) for one in group]
    return Assessed(
        *at,
        attempts=len(group),
        measured_s=median(one.wall_s for one in group),
        book_s=median(book),
        book_error=_median_error(book, group),
        calibrated_s=median(fitted),
        calibrated_error=_median_error(fitted, group),
        basis=calibration.basis(*at),
    )


def _median_error(estimates: list[float], group: list[Sample]) -> float:
    return median(
        abs(seconds - one.wall_s) / one.wall_s
        for seconds, one in zip(estimates, group, strict=True)
    )
