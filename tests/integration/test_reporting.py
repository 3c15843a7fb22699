"""The report of a run is what its ledger and its objects tell, also when the run has failed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from control.attempt_record import Outcome
from control.planning import plan_run
from control.reporting import MACHINE_NOTES, report_run
from control.stack import Stack
from control.timelines import write_timeline
from placement.account import Item
from placement.walltime import WallTime
from reporting.report import check_totals, parse_report
from runtime.cluster_log import ClusterLog
from runtime.keys import RunKeys, StepKeys
from tests.attempts import an_attempt, job_of, place_attempt, put_attempt, settled
from tests.support import FakeClock

RUN = "word-count-0123456789ab"
BEGUN = 1_700_000_000.0
EXECUTION = "arn:aws:states:eu-west-2:999999999999:execution:mine-workflow:event-1"
ITEM = {
    "what": "Lambda requests",
    "quantity": "3",
    "unit": "request",
    "unit_usd": "0.0000002",
    "usd": "0.0000006",
}


@pytest.fixture
def planned(stack: Stack, clock: FakeClock) -> Stack:
    """Provide a stack with a planned run of word-count that began a minute ago."""
    clock.at_s = BEGUN
    item = {
        "run": RUN,
        "workflow": "word-count",
        "execution": EXECUTION,
        "inputs": {"texts": [["raw/word-count/a.txt", 2_000_000]]},
        "options": {"policy": "all-lambda"},
        "started_s": BEGUN,
        "status": "running",
    }
    stack.ledger.put(f"run#{RUN}", "run", item)
    plan_run(stack, RUN)
    clock.forward(60)
    return stack


def given_attempt(
    stack: Stack,
    step: str,
    number: int = 1,
    outcome: Outcome = "succeeded",
    platform: str = "lambda",
) -> None:
    queued_s = BEGUN + 10 * number
    record = settled(
        an_attempt(RUN, step, number, platform=platform, queued_s=queued_s),
        outcome,
        started_s=queued_s + 1,
        ended_s=queued_s + 8,
        wall=WallTime(1, 0, 2, 5),
        items=(Item.from_json(ITEM),),
    )
    put_attempt(stack, record)
    status = {"succeeded": "done", "failed": "failed"}.get(outcome, "running")
    more = {"status": status, "attempt": number, "tasks": 7, "ended_s": queued_s + 8}
    stack.ledger.set(f"run#{RUN}", f"step#{step}", more)
    events = [["startup", BEGUN + 10, BEGUN + 11], ["compute", BEGUN + 11, BEGUN + 18]]
    write_timeline(stack, StepKeys(RUN, step), number, 0, [{"worker": "w1", "events": events}])


def given_control(stack: Stack, name: str) -> None:
    record = {
        "function": "Place",
        "succeeded": True,
        "started_s": BEGUN,
        "startup_s": 1.0,
        "duration_s": 1.0,
        "memory_mb": 1024,
        "requests": {"s3_get": 2, "dynamodb_write": 1},
    }
    stack.ledger.put(f"run#{RUN}", f"control#{name}", record)


def all_done(stack: Stack) -> None:
    for step in ("pieces", "sizes", "words", "summary"):
        given_attempt(stack, step)


def report_of(stack: Stack) -> dict[str, Any]:
    return dict(stack.store.get_json(RunKeys(RUN).report_json))


def test_a_run_that_ended_well_is_reported_with_all_that_it_took(planned: Stack) -> None:
    all_done(planned)
    given_control(planned, "a")
    assert report_run(planned, RUN, None) == {"run": RUN, "status": "succeeded", "reason": None}
    report = report_of(planned)
    assert (report["makespan_s"], report["measured"]["seconds"]) == (60.0, 60.0)
    assert [row["step"] for row in report["steps"]] == ["pieces", "sizes", "words", "summary"]
    row = report["steps"][0]
    assert (row["platform"], row["tasks"], row["parts"]) == ("lambda", 7, [])
    assert row["measured"] == {
        "queue_s": 1,
        "startup_s": 0,
        "transfer_s": 2,
        "compute_s": 5,
        "wall_s": 8,
        "usd": "0.0000006",
    }
    assert row["attempts"][0]["queued_at"] == "2023-11-14T22:13:30.000Z"
    assert row["workers"] == [
        {
            "worker": "w1",
            "events": [
                {"kind": "startup", "start_s": 10.0, "end_s": 11.0},
                {"kind": "compute", "start_s": 11.0, "end_s": 18.0},
            ],
        }
    ]
    assert row["output"] is None or row["output"]["shards"] >= 0
    assert row["attempts"][0]["task_s"] > 0
    assert report["uploads"]
    assert report["machine"] == {"kind": "laptop", "note": MACHINE_NOTES["laptop"]}
    assert {book["region"] for book in report["books"]} >= {"us-east-1"}


def test_the_total_is_the_exact_sum_of_all_items(planned: Stack) -> None:
    all_done(planned)
    given_control(planned, "a")
    given_control(planned, "b")
    report_run(planned, RUN, None)
    report = report_of(planned)
    every = [item for row in report["steps"] for item in row["items"]] + report["other_items"]
    assert Decimal(report["measured"]["usd"]) == sum(Decimal(item["usd"]) for item in every)
    check_totals(parse_report(report))
    others = {item["what"]: item["quantity"] for item in report["other_items"]}
    assert others["Control functions requests"] == "2"
    assert others["Control functions compute 1024 MB"] == "4"


def test_the_end_of_the_run_is_on_the_ledger(planned: Stack, clock: FakeClock) -> None:
    all_done(planned)
    report_run(planned, RUN, None)
    item = planned.ledger.get(f"run#{RUN}", "run") or {}
    assert (item["status"], item["reason"], item["ended_s"]) == ("succeeded", None, clock.at_s)
    assert item["measured"] == report_of(planned)["measured"]


def test_every_attempt_of_a_step_is_charged_to_it(planned: Stack) -> None:
    all_done(planned)
    given_attempt(planned, "words", 1, "replaced", platform="ray")
    given_attempt(planned, "words", 2)
    report_run(planned, RUN, None)
    (row,) = [row for row in report_of(planned)["steps"] if row["step"] == "words"]
    assert [(one["attempt"], one["outcome"]) for one in row["attempts"]] == [
        (1, "replaced"),
        (2, "succeeded"),
    ]
    assert row["items"] == [ITEM | {"quantity": "6", "usd": "0.0000012"}]
    assert row["measured"]["wall_s"] == 18.0
    assert [worker["worker"] for worker in row["workers"]] == ["1.0 w1", "2.0 w1"]


def test_a_step_split_over_platforms_shows_its_parts(planned: Stack) -> None:
    all_done(planned)
    item = planned.ledger.get(f"run#{RUN}", "step#words") or {}
    halves = [part | {"share": 0.5} for part in item["placements"][0] * 2]
    planned.ledger.set(f"run#{RUN}", "step#words", {"placements": [halves]})
    report_run(planned, RUN, None)
    (row,) = [row for row in report_of(planned)["steps"] if row["step"] == "words"]
    assert (row["platform"], row["size"], len(row["parts"])) == ("mixed", {}, 2)


def test_a_failed_run_is_reported_with_the_reason_of_its_step(planned: Stack) -> None:
    given_attempt(planned, "pieces", outcome="failed")
    planned.ledger.set(f"run#{RUN}", "step#pieces", {"reason": "Step pieces failed: no more"})
    nested = {"Error": "StepFailed", "Cause": json.dumps({"Cause": "something less clear"})}
    answer = report_run(planned, RUN, nested)
    assert answer == {"run": RUN, "status": "failed", "reason": "Step pieces failed: no more"}
    report = report_of(planned)
    assert (report["status"], report["reason"]) == ("failed", "Step pieces failed: no more")
    assert [len(row["attempts"]) for row in report["steps"]] == [1, 0, 0, 0]
    assert report["score"] is None
    check_totals(parse_report(report))


def test_a_run_whose_step_left_no_reason_has_that_of_the_machine(planned: Stack) -> None:
    failure = {"Error": "X", "Cause": json.dumps({"Cause": json.dumps({"errorMessage": "deep"})})}
    assert report_run(planned, RUN, failure)["reason"] == "deep"


def test_a_run_that_was_never_planned_is_reported(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN
    item = {
        "run": RUN,
        "workflow": "word-count",
        "execution": EXECUTION,
        "started_s": BEGUN,
        "inputs": {},
        "options": {},
    }
    stack.ledger.put(f"run#{RUN}", "run", item)
    given_control(stack, "a")
    clock.forward(3)
    failure = {"Error": "UserError", "Cause": '{"errorMessage": "there is no policy \\"x\\"."}'}
    assert report_run(stack, RUN, failure)["reason"] == 'there is no policy "x".'
    report = report_of(stack)
    assert (report["steps"], report["estimate"], report["alternatives"]) == ([], None, [])
    assert Decimal(report["measured"]["usd"]) > 0
    page = stack.store.get_bytes(RunKeys(RUN).report_html).decode()
    assert RUN in page


def stop_spy(stack: Stack) -> list[str]:
    stopped: list[str] = []
    stack.aws.client("stepfunctions").meta.events.register(
        "provide-client-params.stepfunctions.StopExecution",
        lambda params, **_: stopped.append(params["executionArn"]),
    )
    return stopped


def test_what_still_runs_after_a_failure_is_stopped(
    planned: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIVIUM_STEP_MACHINE", "mine-step")
    given_attempt(planned, "pieces")
    given_attempt(planned, "sizes", outcome="failed")
    planned.ledger.set(f"run#{RUN}", "step#words", {"status": "running", "attempt": 1})
    stopped = stop_spy(planned)
    report_run(planned, RUN, {"Error": "X", "Cause": "x"})
    executions = "arn:aws:states:eu-west-2:999999999999:execution:mine-step"
    assert sorted(stopped) == [f"{executions}:{RUN}-summary", f"{executions}:{RUN}-words"]
    items = planned.ledger.query(f"run#{RUN}", "step#")
    assert {item["step"]: item["status"] for item in items} == {
        "pieces": "done",
        "sizes": "failed",
        "words": "stopped",
        "summary": "stopped",
    }


def test_the_attempt_of_a_stopped_step_is_charged(planned: Stack) -> None:
    attempt = an_attempt(RUN, "pieces", platform="ray", queued_s=BEGUN + 20)
    place_attempt(planned, attempt)
    log = ClusterLog(planned.ledger, "ray")
    log.note_job(job_of(attempt), submitted_s=BEGUN + 21, started_s=BEGUN + 30)
    log.note_job(job_of(attempt), ended_s=BEGUN + 58)
    planned.ledger.set(f"run#{RUN}", "step#pieces", {"status": "running", "attempt": 1})
    report_run(planned, RUN, {"Error": "X", "Cause": "x"})
    row = report_of(planned)["steps"][0]
    assert [one["outcome"] for one in row["attempts"]] == ["failed"]
    assert row["attempts"][0]["reason"] == "The run failed in another step."
    nodes = [item["quantity"] for item in row["items"] if item["what"] == "c7i.large nodes"]
    assert nodes == ["56"]  # two nodes, from its start until it was cancelled


def test_a_stopped_job_is_waited_for_until_its_agent_has_cancelled_it(
    planned: Stack, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = an_attempt(RUN, "pieces", platform="hpc", queued_s=BEGUN + 20)
    place_attempt(planned, attempt)
    log = ClusterLog(planned.ledger, "hpc")
    log.note_job(job_of(attempt), started_s=BEGUN + 30)

    def cancel(_: float) -> None:
        clock.forward(7)
        log.note_job(job_of(attempt), ended_s=clock.at_s)

    monkeypatch.setattr("control.reporting.time.sleep", cancel)
    planned.ledger.set(f"run#{RUN}", "step#pieces", {"status": "running", "attempt": 1})
    report_run(planned, RUN, {"Error": "X", "Cause": "x"})
    items = report_of(planned)["steps"][0]["items"]
    nodes = [item["quantity"] for item in items if item["what"] == "c7i.large nodes"]
    assert nodes == ["74"]  # two nodes from second 30 to 67


def test_a_job_that_nobody_cancels_is_waited_for_no_longer_than_a_while(
    planned: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = an_attempt(RUN, "pieces", platform="hpc", queued_s=BEGUN + 20)
    place_attempt(planned, attempt)
    log = ClusterLog(planned.ledger, "hpc")
    log.note_job(job_of(attempt), started_s=BEGUN + 30)
    monkeypatch.setattr("control.reporting.CANCELLED_WITHIN_S", 0.0)
    monkeypatch.setattr("control.reporting.time.sleep", lambda _: None)
    planned.ledger.set(f"run#{RUN}", "step#pieces", {"status": "running", "attempt": 1})
    report_run(planned, RUN, {"Error": "X", "Cause": "x"})
    items = report_of(planned)["steps"][0]["items"]
    nodes = [item["quantity"] for item in items if item["what"] == "c7i.large nodes"]
    assert nodes == ["60"]  # until the report


def test_a_report_that_is_written_again_has_the_same_figures_and_no_metrics(
    planned: Stack, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    all_done(planned)
    report_run(planned, RUN, None)
    first = report_of(planned)
    assert capsys.readouterr().out.count("AttemptUsd") == 2 * 4
    clock.forward(100)
    report_run(planned, RUN, None)
    assert report_of(planned) == first
    assert "AttemptUsd" not in capsys.readouterr().out


def test_a_run_that_ended_well_stops_nothing(planned: Stack) -> None:
    all_done(planned)
    stopped = stop_spy(planned)
    report_run(planned, RUN, None)
    assert stopped == []


def test_an_execution_that_may_not_be_stopped_is_an_error(
    planned: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": ""}}
        raise ClientError(answer, "StopExecution")

    monkeypatch.setattr(planned.aws.client("stepfunctions"), "stop_execution", refuse)
    with pytest.raises(ClientError, match="AccessDenied"):
        report_run(planned, RUN, {"Error": "X", "Cause": "x"})


def test_reporting_again_writes_the_same_report(planned: Stack) -> None:
    given_attempt(planned, "pieces", outcome="failed")
    failure = {"Error": "X", "Cause": "x"}
    answer = report_run(planned, RUN, failure)
    report = report_of(planned)
    assert report_run(planned, RUN, failure) == answer
    assert report_of(planned) == report


def test_the_score_is_the_value_that_the_workflow_names(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN
    item = {
        "run": RUN,
        "workflow": "read-clustering",
        "execution": EXECUTION,
        "inputs": {"reads": [["a.fastq.gz", 1_000_000]], "truth": []},
        "options": {},
        "started_s": BEGUN,
    }
    stack.ledger.put(f"run#{RUN}", "run", item)
    nodes = {"warm_nodes": 1, "slots_per_node": 2, "max_nodes": 1, "busy_jobs": 0}
    cluster = {"instance_type": "c5n.9xlarge", "updated_s": BEGUN, **nodes}
    stack.ledger.put("cluster", "hpc", cluster)
    plan_run(stack, RUN)
    counts = {"adjusted_rand_index": 0.9375, "clusters": 4, "method": "spectral"}
    stack.ledger.set(f"run#{RUN}", "step#spectral", {"counts": counts, "status": "done"})
    clock.forward(60)
    report_run(stack, RUN, None)
    report = report_of(stack)
    assert report["score"] == {"name": "adjusted_rand_index", "value": 0.9375}
    (row,) = [row for row in report["steps"] if row["step"] == "spectral"]
    assert row["counts"] == {"adjusted_rand_index": 0.9375, "clusters": 4}
