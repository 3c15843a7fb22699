"""The estimate's error before and after calibration, in the terminal and on the page."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from reporting.calibrated import error_text, estimate_errors
from reporting.html import render
from reporting.report import parse_report
from reporting.terminal import placement_table

GOLDEN = Path(__file__).parent / "golden"
STAMP = {"name": "calibration", "date": "2026-01-02T03:04:05.000Z", "region": "us-east-1"}
Data = dict[str, Any]


@pytest.fixture
def calibrated() -> Data:
    """Return a run of which every step took 10 s: 20 s by the book, 11 s and more calibrated."""
    data: Data = json.loads((GOLDEN / "report.json").read_text())
    data["books"].append(STAMP)
    data["estimate_by_book"] = {"seconds": 50, "usd": "0.5"}
    data["estimate"] = {"seconds": 120, "usd": "0.4"}
    data["measured"]["seconds"] = 100.0
    for number, step in enumerate(data["steps"], 1):
        step["measured"]["wall_s"] = 10.0
        step["estimate"] = {"seconds": 10.0 + number, "usd": "0.1"}
        step["estimate_by_book"] = {"seconds": 20.0, "usd": "0.1"}
        step["calibrated"] = f"computing from {number + 1} attempts"
    return data


def test_errors_are_parts_of_what_was_measured(calibrated: Data) -> None:
    errors = estimate_errors(parse_report(calibrated))
    assert errors is not None
    steps = len(calibrated["steps"])
    assert [row.error_before for row in errors.rows] == ["100 %"] * steps + ["50 %"]
    assert [row.error_after for row in errors.rows][:2] == ["10 %", "20 %"]
    assert errors.rows[-1].name == "whole run"
    assert errors.rows[-1].error_after == "20 %"


def test_the_sentence_names_the_calibration_and_both_medians(calibrated: Data) -> None:
    calibrated["steps"] = calibrated["steps"][:2]
    errors = estimate_errors(parse_report(calibrated))
    assert errors is not None
    assert errors.sentence == (
        "Calibration of 2026-01-02T03:04:05.000Z. The median error of a step's estimate of time is "
        "15 %; by the book alone it would be 100 %."
    )


def test_a_run_that_was_not_calibrated_shows_no_such_table() -> None:
    report = parse_report(json.loads((GOLDEN / "report.json").read_text()))
    assert estimate_errors(report) is None
    assert "calibration" not in render(report)


def test_a_step_without_an_estimate_has_no_error(calibrated: Data) -> None:
    for step in calibrated["steps"]:
        step["estimate_by_book"] = None
    errors = estimate_errors(parse_report(calibrated))
    assert errors is not None
    assert {row.error_before for row in errors.rows[:-1]} == {"-"}
    assert errors.sentence == "Calibration of 2026-01-02T03:04:05.000Z."


def test_terminal_and_page_show_both_errors_and_what_an_estimate_rests_on(calibrated: Data) -> None:
    calibrated["steps"][0]["calibrated"] = "<b>computing</b> from 2 attempts"
    report = parse_report(calibrated)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with console.capture() as capture:
        console.print(placement_table(report))
    text, page = capture.get(), render(report)
    assert "The estimate's error before and after calibration" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<b>computing</b> from 2 attempts" in text
    assert "&lt;b&gt;computing&lt;/b&gt; from 2 attempts" in page
    assert "by the book alone it would be 100 %" in page


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.0, "0.0 %"), (0.0123, "1.2 %"), (0.12345, "12 %"), (25.0, "2,500 %"), (None, "-")],
)
def test_an_error_is_written_in_percent(error: float | None, text: str) -> None:
    assert error_text(error) == text
