"""`trivium calibrate`: from the ledger to what Plan reads; or one sentence, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from control.calibrating import find_calibration
from control.planning import plan_run
from control.stack import Stack
from placement.calibration.calibration import Calibration
from placement.calibration.samples import CallWork, Work
from placement.errors import UserError
from placement.plan import Plan
from placement.walltime import WallTime
from runtime.keys import CALIBRATION_KEY, RunKeys
from tests.attempts import an_attempt, put_attempt, settled
from trivium.cli import app, guarded
from trivium.target import Target

STEPS = ("pieces", "sizes", "words", "summary")
SIZE = {"memory_mb": 1024, "batches": 1}
CALL = CallWork(1, 1_000_000, 1_000_000, 1, False, 0.0, 0.25, 4.0, 1_000_000, 4.0)
WORK = Work(1, 1_000_000, 1_000_000, 0, 0, 1_000_000, 1, (CALL,))
WALL = WallTime(queue_s=0.75, startup_s=0.0, transfer_s=0.25, compute_s=4.0)
NEW_RUN = "word-count-00000000000f"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


type Run = Callable[..., Done]


@pytest.fixture
def calibrate(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.setattr(Target, "choose", lambda _: Target(stack, {}))

    def run(*words: str) -> Done:
        capsys.readouterr()
        code = guarded(lambda: app(["calibrate", *words], standalone_mode=False))
        return Done(code, *capsys.readouterr())

    return run


def given_run(stack: Stack, number: int, *, status: str = "succeeded", begun_s: float = 0.0) -> str:
    """Put a run on the ledger: four steps one after another, five seconds each, half between."""
    run = f"word-count-{number:012x}"
    begun_s += 100.0 * number
    item = {
        "run": run,
        "workflow": "word-count",
        "status": status,
        "started_s": begun_s,
        "ended_s": begun_s + 23.5,
        "lambda_concurrency": 4,
    }
    stack.ledger.put(f"run#{run}", "run", item)
    stack.ledger.put("runs", f"{begun_s:020.3f}#{run}", {"run": run})
    for order, step in enumerate(STEPS):
        queued_s = begun_s + 1.0 + 5.5 * order
        one = settled(
            an_attempt(run, step, size=SIZE, queued_s=queued_s),
            started_s=queued_s + 0.75,
            ended_s=queued_s + 5,
            wall=WALL,
        )
        put_attempt(stack, replace(one, measured=replace(one.settled, work=WORK)))
    return run


def written(stack: Stack) -> Any:
    return stack.store.find(CALIBRATION_KEY)


def test_what_runs_took_is_what_the_next_plan_expects(stack: Stack, calibrate: Run) -> None:
    for number in (1, 2, 3):
        given_run(stack, number)
    done = calibrate()
    assert done.code == 0
    assert "from 12 attempts of 3 runs" in done.out
    assert "plans use it" in done.err
    inputs = {"texts": [["raw/word-count/a.txt", 1_000_000]]}
    item = {"run": NEW_RUN, "workflow": "word-count", "inputs": inputs, "options": {}}
    stack.ledger.put(f"run#{NEW_RUN}", "run", item)
    plan_run(stack, NEW_RUN)
    made = Plan.from_json(stack.store.get_json(RunKeys(NEW_RUN).plan))
    assert made.books[-1].name == "calibration"
    assert made.books[-1].date == written(stack)["made_at"]
    first = made.step("pieces")
    assert first.calibrated.startswith("3 attempts (pieces on lambda")
    assert first.by_book is not None
    assert first.by_book.seconds != first.estimate.seconds
    assert made.by_book is not None


def test_the_data_are_those_that_are_written(stack: Stack, calibrate: Run) -> None:
    for number in (1, 2):
        given_run(stack, number)
    done = calibrate("--json")
    data = json.loads(done.out)
    assert data["calibration"] == written(stack)
    assert Calibration.from_json(data["calibration"]) == find_calibration(stack)
    times = data["calibration"]["run_times"]
    assert times == {"start_s": 1.0, "handover_s": 0.5, "end_s": 1.0, "runs": 2}
    assert {row["step"] for row in data["assessed"]} == set(STEPS)
    assert max(row["calibrated_error"] for row in data["assessed"]) < 0.001
    assert min(row["book_error"] for row in data["assessed"]) > 0.1


def test_one_run_is_not_enough_and_that_is_said(stack: Stack, calibrate: Run) -> None:
    run = given_run(stack, 1)
    given_run(stack, 2)
    done = calibrate(run)
    assert done.code == 0
    assert "from 4 attempts of 1 run." in done.out
    assert "computing from the book" in " ".join(done.out.split())
    assert written(stack)["computing"] == []


def test_failed_and_unclear_attempts_teach_nothing(stack: Stack, calibrate: Run) -> None:
    for number in (1, 2, 3):
        given_run(stack, number)
    calibrate()
    before = written(stack)
    run = given_run(stack, 4, status="failed")
    for step in STEPS:
        item = stack.ledger.get(f"run#{run}", f"attempt#{step}#001#000") or {}
        wrong = {"work": None} if step == "words" else {"outcome": "failed"}
        stack.ledger.put(item.pop("pk"), item.pop("sk"), item | wrong)
    calibrate()
    assert written(stack) | {"made_at": ""} == before | {"made_at": ""}


# one sentence, and nothing is written


def refused(done: Done, stack: Stack) -> str:
    assert done.code == 2
    assert done.out == ""
    assert written(stack) is None
    return " ".join(done.err.split())


def test_an_unknown_run_is_refused(stack: Stack, calibrate: Run) -> None:
    given_run(stack, 1)
    assert "word-count-nowhere" in refused(calibrate("word-count-nowhere"), stack)


def test_a_run_that_still_goes_on_is_refused(stack: Stack, calibrate: Run) -> None:
    run = given_run(stack, 1, status="running")
    said = refused(calibrate(run), stack)
    assert said == f"The run {run} is running; calibrate from runs that have ended."


def test_a_record_of_an_older_version_is_refused(stack: Stack, calibrate: Run) -> None:
    run = given_run(stack, 1)
    given_run(stack, 2)
    item = stack.ledger.get(f"run#{run}", "attempt#words#001#000") or {}
    stack.ledger.put(item.pop("pk"), item.pop("sk"), item | {"version": 1})
    assert refused(calibrate(), stack) == (
        f"The run {run} was recorded by another version of Trivium; name the runs to calibrate "
        "from, without it."
    )


def test_a_stack_without_runs_is_refused(stack: Stack, calibrate: Run) -> None:
    assert "run a workflow first" in refused(calibrate(), stack)


def test_a_workflow_that_is_gone_is_named(stack: Stack, calibrate: Run) -> None:
    run = given_run(stack, 1)
    stack.ledger.set(f"run#{run}", "run", {"workflow": "gone"})
    assert "There is no workflow 'gone'" in refused(calibrate(), stack)


def test_a_calibration_beside_another_book_is_not_used(stack: Stack, calibrate: Run) -> None:
    for number in (1, 2):
        given_run(stack, number)
    calibrate()
    data = written(stack)
    stack.store.put_json(CALIBRATION_KEY, data | {"book": data["book"] | {"date": "2001-01-01"}})
    with pytest.raises(UserError, match="beside the platform book of 2001-01-01"):
        find_calibration(stack)
