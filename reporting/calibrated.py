"""A calibrated run's estimates beside what the book alone would have said, with both errors."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from reporting.report import Amount, Report
from reporting.text import MISSING, seconds_text


@dataclass(frozen=True)
class ErrorRow:
    """One step, or the whole run: measured, and both estimates with their errors, as text."""

    name: str
    measured: str
    by_book: str
    error_before: str
    calibrated: str
    error_after: str
    basis: str


@dataclass(frozen=True)
class EstimateErrors:
    """The errors of a run's estimates of time before and after the calibration."""

    rows: tuple[ErrorRow, ...]
    sentence: str


def error_text(error: float | None) -> str:
    """Return a relative error in percent."""
    if error is None:
        return MISSING
    percent = error * 100
    return f"{percent:.1f} %" if percent < 10 else f"{percent:,.0f} %"  # noqa: PLR2004


def estimate_errors(report: Report) -> EstimateErrors | None:
    """Return the errors of every step and of the run; None where no calibration was used.

    An error is |estimate - measured| / measured, of the time.
    """
    if report.estimate_by_book is None:
        return None
    before, after, rows = [], [], []
    for step in report.steps:
        old = _error(step.estimate_by_book, step.measured.wall_s)
        new = _error(step.estimate, step.measured.wall_s)
        if old is not None and new is not None:
            before.append(old)
            after.append(new)
        measured_s = step.measured.wall_s
        rows.append(
            _row(step.step, measured_s, step.estimate_by_book, step.estimate, step.calibrated)
        )
    run_s = report.measured.seconds
    rows.append(_row("whole run", run_s, report.estimate_by_book, report.estimate, ""))
    stamp = next((book for book in report.books if book.name == "calibration"), None)
    sentence = f"Calibration of {stamp.date}. " if stamp else ""
    if after:
        sentence += (
            f"The median error of a step's estimate of time is {error_text(median(after))}; by the "
            f"book alone it would be {error_text(median(before))}."
        )
    return EstimateErrors(tuple(rows), sentence.strip())


def _row(
    name: str, measured_s: float, by_book: Amount | None, calibrated: Amount | None, basis: str
) -> ErrorRow:
    return ErrorRow(
        name,
        seconds_text(measured_s),
        seconds_text(by_book.seconds if by_book else None),
        error_text(_error(by_book, measured_s)),
        seconds_text(calibrated.seconds if calibrated else None),
        error_text(_error(calibrated, measured_s)),
        basis,
    )


def _error(estimate: Amount | None, measured_s: float) -> float | None:
    if estimate is None or not measured_s:
        return None
    return abs(estimate.seconds - measured_s) / measured_s
