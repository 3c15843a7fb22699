"""What people read of a run: the page and the table, against golden files."""

import copy
import itertools
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reporting.html import render
from reporting.report import parse_report
from reporting.terminal import placement_table
from reporting.timeline import MAX_ROWS_PER_STEP, MAX_SEGMENTS_PER_ROW, timeline
from tests.unit.shown import GOLDEN, check_golden, shown

HOSTILE = "</title><script>alert('x')</script>\"><img src=x onerror=y> {{ 7*7 }} [red]\x1b[2J\x00"
Data = dict[str, Any]


def sample() -> Data:
    data: Data = json.loads((GOLDEN / "report.json").read_text())
    return data


def failed() -> Data:
    """A run that ended badly before its second step had a plan, on AWS, without alternatives."""
    data = sample() | {
        "status": "failed",
        "reason": "sketch: the task ran out of memory on every platform",
        "alternatives": [],
        "score": None,
        "machine": {"kind": "aws", "note": ""},
        "estimate": None,
    }
    last = data["steps"][1]
    last |= {"estimate": None, "rejected": [], "counts": {}}
    last["attempts"][1] |= {"outcome": "failed", "reason": "the task ran out of memory"}
    data["steps"] = data["steps"][:2]
    return data


def terminal(data: Data) -> str:
    return shown(placement_table(parse_report(data)))


