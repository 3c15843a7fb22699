"""`trivium bill`: the sentence, the table, the JSON, and one sentence for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from control.stack import Stack
from reporting.bill_json import bill_schema_text
from reporting.bill_table import bill_table
from reporting.bill_text import bill_headline, exact_usd
from reporting.report import parse_report
from runtime.keys import RunKeys
from tests.command import Run, check_refused
from tests.unit import cur_sample as sample
from tests.unit.shown import check_golden, shown
from trivium.bill import BilledStack, bill_report
from trivium.target import Target

SCHEMA = Path(__file__).parents[2] / "reporting" / "bill.schema.json"
ACCOUNT = ("--account", sample.ACCOUNT)
OTHER_RUN = "read-clustering-00aa11bb22cc"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(sample.report()))
    return path


@pytest.fixture
def cur(tmp_path: Path) -> Path:
    return sample.write_csv(tmp_path / "cur.csv.gz", sample.export(sample.report()))


@pytest.fixture
def deployed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    machine = f"arn:aws:states:{sample.REGION}:{sample.ACCOUNT}:stateMachine:{sample.STACK}-step"
    target = Target(stack, {"StepMachineArn": machine})
    monkeypatch.setattr(Target, "choose", lambda _: target)
    return stack


def shared_hours() -> list[sample.Row]:
    """Return an export in which another run used the same resources in the same hour.

    A third of the tasks' compute fell into the free tier, and transitions were cheaper.
    """
    rows = sample.billed(sample.items_of(sample.report()))
    rows += sample.billed(sample.items_of(sample.report(OTHER_RUN, minute=20)))
    for row in rows:
        if row["line_item_usage_type"] == "USE1-StateTransition":
            row["line_item_unblended_cost"] = row["line_item_usage_amount"] * Decimal("0.00002")
    free = dict(rows[0], line_item_unblended_cost=Decimal(0))
    credit = dict(rows[1], line_item_unblended_cost=Decimal("-0.0000003"))
    credit["line_item_line_item_type"] = "Credit"
    more = dict(rows[4], line_item_usage_amount=Decimal(7))
    more["line_item_unblended_cost"] = Decimal("0.000035")
    return [*rows, free, credit, more, *sample.not_measured(), *sample.noise()]


# What is printed


@pytest.mark.parametrize("width", [80, 120])
def test_a_bill_reads_well_in_a_terminal(tmp_path: Path, width: int) -> None:
    path = sample.write_parquet(tmp_path / "cur.parquet", shared_hours())
    whose = BilledStack(sample.STACK, sample.ACCOUNT, sample.REGION)
    other = parse_report(sample.report(OTHER_RUN, minute=20))
    found = bill_report(parse_report(sample.report()), whose, [other], [path])
    check_golden(f"bill_{width}.txt", shown(bill_table(found), width))


def test_csv_and_parquet_give_the_same_bill(trivium: Run, report: Path, cur: Path) -> None:
    columnar = sample.write_parquet(cur.with_name("cur.parquet"), sample.export(sample.report()))
    first = trivium("bill", report, "--cur", cur, *ACCOUNT, "--json")
    second = trivium("bill", report, "--cur", columnar, *ACCOUNT, "--json")
    assert first.code == 0
    assert first == second


def test_the_json_is_that_of_the_published_schema(trivium: Run, report: Path, cur: Path) -> None:
    done = trivium("bill", report, "--cur", cur, *ACCOUNT, "--json")
    data = json.loads(done.out)
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)
    billed = sum(Decimal(each["billed"]["usd"]) for each in data["items"])
    left_out = sum(Decimal(each["usd"]) for each in data["left_out"])
    assert billed == Decimal(data["billed_usd"])
    assert billed + left_out == Decimal(data["lines_usd"])
    assert Decimal(data["measured_usd"]) == Decimal(sample.report()["measured"]["usd"])
    assert data["unexplained_usd"] == "0"
    assert data["hours_from"] == "2026-08-20T14:00:00Z"


def test_the_published_schema_is_the_models() -> None:
    assert SCHEMA.read_text("utf-8") == bill_schema_text()


def test_the_sentence_says_what_was_billed_measured_and_why_they_differ(
    trivium: Run, report: Path, cur: Path
) -> None:
    done = trivium("bill", report, "--cur", cur, *ACCOUNT)
    assert " ".join(done.out.split()).startswith(
        f"AWS billed $0.005871 in the hours of run {sample.RUN}; measured was $0.005746; "
        "$0.000125 is what Trivium does not measure, nothing is unexplained."
    )
    assert (done.err, done.talk) == ("", "")


def test_an_export_without_the_run_says_that_nothing_was_billed(tmp_path: Path) -> None:
    path = sample.write_csv(tmp_path / "cur.csv", sample.noise()[4:5])
    whose = BilledStack(sample.STACK, None, sample.REGION)
    found = bill_report(parse_report(sample.report()), whose, [], [path])
    assert bill_headline(found) == (
        f"AWS billed nothing in the hours of run {sample.RUN} by this export; "
        "measured was $0.005746."
    )


def test_a_run_on_a_laptop_is_said_to_be_one(trivium: Run, report: Path, cur: Path) -> None:
    report.write_text(json.dumps(sample.report() | {"machine": {"kind": "laptop", "note": ""}}))
    done = trivium("bill", report, "--cur", cur, *ACCOUNT)
    assert done.code == 0
    assert "measured on a laptop" in " ".join(done.talk.split())


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "$0.000000"),
        ("1234.5", "$1,234.500000"),
        ("-0.0003", "-$0.000300"),
        ("0.0000025", "$0.000002500"),
        ("0.0000000001", "<$0.000000001"),
        ("-0.0000000001", "-<$0.000000001"),
    ],
)
def test_small_amounts_are_not_shown_as_nothing(usd: str, text: str) -> None:
    assert exact_usd(Decimal(usd)) == text


# By a run's id


def begin_run(stack: Stack, run: str, minute: int, **more: Any) -> None:
    begun = sample.HOUR + timedelta(minutes=minute)
    item = {"run": run, "status": "running", "started_s": begun.timestamp(), **more}
    stack.ledger.put(f"run#{run}", "run", item)
    stack.ledger.put("runs", f"{begun.isoformat()}#{run}", {"run": run})


def end_run(stack: Stack, data: dict[str, Any]) -> None:
    begun, ended = (datetime.fromisoformat(data[f"{name}_at"]) for name in ("started", "ended"))
    minute = int((begun - sample.HOUR).total_seconds() / 60)
    begin_run(stack, data["run"], minute, status="succeeded", ended_s=ended.timestamp())
    stack.store.put_json(RunKeys(data["run"]).report_json, data)


def test_a_run_of_the_stack_is_found_with_the_runs_beside_it(
    trivium: Run, deployed: Stack, tmp_path: Path
) -> None:
    end_run(deployed, sample.report())
    end_run(deployed, sample.report(OTHER_RUN, minute=20))
    begin_run(deployed, "begun", minute=30)
    begin_run(deployed, "later", minute=90)
    begin_run(deployed, "refused", minute=30, status="refused", ended_s=sample.HOUR.timestamp())
    old = sample.report("old", minute=40)
    end_run(deployed, old | {"version": 0})
    path = sample.write_csv(tmp_path / "cur.csv", shared_hours())
    done = trivium("bill", sample.RUN, "--cur", path, "--json")
    assert done.code == 0
    data = json.loads(done.out)
    assert (data["account"], data["stack"]) == (sample.ACCOUNT, sample.STACK)
    assert data["beside"] == [OTHER_RUN]
    assert [line.split(";")[0] for line in done.talk.splitlines()] == [
        "· the run begun of these hours has no report yet",
        "· the report of old is of another version",
    ]
    reasons = {part["reason"] for each in data["items"] for part in each["parts"]}
    assert {"shared_hours", "other_price", "free_tier", "adjustment"} < reasons


def test_another_run_can_be_given_by_its_report(trivium: Run, report: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(sample.report(OTHER_RUN, minute=20)))
    late = tmp_path / "late.json"
    late.write_text(json.dumps(sample.report("of-another-hour", minute=70)))
    path = sample.write_csv(tmp_path / "cur.csv", shared_hours())
    words = (report, "--cur", path, *ACCOUNT, "--beside", other, "--beside", late, "--json")
    assert json.loads(trivium("bill", *words).out)["beside"] == [OTHER_RUN]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no-such-run",), "no-such-run"),
        ((sample.RUN, "--account", "1"), "--account takes the 12 digits"),
        ((sample.RUN, "--account", sample.OTHER_ACCOUNT), "The stack is in account 123456789012"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(
    trivium: Run, deployed: Stack, cur: Path, words: tuple[str, ...], said: str
) -> None:
    end_run(deployed, sample.report())
    check_refused(trivium("bill", *words, "--cur", cur), said)


# Mistakes


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data | {"ended_at": None, "status": "running"}, "has not ended"),
        (lambda _: {"run": "old"}, "Not a valid report.json: workflow: Field required"),
        (lambda data: data | {"version": 0}, "Not a valid report.json: version"),
        (lambda data: data | {"books": []}, "names no region"),
        (lambda data: data | {"measured": {"seconds": 1, "usd": "1"}}, "does not add up"),
        (lambda _: [], "Not a valid report.json"),
    ],
)
def test_a_report_that_cannot_be_used_is_refused(
    trivium: Run, report: Path, cur: Path, edit: Callable[[Any], Any], said: str
) -> None:
    report.write_text(json.dumps(edit(sample.report())))
    check_refused(trivium("bill", report, "--cur", cur, *ACCOUNT), said)


def test_a_report_nested_too_deeply_is_refused(trivium: Run, report: Path, cur: Path) -> None:
    report.write_text("[" * 200_000)
    check_refused(trivium("bill", report, "--cur", cur, *ACCOUNT), "is no report.json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.json", "--cur", "cur.csv.gz"), "none.json cannot be read: No such file"),
        (("cur.csv.gz", "--cur", "cur.csv.gz"), "cur.csv.gz is no report.json"),
        (("report.json", "--cur", "none.csv"), "none.csv cannot be read: No such file"),
        (("report.json", "--cur", "report.json"), "neither Parquet nor CSV"),
        (("report.json", "--cur", "."), "is a folder"),
        (("report.json", "--cur", "cur.csv.gz"), "say which one is meant with --account"),
        (("report.json",), "Missing option '--cur'"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_and_nothing_is_written(
    trivium: Run,
    report: Path,
    cur: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(report.parent)
    before = sorted(report.parent.iterdir())
    check_refused(trivium("bill", *words), said)
    assert sorted(report.parent.iterdir()) == before == [cur, report]
