"""`trivium compare RUN --policies`: what a run would have come to, labelled as that."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.command import Run
from tests.unit.test_comparing_command import compare, written

__all__ = ["compare"]

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
Data = dict[str, Any]


def census() -> Data:
    """The report of a run of `line-census` on one text of 400 bytes: 3 lines, on Lambda and Ray."""
    data: Data = json.loads((GOLDEN / "report.json").read_text())
    on_lambda, on_ray = data["steps"][0], data["steps"][1]
    steps = [
        of_pattern(on_lambda, "lines", 1, 4.0, (3, 400)),
        of_pattern(on_ray, "lengths", 3, 30.0, (3, 60)),
        of_pattern(on_lambda, "census", 1, 2.0, (1, 20)),
    ]
    data |= {"workflow": "line-census", "uploads": {"texts": [400]}, "steps": steps}
    every = [*steps, *data["shared_items"], *data["other_items"]]
    usd = [Decimal(each["measured"]["usd"] if "step" in each else each["usd"]) for each in every]
    data["measured"]["usd"] = f"{sum(usd):f}"
    return data


def of_pattern(
    pattern: Data, name: str, tasks: int, task_s: float, output: tuple[int, int]
) -> Data:
    step = copy.deepcopy(pattern) | {"step": name, "tasks": tasks}
    step["output"] = {"shards": output[0], "bytes": output[1]}
    for attempt in step["attempts"]:
        attempt["task_s"] = task_s / len(step["attempts"])
    return step


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return written(tmp_path / "report.json", census())


def test_a_run_stands_beside_what_it_would_have_come_to(compare: Run, report: Path) -> None:
    done = compare(report, "--policies", "all-lambda,static-ec2", "--json")
    code, out, err = done.code, done.out, done.err
    assert (code, err) == (0, "")
    found = json.loads(out)
    jsonschema.validate(
        found, json.loads((ROOT / "reporting" / "comparison.schema.json").read_text())
    )
    names = [(each["name"], each["basis"]) for each in found["outcomes"]]
    assert names == [
        ("report.json", "measured"),
        ("all-lambda", "what-if"),
        ("static-ec2", "what-if"),
    ]
    run, on_lambda, on_nodes = found["outcomes"]
    assert [step["tasks"] for step in on_lambda["steps"]] == [1, 3, 1]
    assert {place["platform"] for s in on_lambda["steps"] for place in s["places"]} == {"lambda"}
    assert {place["platform"] for s in on_nodes["steps"] for place in s["places"]} == {"ray"}
    assert any("A what-if never took place" in said for said in found["cautions"])
    assert sum(said.startswith("what-if: ") for said in on_lambda["assumptions"]) == 3
    assert run["estimate"] is not None
    assert on_lambda["estimate"] is None


def test_a_function_of_a_whole_core_would_take_the_measured_time(
    compare: Run, report: Path
) -> None:
    """Three tasks of `lengths` computed 30 s on nodes: no function computes one in under 10 s."""
    out = compare(report, "--policies", "all-lambda", "--objective", "time", "--json").out
    steps = {step["step"]: step for step in json.loads(out)["outcomes"][1]["steps"]}
    assert 10 <= steps["lengths"]["elapsed_s"] < 11


def test_the_terminal_the_page_and_the_table_all_say_what_if(
    compare: Run, report: Path, tmp_path: Path
) -> None:
    words = ("--policies", "all-lambda", "--html", "out.html", "--csv", "out.csv")
    done = compare(report, *words)
    out = done.out
    assert done.code == 0
    assert "all-lambda (what-if) is" in " ".join(out.split())
    assert "report.json (measured)" in " ".join(out.split())
    page = (tmp_path / "out.html").read_text()
    assert 'class="tag what-if">what-if<' in page
    assert page.count("Placements considered for lengths") >= 2  # of the run, and of the what-if
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert {row["basis"] for row in rows} == {"measured", "what-if"}
    assert "estimate" not in {row["basis"] for row in rows}


def test_what_if_of_two_runs_says_of_which(compare: Run, report: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other.json", census())
    out = compare(report, other, "--policies", "all-lambda", "--json").out
    names = [each["name"] for each in json.loads(out)["outcomes"]]
    assert names == ["report.json", "report.json all-lambda", "other.json", "other.json all-lambda"]


def without_task_times(data: Data) -> None:
    for step in data["steps"]:
        for attempt in step["attempts"]:
            del attempt["task_s"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_task_times, "tells no task times, because an older Trivium wrote it"),
        (lambda d: d["steps"][2].update(output=None), "did not finish its step census"),
        (lambda d: d.update(workflow="unknown"), "There is no workflow 'unknown'"),
        (lambda d: d["steps"][1].update(tasks=7), 'Step "lengths" of the run had 7 tasks'),
        (lambda d: d["steps"][1].update(step="other"), "has other steps than the run had"),
    ],
)
def test_a_report_that_tells_too_little_is_refused_in_one_sentence(
    compare: Run, tmp_path: Path, change: Callable[[Data], None], said: str
) -> None:
    data = census()
    change(data)
    path = written(tmp_path / "report.json", data)
    before = sorted(tmp_path.iterdir())
    done = compare(path, "--policies", "all-lambda", "--html", "out.html")
    code, out, err = done.code, done.out, done.err
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_policy_that_does_not_exist_is_named(compare: Run, report: Path) -> None:
    done = compare(report, "--policies", "nothing")
    code, err = done.code, done.err
    assert code == 2
    assert 'there is no policy "nothing"' in err


def test_where_no_policy_has_a_plan_the_exit_code_says_so(compare: Run, report: Path) -> None:
    done = compare(report, "--policies", "all-lambda", "--deadline", "1s")
    code, out, err = done.code, done.out, done.err
    assert (code, out) == (1, "")
    assert "all-lambda has no plan" in err