class Page(HTMLParser):
    """The elements of a page, checked for balance, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(data: Data) -> Page:
    return Page(render(parse_report(data)))


def many(steps: int, workers: int, events: int) -> Data:
    """A run of that many steps, each with that many workers, each with that many short events."""
    data = sample()
    pattern = data["steps"][0]
    rows = [
        {
            "worker": f"w-{worker:05}",
            "events": [
                {
                    "kind": ("transfer", "compute")[event % 2],
                    "start_s": event * 0.01,
                    "end_s": event * 0.01 + (0.009 if event % 2 else 0.001),
                }
                for event in range(events)
            ],
        }
        for worker in range(workers)
    ]
    data["steps"] = [pattern | {"step": f"s{index}", "workers": rows} for index in range(steps)]
    return data


def hostile(value: Any) -> Any:
    """Every free text of a report replaced by something that wants out."""
    if isinstance(value, dict):
        kept = {"status", "outcome", "kind", "usd", "unit_usd", "up_anyway_usd", "quantity"}
        return {
            (HOSTILE if isinstance(inner, int | float) and key.startswith("reads") else key): (
                inner
                if key in kept or key.endswith("_at") or isinstance(inner, int | float)
                else hostile(inner)
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [hostile(inner) for inner in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize(("name", "data"), [("succeeded", sample()), ("failed", failed())])
def test_the_terminal_report_is_as_agreed(name: str, data: Data) -> None:
    check_golden(f"terminal_{name}.txt", terminal(data))


@pytest.mark.parametrize(("name", "data"), [("succeeded", sample()), ("failed", failed())])
def test_the_page_is_as_agreed(name: str, data: Data) -> None:
    check_golden(f"page_{name}.html", render(parse_report(data)))


def test_the_terminal_report_fits_in_80_columns() -> None:
    assert max(len(line) for line in terminal(many(45, 1, 2)).splitlines()) <= 80


def test_long_names_and_hostile_text_fit_in_the_terminal_and_stay_text() -> None:
    text = terminal(hostile(sample()))
    assert "\x1b" not in text
    assert "\x00" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "[red]" in text.replace("\n", "")


def test_the_page_needs_no_script_and_no_network() -> None:
    whole = render(parse_report(sample()))
    assert "<script" not in whole
    assert "http://" not in whole
    assert "https://" not in whole
    assert "url(" not in whole
    assert "@import" not in whole
    assert not [tag for tag, _ in page(sample()).tags if tag in {"link", "img", "iframe", "object"}]


def test_hostile_text_stays_text() -> None:
    clean, attacked = page(sample()), page(hostile(sample()))
    assert {tag for tag, _ in attacked.tags} <= {tag for tag, _ in clean.tags}
    known = {name for _, attributes in clean.tags for name in attributes}
    assert {name for _, attributes in attacked.tags for name in attributes} <= known
    assert "<script>alert('x')</script>" in attacked.text
    assert "{{ 7*7 }}" in attacked.text
    assert "\x1b" not in attacked.text
    assert "\x00" not in attacked.text


def test_every_table_has_a_caption_and_every_header_a_scope() -> None:
    found = page(sample())
    assert len(found.all("table")) == len(found.all("caption"))
    assert all(header.get("scope") for header in found.all("th"))


def test_headings_do_not_skip_levels_and_sections_are_labelled() -> None:
    found = page(sample())
    levels = [int(tag[1]) for tag, _ in found.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = {attributes["id"] for _, attributes in found.tags if "id" in attributes}
    assert {section["aria-labelledby"] for section in found.all("section")} <= ids


def test_every_part_of_the_report_is_on_the_page() -> None:
    text = page(sample()).text
    for step in sample()["steps"]:
        assert step["step"] in text
        for item in step["items"]:
            assert item["what"] in text
        for other in step["rejected"]:
            assert other["why"] in text
    for other in sample()["alternatives"]:
        assert other["policy"] in text
    for book in sample()["books"]:
        assert f"{book['name']}, {book['date']}" in text
    assert "the task ran out of memory: 1,769 MB used of 1,769 MB" in text
    assert "0.9312" in text


def test_every_drawn_stretch_says_what_it_is() -> None:
    found = page(sample())
    events = [e for s in sample()["steps"] for w in s["workers"] for e in w["events"]]
    assert len(found.all("title")) == len(events) + 1
    assert "lambda-1: compute 2.2 s, from 3.8 s to 6.0 s" in found.text


def test_items_with_many_digits_are_rounded_and_the_page_says_so() -> None:
    data = sample()
    data["other_items"][0] |= {"usd": "0.0018840400000001"}
    assert "report.json has every digit" in page(data).text
    assert "report.json has every digit" not in page(sample()).text


def test_a_run_without_anything_yet_has_a_page_and_a_table() -> None:
    data = sample() | {"status": "running", "ended_at": None, "makespan_s": 0, "estimate": None}
    data |= {
        "steps": [],
        "shared_items": [],
        "other_items": [],
        "alternatives": [],
        "books": [],
        "score": None,
    }
    data["measured"] = {"seconds": 0, "usd": "0"}
    assert "is running" in page(data).text
    assert "is running" in terminal(data)


def test_a_run_of_many_workers_draws_some_and_counts_the_rest() -> None:
    (lane,) = timeline(parse_report(many(1, 1000, 4))).lanes
    assert len(lane.rows) == MAX_ROWS_PER_STEP
    assert lane.hidden == 1000 - MAX_ROWS_PER_STEP
    assert (lane.rows[0].worker, lane.rows[-1].worker) == ("w-00000", "w-00999")
    assert "988 more workers not shown" in page(many(1, 1000, 4)).text


def test_a_worker_of_many_tasks_is_drawn_coarsely_and_keeps_its_true_sums() -> None:
    (lane,) = timeline(parse_report(many(1, 1, 5000))).lanes
    (row,) = lane.rows
    assert lane.coarse
    assert len(row.segments) <= MAX_SEGMENTS_PER_ROW
    assert row.said == "w-00000: transfer 2.5 s, compute 22.5 s"
    assert {segment.kind for segment in row.segments} == {"compute"}


def test_the_page_of_a_large_run_stays_small() -> None:
    assert len(render(parse_report(many(45, 40, 300)))) < 3_000_000


def test_the_report_data_is_not_changed_by_showing_it() -> None:
    data = sample()
    before = copy.deepcopy(data)
    render(parse_report(data))
    terminal(data)
    assert data == before


def test_the_page_is_made_without_a_terminal_library() -> None:
    code = "import sys, reporting.html; sys.exit('rich' in sys.modules)"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
