"""`trivium probe`: what it prints, that it adds up, and one sentence for each mistake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.stack import Stack
from placement.account import decimal_text
from reporting.probing.probe_file import probe_file_json, probe_schema_text
from reporting.probing.result import MeasuredShard, ProbedPlace, ProbeResult, whole_compute_s
from reporting.probing.terminal import probe_table
from reporting.report import check_totals, parse_report
from runtime.keys import RunKeys, StepKeys
from tests.command import Run, check_refused
from tests.unit.shown import check_golden, shown
from trivium.probing import probe_result
from trivium.target import Target

SCHEMA = Path(__file__).parents[2] / "reporting" / "probe.schema.json"
RUN = "read-clustering-0123456789ab"
AT = "2026-03-01T10:00:00.000Z"
BOOK = {"name": "prices", "date": "2026-01-01", "region": "us-east-1"}
LAMBDAS = [{"memory_mb": size, "batches": 3} for size in (1024, 1769, 7076)]
RAY = {"instance_type": "c7i.large", "nodes": 1, "slots": 2, "batches": 3, "start": "warm"}
PLACES = [*(("lambda", size) for size in LAMBDAS), ("ray", RAY)]
OUTPUTS = {"LambdaConcurrency": "2", "PartsAtOnce": "1", "Bucket": "b", "Ledger": "l"}

type Json = dict[str, Any]


# what is printed


def item(what: str, units: int, unit_usd: str) -> Json:
    usd = decimal_text(units * Decimal(unit_usd))
    return {"what": what, "quantity": units, "unit": "s", "unit_usd": unit_usd, "usd": usd}


def added(items: Sequence[Json]) -> str:
    return decimal_text(sum((Decimal(one["usd"]) for one in items), Decimal(0)))


def attempt(part: int, units: int, outcome: str = "succeeded", number: int = 1) -> Json:
    platform, size = PLACES[part]
    items = [item(f"{platform} seconds", units, "0.0001"), item("requests", units, "0.0000004")]
    wall = {"queue_s": 0.5, "startup_s": 1.25, "transfer_s": 0.5, "compute_s": 3, "wall_s": 5.25}
    return {
        "attempt": number,
        "part": part,
        "platform": platform,
        "size": size,
        "outcome": outcome,
        "reason": None if outcome == "succeeded" else "the job was lost",
        "queued_at": AT,
        "started_at": AT,
        "ended_at": AT,
        "estimate": None,
        "books": [BOOK],
        "measured": wall,
        "usd": added(items),
        "items": items,
    }


def step(name: str, attempts: list[Json]) -> Json:
    items = [one for each in attempts for one in each["items"]]
    rejected: Json = {"platform": "hpc", "size": {}, "seconds": None, "usd": None}
    rejected["why"] = "hpc: there is no such cluster in this deployment"
    return {
        "step": name,
        "platform": "mixed",
        "parts": [{"platform": p, "size": s, "share": 0.25} for p, s in PLACES],
        "size": {},
        "tasks": 12,
        "attempts": attempts,
        "estimate": {"seconds": 9, "usd": "0.001"},
        "measured": attempts[0]["measured"] | {"usd": added(items)},
        "items": items,
        "counts": {},
        "workers": [],
        "rejected": [rejected],
    }


def report_of(steps: list[Json], idle: int = 100) -> Json:
    line = item("idle c7i.large nodes", idle, "0.000024")
    split = [{"step": steps[0]["step"], "usd": line["usd"]}]
    shared = [line | {"kind": "idle", "platform": "ray", "split": split}]
    others = [item("Step Functions transitions", 40, "0.000025")]
    whole = [*(one for each in steps for one in each["items"]), *shared, *others]
    return {
        "run": RUN,
        "workflow": "read-clustering",
        "status": "succeeded",
        "reason": None,
        "started_at": AT,
        "ended_at": AT,
        "makespan_s": 81.5,
        "policy": "probe",
        "objective": "cost",
        "estimate": {"seconds": 60, "usd": "0.0081"},
        "measured": {"seconds": 81.5, "usd": added(whole)},
        "steps": steps,
        "shared_items": shared,
        "other_items": others,
        "not_known": ["ray: no head node of its own is known."],
        "alternatives": [],
        "books": [BOOK],
        "machine": {"kind": "laptop", "note": "the measured seconds are this machine's"},
        "score": None,
    }


def result_of(data: Json, whole: float = 4.0) -> ProbeResult:
    report = parse_report(data)
    check_totals(report)
    return ProbeResult(
        report=report,
        budget_usd=Decimal("0.05"),
        shards=3,
        places=tuple(
            ProbedPlace(
                one.step,
                each,
                tuple(
                    MeasuredShard(1000 * n, 500 * n, 0.5, 0.1 * n, (1 + each.part) * 0.5 * n)
                    for n in (1, 2, 4)
                    if each.outcome == "succeeded"
                ),
            )
            for one in report.steps
            for each in one.attempts
        ),
        whole={one.step: whole for one in report.steps},
    )


def sample() -> Json:
    well = [attempt(part, 10 * (part + 1)) for part in range(4)]
    lost = [attempt(0, 12), attempt(3, 7, "replaced"), attempt(3, 9, number=2)]
    return report_of([step("cut", well), step("quality", lost)])


def test_a_probe_is_readable_in_eighty_columns() -> None:
    text = shown(probe_table(result_of(sample())))
    assert max(map(len, text.splitlines())) <= 80
    check_golden("probe_80.txt", text)


def test_a_probe_that_was_stopped_says_why_and_shows_what_it_has() -> None:
    ended = {"status": "failed", "reason": "Step quality failed: the probe has spent $0.05."}
    text = shown(probe_table(result_of(sample() | ended)), 200)
    assert text.startswith("The probe of read-clustering cost $0.01")
    assert "It failed: Step quality failed: the probe has spent $0.05.\n" in text
    assert "lambda 7076 MB" in text


def test_all_of_the_input_is_told_of_places_that_did_every_step() -> None:
    found = whole_compute_s(result_of(sample()))
    assert [place for place, _ in found] == ["lambda 1024 MB", "ray c7i.large"]
    # 3.5 s of shards in each of two steps, four times as much in all; ray is four times as slow.
    assert [seconds for _, seconds in found] == pytest.approx([28, 112])


def test_the_json_follows_its_published_schema() -> None:
    data = sample()
    written = json.loads(json.dumps(probe_file_json(result_of(data), data)))
    jsonschema.validate(written, json.loads(probe_schema_text()))
    assert SCHEMA.read_text("utf-8") == probe_schema_text()
    first = written["steps"][1]["places"][0]
    assert first["place"] == "lambda 1024 MB"
    assert [shard["input_bytes"] for shard in first["shards"]] == [1000, 2000, 4000]
    assert written["steps"][1]["places"][1]["shards"] == []


units = st.integers(0, 10**6)


@given(st.lists(st.lists(units, min_size=1, max_size=4), min_size=1, max_size=4), units)
def test_the_places_and_what_is_beside_them_add_up_to_the_cost(
    spent: list[list[int]], idle: int
) -> None:
    steps = [
        step(f"s{n}", [attempt(part, amount) for part, amount in enumerate(amounts)])
        for n, amounts in enumerate(spent)
    ]
    data = report_of(steps, idle)
    written = probe_file_json(result_of(data), data)
    records = [place["record"] for one in written["steps"] for place in one["places"]]
    lines = [*records, *written["shared_items"], *written["other_items"]]
    assert sum(Decimal(line["usd"]) for line in lines) == Decimal(written["measured"]["usd"])


# from a stack


def test_each_shard_is_what_its_call_has_recorded(stack: Stack) -> None:
    data = report_of([step("cut", [attempt(0, 5)]), step("quality", [attempt(0, 5)])])
    options = {"probe": {"budget_usd": "0.05", "shards": 2}}
    run = {"run": RUN, "workflow": "read-clustering", "options": options, "status": "succeeded"}
    stack.ledger.put(f"run#{RUN}", "run", run | {"inputs": {"reads": [["a", 900]], "truth": []}})
    stack.store.put_json(RunKeys(RUN).report_json, data)
    shards = [["a", 100], ["b", 50], ["c", 300], ["d", 30]]
    stack.store.put_json(StepKeys(RUN, "cut").output, {"shards": shards, "counts": {}})
    call: Json = {"startup_s": 0.4, "transfer_s": 0.1, "compute_s": 2.5}
    call |= {"bytes_in": 300, "bytes_out": 70, "outcome": "succeeded"}
    stack.store.put_json(StepKeys(RUN, "quality").call(1, 0, 0, "a"), call)
    lost = call | {"outcome": "failed"}
    stack.store.put_json(StepKeys(RUN, "quality").call(1, 0, 1, "b"), lost)
    result, raw = probe_result(stack, RUN)
    assert raw == data
    assert [place.shards for place in result.places] == [
        (),
        (MeasuredShard(300, 70, 0.4, 0.1, 2.5),),
    ]
    assert result.whole["quality"] == pytest.approx(480 / 330)


# mistakes


@pytest.fixture
def deployed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Return a stack that the command finds."""
    monkeypatch.setattr(Target, "choose", lambda _: Target(stack, OUTPUTS))
    return stack


