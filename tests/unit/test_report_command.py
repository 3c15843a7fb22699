"""`trivium report`: the files that it writes, and one sentence for each mistake."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from control.stack import Stack
from runtime.keys import RunKeys
from tests.command import Run, check_refused
from tests.unit import cur_sample as sample
from trivium.target import Target

PAGE = "<!doctype html><title>a run</title>"


@pytest.fixture
def run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a run whose report is in the bucket."""
    report = sample.report()
    name = str(report["run"])
    stack.store.put_json(RunKeys(name).report_json, report)
    stack.store.put_text(RunKeys(name).report_html, PAGE, "text/html")
    monkeypatch.setattr(Target, "choose", lambda _: Target(stack, {}))
    return name


def test_the_csv_has_every_line_of_the_account_and_adds_up(
    run: str, trivium: Run, tmp_path: Path
) -> None:
    done = trivium("report", run, "--csv", tmp_path / "lines.csv", "--html", tmp_path / "page.html")
    assert done.code == 0
    with (tmp_path / "lines.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["outcome"] for row in rows} == {run}
    usd = sum((Decimal(row["usd"]) for row in rows), Decimal(0))
    assert usd == Decimal(sample.report()["measured"]["usd"])
    assert (tmp_path / "page.html").read_text() == PAGE


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--csv", "no/where.csv"), "there is no folder no for --csv."),
        (("--csv", "x", "--html", "x"), "--html and --csv would both write x."),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is(
    run: str, trivium: Run, words: tuple[str, ...], says: str
) -> None:
    check_refused(trivium("report", run, *words), says)


def test_an_unknown_run_writes_nothing(run: str, trivium: Run, tmp_path: Path) -> None:
    done = trivium("report", f"{run}x", "--csv", tmp_path / "lines.csv")
    check_refused(done, f"There is no run '{run}x'; `trivium runs` lists them.")
    assert list(tmp_path.iterdir()) == []
