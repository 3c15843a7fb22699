"""A calibration in a terminal: the errors before and after, and the figures that it holds."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from placement.calibration.assess import Assessed
from placement.calibration.calibration import Calibration, Computing, Overheads, Scope
from reporting.calibrated import error_text
from reporting.change import counted
from reporting.table import titled_table
from reporting.text import MISSING, plain, seconds_text


def calibration_tables(calibration: Calibration, assessed: Sequence[Assessed]) -> RenderableType:
    """Lay out what was learned, and what the next estimates rest on."""
    said = Text(
        f"Calibration of {calibration.made_at}, from {counted(calibration.attempts, 'attempt')} of "
        f"{counted(calibration.runs, 'run')}."
    )
    parts: list[RenderableType] = [said, Text(), _errors(assessed), Text()]
    if calibration.computing:
        parts += [_computing(calibration), Text()]
    if calibration.overheads:
        parts += [_overheads(calibration), Text()]
    parts += [_run_times(calibration)]
    parts += [
        Text(f"{plain(one.step)} on {one.platform} {one.size}: {one.basis}.")
        for one in assessed
        if "the book" in one.basis
    ]
    return Group(*parts)


def _errors(assessed: Sequence[Assessed]) -> Table:
    table = titled_table("Median estimate against measured", "step", "at")
    for head in ("attempts", "measured", "by the\nbook", "error\nbefore", "cali-\nbrated"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("error\nafter", justify="right", no_wrap=True)
    for one in assessed:
        table.add_row(
            Text(plain(one.step)),
            Text(f"{one.platform} {one.size}"),
            str(one.attempts),
            seconds_text(one.measured_s),
            seconds_text(one.book_s),
            error_text(one.book_error),
            seconds_text(one.calibrated_s),
            error_text(one.calibrated_error),
        )
    return table


def _computing(calibration: Calibration) -> Table:
    table = titled_table("Seconds of a task on a reference core", "step", "at")
    for head in ("task", "per MB", "own start", "spread", "MB seen"):
        table.add_column(head, justify="right", no_wrap=True)
    for scope in _shown(calibration.computing):
        one: Computing = calibration.computing[scope]
        table.add_row(
            Text(plain(scope.step)),
            _place(scope),
            f"{one.s_per_task:.3f} s",
            f"{one.s_per_mb:.3f} s" + ("" if one.line else " *"),
            MISSING if one.own_start_s is None else seconds_text(one.own_start_s),
            error_text(one.spread),
            _range(one),
        )
    if not all(one.line for one in calibration.computing.values()):
        table.caption = "* sizes too much alike for a slope: the book's, scaled"
        table.caption_justify = "left"
    return table


def _overheads(calibration: Calibration) -> Table:
    table = titled_table("Besides computing", "step", "at")
    for head in ("waiting", "start-up", "requests", "MB/s", "attempts"):
        table.add_column(head, justify="right", no_wrap=True)
    for scope in _shown(calibration.overheads):
        one: Overheads = calibration.overheads[scope]
        table.add_row(
            Text(plain(scope.step) or "all steps"),
            _place(scope),
            seconds_text(one.queue_s),
            seconds_text(one.startup_s),
            f"{one.request_scale:.2f} x book",
            f"{1 / one.s_per_mb:,.0f}" if one.s_per_mb else MISSING,
            str(one.attempts),
        )
    return table


def _run_times(calibration: Calibration) -> Text:
    times = calibration.run_times
    if times is None:
        return Text("What a run takes beside its steps: by the book, for want of runs.")
    return Text(
        f"Beside its steps a run takes {seconds_text(times.start_s)} before the first, "
        f"{seconds_text(times.handover_s)} between two and {seconds_text(times.end_s)} at the end "
        f"({times.runs} runs)."
    )


def _shown(figures: object) -> list[Scope]:
    """Leave out what is only looked up where nothing narrower is known."""
    assert isinstance(figures, dict)
    return [scope for scope in sorted(figures) if scope.size or not scope.step]


def _place(scope: Scope) -> Text:
    return Text(f"{scope.platform} {scope.size}".strip())


def _range(one: Computing) -> str:
    low, high = f"{one.smallest_mb:.3g}", f"{one.largest_mb:.3g}"
    return low if low == high else f"{low} to {high}"
