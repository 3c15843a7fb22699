"""What people and programs read of a comparison: the table, the page, JSON and CSV."""

from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest

from placement.engine.schedule import Schedule, TaskRun, Worker
from placement.engine.taskgraph import Group, Task, TaskGraph
from reporting.comparing.activity import BUCKETS, MOST_WORKERS
from reporting.comparing.comparison_file import (
    comparison_csv,
    comparison_file_json,
    comparison_schema_text,
)
from reporting.comparing.from_plan import activity_of
from reporting.comparing.from_report import outcome_of_report
from reporting.comparing.front import Point, judged
from reporting.comparing.outcome import Outcome
from reporting.comparing.page import comparison_page, front_page, plan_page
from reporting.comparing.terminal import compared_table
from reporting.report import parse_report
from tests.unit.shown import GOLDEN, check_golden, shown
from tests.unit.test_plan_output import sample
from tests.unit.test_reporting_output import HOSTILE, Page

MB = 1_000_000


def planned() -> Outcome:
    outcome = sample().outcome
    assert outcome is not None
    return replace(outcome, name="plan.json")


def run() -> Outcome:
    return outcome_of_report(parse_report(json.loads((GOLDEN / "report.json").read_text())), "run")


def dearer() -> Outcome:
    plan = planned()
    more = [replace(line, usd=line.usd * 2, quantity=line.quantity * 2) for line in plan.lines]
    return replace(plan, name="twice", lines=tuple(more), makespan_s=plan.makespan_s * 2)


def hostile() -> Outcome:
    plan = planned()
    return replace(
        plan,
        name=HOSTILE,
        workflow=HOSTILE,
        policy=HOSTILE,
        note=HOSTILE,
        assumptions=(HOSTILE,),
        lines=tuple(replace(line, step=line.step and HOSTILE, what=HOSTILE) for line in plan.lines),
        steps=tuple(replace(step, step=HOSTILE) for step in plan.steps[:1]),
    )


def large(tasks: int) -> Schedule:
    """Make a schedule of so many tasks of ten steps, on as many workers as tasks by fifty."""
    graph = TaskGraph(
        "large",
        "paper",
        tuple(
            Task(
                f"t{n}",
                n * 10 // tasks,
                1.0,
                1,
                MB,
                (),
                (),
                (n - tasks // 10,) if n * 10 >= tasks else (),
            )
            for n in range(tasks)
        ),
        tuple(Group(f"step{n}", "map", ("ray",)) for n in range(10)),
        (),
        (),
        (),
    )
    workers = [
        Worker(f"ray-{n:05d}", "ray", "n2", 2, 1000 * MB, 0, 10_000, 500_000, Decimal("0.5"))
        for n in range(tasks // 50)
    ]
    runs = [
        TaskRun(
            n,
            "ray",
            workers[n % len(workers)].id,
            s := 10_000 + n * 400_000 // tasks,
            s + 5000,
            500,
            1500,
            3000,
            Decimal(0),
        )
        for n in range(tasks)
    ]
    return Schedule(graph, tuple(runs), tuple(workers), (), 500_000)


PAGES = {
    "a plan": lambda: plan_page(planned(), "It is so.", ()),
    "a plan and a run": lambda: comparison_page([planned(), run()]),
    "three": lambda: comparison_page([planned(), dearer(), run()]),
    "a front": lambda: front_page([planned(), dearer()], "It is so."),
    "a run": lambda: comparison_page([run()]),
}


def test_a_comparison_reads_well_in_a_terminal() -> None:
    text = shown(compared_table([planned(), dearer(), run()]))
    assert max(map(len, text.splitlines())) <= 80
    check_golden("compared_80.txt", text)


def test_more_than_fit_are_named_and_not_dropped_in_silence() -> None:
    many = [replace(planned(), name=f"plan{n}") for n in range(6)]
    text = " ".join(shown(compared_table(many)).split())
    assert "Not shown by step and kind: plan4, plan5." in text
    assert max(map(len, shown(compared_table(many)).splitlines())) <= 80


def test_every_figure_in_the_terminal_says_whether_it_was_measured() -> None:
    text = shown(compared_table([planned(), run()]))
    assert "run (measured) is" in " ".join(text.split())
    assert text.count("measured") >= 4
    assert text.count("estimate") >= 4


def test_the_json_is_as_its_schema_says_and_adds_up() -> None:
    data = json.loads(json.dumps(comparison_file_json([planned(), dearer(), run()])))
    jsonschema.validate(data, json.loads(comparison_schema_text()))
    for each in data["outcomes"]:
        assert sum(Decimal(item["usd"]) for item in each["items"]) == Decimal(each["cost_usd"])
    for change in data["changes"]:
        for parts in (change["kinds"], change["steps"]):
            total = sum(Decimal(part["change_usd"]) for part in parts)
            assert total == Decimal(change["change_usd"])


def test_the_published_schema_is_that_of_the_models() -> None:
    published = Path(__file__).parents[2] / "reporting" / "comparison.schema.json"
    assert published.read_text() == comparison_schema_text()


def test_the_csv_has_a_row_for_each_line_and_adds_up() -> None:
    outcomes = [planned(), run()]
    rows = list(csv.DictReader(io.StringIO(comparison_csv(outcomes))))
    for each in outcomes:
        mine = [row for row in rows if row["outcome"] == each.name]
        assert len(mine) == len(each.lines)
        assert {row["basis"] for row in mine} == {each.basis}
        assert sum(Decimal(row["usd"]) for row in mine) == each.usd


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_name_is_no_formula_in_a_spreadsheet(name: str) -> None:
    text = comparison_csv([replace(planned(), name=name)])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["outcome"] for row in rows} == {f"'{name}"}


@pytest.mark.parametrize("which", PAGES)
def test_a_page_is_balanced_labelled_and_needs_no_network(which: str) -> None:
    text = PAGES[which]()
    found = Page(text)
    assert len(found.all("table")) == len(found.all("caption"))
    assert all(header.get("scope") for header in found.all("th"))
    levels = [int(tag[1]) for tag, _ in found.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {section["aria-labelledby"] for section in found.all("section")} <= set(ids)
    drawn = [svg for svg in found.all("svg") if svg.get("aria-hidden") != "true"]
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in drawn)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in found.tags}
    assert not [word for word in ("http://", "https://", "url(h", "@import") if word in text]


