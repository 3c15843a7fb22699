"""A step is done when every task has a result, and not before."""

from typing import Any

import pytest

from control.settling import IncompleteError, merge_counts, settle
from control.stack import Stack
from runtime.keys import StepKeys

RUN, STEP = "word-count-0123456789ab", "words"
KEYS = StepKeys(RUN, STEP)


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    calls: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(
        "control.settling.release_successors",
        lambda _aws, _ledger, _run, step, successors: calls.append((step, successors)),
    )
    return calls


def given_step(stack: Stack, tasks: int, batches: list[tuple[int, list[int]]]) -> None:
    """Put a step of so many tasks on the ledger, and results as (attempt, tasks) of batches."""
    stack.ledger.put(f"run#{RUN}", "run", {"workflow": "word-count"})
    fields = {"step": STEP, "status": "running", "tasks": tasks, "placements": [], "attempt": 1}
    stack.ledger.put(f"run#{RUN}", f"step#{STEP}", fields)
    for number, (attempt, done) in enumerate(batches):
        entries = [
            {"task": t, "outputs": [[f"out/{t}-a{attempt}", 10 + t]], "counts": {"lines": t}}
            for t in done
        ]
        stack.store.put_json(KEYS.result(attempt, 0, number), entries)


def test_a_settled_step_lists_its_shards_in_the_order_of_its_tasks(
    stack: Stack, released: list[Any]
) -> None:
    given_step(stack, 4, [(1, [2, 3]), (1, [1, 0])])
    assert settle(stack, RUN, STEP, 1) == {"run": RUN, "tasks": 4}
    output = stack.store.get_json(KEYS.output)
    assert output["shards"] == [[f"out/{task}-a1", 10 + task] for task in range(4)]
    assert output["counts"] == {"lines": 6}
    item = stack.ledger.get(f"run#{RUN}", f"step#{STEP}") or {}
    assert (item["status"], item["counts"]) == ("done", {"lines": 6})
    assert released == [(STEP, ["summary"])]


def test_a_step_with_a_task_without_result_is_not_done(stack: Stack, released: list[Any]) -> None:
    given_step(stack, 3, [(1, [0, 2])])
    with pytest.raises(IncompleteError, match="1 of the 3 tasks of step words ended without"):
        settle(stack, RUN, STEP, 1)
    assert stack.store.find(KEYS.output) is None
    assert released == []
    assert (stack.ledger.get(f"run#{RUN}", f"step#{STEP}") or {})["status"] == "running"


@pytest.mark.usefixtures("released")
def test_a_missing_result_is_not_taken_for_a_wrong_input(stack: Stack) -> None:
    # Replace ends the step on UserError; a lost result is worth another platform.
    given_step(stack, 1, [])
    with pytest.raises(IncompleteError) as caught:
        settle(stack, RUN, STEP, 1)
    assert type(caught.value).__name__ != "UserError"


@pytest.mark.usefixtures("released")
def test_results_of_an_earlier_attempt_count(stack: Stack) -> None:
    given_step(stack, 3, [(1, [0, 1]), (2, [1, 2])])
    settle(stack, RUN, STEP, 2)
    shards = stack.store.get_json(KEYS.output)["shards"]
    assert [key for key, _ in shards] == ["out/0-a1", "out/1-a1", "out/2-a2"]


def test_settling_again_is_harmless(stack: Stack, released: list[Any]) -> None:
    given_step(stack, 1, [(1, [0])])
    first = settle(stack, RUN, STEP, 1)
    output = stack.store.get_json(KEYS.output)
    assert settle(stack, RUN, STEP, 1) == first
    assert stack.store.get_json(KEYS.output) == output
    assert released == [(STEP, ["summary"])] * 2


@pytest.mark.usefixtures("released")
def test_a_step_without_tasks_settles_with_no_shards(stack: Stack) -> None:
    given_step(stack, 0, [])
    assert settle(stack, RUN, STEP, 1)["tasks"] == 0
    assert stack.store.get_json(KEYS.output) == {"shards": [], "counts": {}}


def test_nothing_is_released_before_the_output_is_written(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_step(stack, 1, [(1, [0])])
    seen: list[Any] = []

    def release(*_: Any) -> None:
        item = stack.ledger.get(f"run#{RUN}", f"step#{STEP}") or {}
        seen.append((stack.store.find(KEYS.output) is not None, item["status"]))

    monkeypatch.setattr("control.settling.release_successors", release)
    settle(stack, RUN, STEP, 1)
    assert seen == [(True, "done")]


def test_counts_are_added_up_and_other_values_left_out() -> None:
    counts: list[dict[str, Any]] = [
        {"reads": 2, "mean": 0.5, "ok": True, "name": "x"},
        {"reads": 3, "extra": 1},
    ]
    assert merge_counts(counts) == {"reads": 5, "mean": 0.5, "extra": 1}
    assert merge_counts([{"name": "x", "ok": True}]) == {"name": "x", "ok": True}
    assert merge_counts([]) == {}
