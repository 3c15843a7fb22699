"""What the calls of a part say of its tasks, for calibration to learn from."""

from __future__ import annotations

from typing import Any

from control.work import work_of
from placement.calibration.samples import MOST_CALLS

Json = dict[str, Any]


def a_call(batch: int = 0, **fields: Any) -> Json:
    """Return the record of a call of two tasks, of 100 and 300 bytes, that lived ten seconds."""
    done = {
        "tasks": 2,
        "over_bytes": 400,
        "largest_bytes": 300,
        "first_bytes": 100,
        "first_s": 5.0,
        "whole_bytes": 50,
        "whole_files": 1,
        "output_shards": 2,
    }
    return {
        "batch": batch,
        "call": f"call {batch}",
        "worker": "worker",
        "outcome": "succeeded",
        "started_s": 100.0 + 20 * batch,
        "ended_s": 110.0 + 20 * batch,
        "startup_s": 0.0,
        "compute_s": 7.0,
        "bytes_out": 40,
        "done": done,
    } | fields


def test_tasks_and_outputs_add_up_and_whole_inputs_do_not() -> None:
    work = work_of([a_call(0), a_call(1)], "lambda")
    assert work is not None
    assert (work.tasks, work.over_bytes, work.largest_bytes) == (4, 800, 300)
    assert (work.whole_bytes, work.whole_files) == (50, 1)
    assert (work.output_bytes, work.output_shards) == (80, 4)
    call = work.calls[0]
    assert (call.moving_s, call.compute_s) == (3.0, 7.0)
    assert (call.first_bytes, call.first_s) == (100, 5.0)


def test_on_lambda_a_call_is_fresh_that_had_to_start_its_environment() -> None:
    work = work_of([a_call(0, startup_s=0.5), a_call(1)], "lambda")
    assert work is not None
    assert [call.fresh for call in work.calls] == [True, False]


def test_on_a_cluster_a_call_is_fresh_that_is_its_workers_first() -> None:
    calls = [a_call(1), a_call(0), a_call(2, worker="another")]
    work = work_of(calls, "ray")
    assert work is not None
    assert [call.fresh for call in work.calls] == [True, False, True]  # in order of their start


def test_a_batch_that_was_called_again_says_nothing() -> None:
    assert work_of([a_call(0, outcome="failed"), a_call(0, call="again")], "lambda") is None
    assert work_of([a_call(0), a_call(0, call="again")], "lambda") is None


def test_a_call_that_has_not_ended_or_was_recorded_before_says_nothing() -> None:
    before = a_call(1)
    del before["done"]
    assert work_of([a_call(0), a_call(1, outcome="running")], "lambda") is None
    assert work_of([a_call(0), before], "lambda") is None
    assert work_of([], "lambda") is None


def test_of_many_calls_all_are_counted_and_a_few_kept() -> None:
    work = work_of([a_call(batch) for batch in range(1000)], "lambda")
    assert work is not None
    assert work.tasks == 2000
    assert len(work.calls) == MOST_CALLS