def test_hostile_text_stays_text() -> None:
    clean, attacked = Page(plan_page(planned(), "x", ())), Page(plan_page(hostile(), HOSTILE, ()))
    assert {tag for tag, _ in attacked.tags} <= {tag for tag, _ in clean.tags}
    assert "<script>alert('x')</script>" in attacked.text
    assert "\x1b" not in attacked.text
    text = shown(compared_table([hostile(), planned()]))
    assert "\x1b" not in text
    assert "\x00" not in text


def test_a_page_has_every_line_every_alternative_and_every_book() -> None:
    text, plan = Page(plan_page(planned(), "x", ())).text, planned()
    for line in plan.lines:
        assert line.what in text
    for step in plan.steps:
        for other in step.alternatives:
            assert other.place in text
            assert other.why in text
    for book in plan.books:
        assert f"{book.name}, {book.date}, {book.region}" in text
    for said in plan.assumptions:
        assert said in text


def test_a_run_is_set_beside_its_estimate_with_the_error() -> None:
    text = Page(comparison_page([run()])).text
    assert "Estimate against measured" in text
    assert "+9.8 %" in text or "+10 %" in text  # 48.98 s for 44.6 s


def test_points_are_drawn_with_what_was_chosen_and_what_was_not() -> None:
    points = [Point("own", 10, Decimal(2), "chosen"), Point("dear", 20, Decimal(3))]
    text = Page(plan_page(planned(), "x", judged(points))).text
    assert "behind the front: own is better: this is 10.0 s slower and $1.00 dearer" in text


def test_estimates_and_measurements_are_not_points_of_one_picture() -> None:
    assert "Time against cost" not in Page(comparison_page([planned(), run()])).text


def test_many_tasks_are_drawn_together_and_the_rest_is_counted() -> None:
    activity = activity_of(large(5_000))
    assert [len(step.tasks["compute"]) for step in activity.steps] == [BUCKETS] * 10
    busy_s = sum(step.seconds("compute", activity.bucket_s) for step in activity.steps)
    assert busy_s == pytest.approx(5_000 * 3.0, rel=0.01)
    assert len(activity.workers) == 100
    assert activity.hidden_workers == 0


def test_a_page_of_a_hundred_thousand_tasks_stays_small() -> None:
    activity = activity_of(large(100_000))
    assert len(activity.workers) == MOST_WORKERS
    assert activity.hidden_workers == 2_000 - MOST_WORKERS
    text = plan_page(replace(planned(), activity=activity, makespan_s=500), "x", ())
    assert "1,800 more workers are left out" in Page(text).text
    assert len(text.encode()) < 2_000_000