@pytest.fixture
def reads(tmp_path: Path) -> Path:
    path = tmp_path / "a.fastq"
    path.write_text("@r\nACGT\n+\nIIII\n" * 10)
    return path


def is_untouched(stack: Stack) -> bool:
    return not list(stack.store.listing("")) and not stack.ledger.query("runs")


def test_a_budget_that_is_too_small_uploads_nothing(
    trivium: Run, deployed: Stack, reads: Path
) -> None:
    done = trivium("probe", "read-clustering", reads, "--budget", "0.000001")
    check_refused(done, "a budget of $0.000001 is too small: with 2 shards on each place ")
    assert done.err.endswith("the least budget that would do.")
    assert is_untouched(deployed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["read-clustering", "READS", "--budget", "-1"], "--budget"),
        (["read-clustering", "READS", "--budget", "much"], "--budget"),
        (["read-clustering", "READS"], "Missing option '--budget'"),
        (["read-clustering", "--budget", "1"], "Missing argument 'files'"),
        (["no-such", "READS", "--budget", "1"], "There is no workflow 'no-such'"),
        (["read-clustering", "absent.fastq", "--budget", "1"], "There is no file absent.fastq"),
        (["read-clustering", "READS", "READS", "--budget", "1"], "Two of the files have the same"),
        (["word-count", "READS", "--budget", "1"], 'file "a.fastq" fits no input'),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    trivium: Run, deployed: Stack, reads: Path, words: list[str], said: str
) -> None:
    given = [str(reads) if word == "READS" else word for word in words]
    check_refused(trivium("probe", *given), said)
    assert is_untouched(deployed)


def test_a_stack_of_an_older_template_is_told_apart(
    trivium: Run, stack: Stack, reads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Target, "choose", lambda _: Target(stack, {"Bucket": "b"}))
    done = trivium("probe", "read-clustering", reads, "--budget", "1")
    check_refused(done, "The stack was deployed before it could be probed; deploy it again.")
