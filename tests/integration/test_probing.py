"""A probe goes the way of any run: planned, placed, settled, and stopped where its budget ends."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from control.budget import spent_so_far, step_usd
from control.placing import place
from control.planning import plan_run
from control.replacing import replace
from control.settling import settle
from control.stack import Stack
from placement.account import Item
from placement.errors import UserError
from placement.plan import Plan
from placement.walltime import WallTime
from runtime.batch import Batch, read_tasks
from runtime.keys import RunKeys, StepKeys
from tests.attempts import an_attempt, put_attempt, settled
from tests.support import FakeClock

RUN = "word-count-0123456789ab"
BEGUN = 1_700_000_000.0
SHARDS = [
    [f"runs/{RUN}/steps/pieces/out/000000/{n}.txt", size] for n, size in enumerate([5, 9, 1, 7])
]
CHOSEN = [SHARDS[1], SHARDS[2], SHARDS[3]]  # the largest, the smallest, the upper median


@pytest.fixture
def probing(stack: Stack, clock: FakeClock) -> Stack:
    """Provide a stack with a planned probe of word-count: Lambda alone, three sizes."""
    clock.at_s = BEGUN
    given_probe(stack, "0.05")
    plan_run(stack, RUN)
    return stack


def given_probe(stack: Stack, budget: str, workflow: str = "word-count") -> None:
    item = {
        "run": RUN,
        "workflow": workflow,
        "inputs": {"texts": [["raw/word-count/a.txt", 2_000_000]]},
        "options": {"probe": {"budget_usd": budget, "shards": 3}},
        "started_s": BEGUN,
    }
    stack.ledger.put(f"run#{RUN}", "run", item)


def given_pieces(stack: Stack) -> StepKeys:
    stack.store.put_json(StepKeys(RUN, "pieces").output, {"shards": SHARDS, "counts": {}})
    return StepKeys(RUN, "words")


def inputs_of(stack: Stack, keys: StepKeys, attempt: int, part: int) -> list[dict[str, Any]]:
    batches = stack.store.get_json(keys.batches(attempt, part))
    return [
        task for batch in batches for task in read_tasks(stack.store, keys, Batch.from_json(batch))
    ]


def given_results(stack: Stack, keys: StepKeys, tasks: list[int], attempt: int = 1) -> None:
    entries = [
        {"task": task, "outputs": [[f"out/{task}", 1]], "counts": {"lines": 1}} for task in tasks
    ]
    stack.store.put_json(keys.result(attempt, 0, 0), entries)


def test_every_place_does_the_same_shards_each_in_a_call_of_its_own(probing: Stack) -> None:
    keys = given_pieces(probing)
    parts = place(probing, RUN, "words", 1)["parts"]
    assert [part["function"] for part in parts] == ["arn:1024", "arn:1769", "arn:7076"]
    for number in range(3):
        tasks = inputs_of(probing, keys, 1, number)
        assert [task["task"] for task in tasks] == [3 * number + n for n in range(3)]
        assert [task["inputs"] for task in tasks] == [[shard] for shard in CHOSEN]
        assert len(probing.store.get_json(keys.batches(1, number))) == 3


def test_a_step_that_reads_the_whole_upload_does_so_once_on_every_place(probing: Stack) -> None:
    place(probing, RUN, "pieces", 1)
    numbers = [
        task["task"]
        for part in range(3)
        for task in inputs_of(probing, StepKeys(RUN, "pieces"), 1, part)
    ]
    assert numbers == [0, 1, 2]


def test_what_a_failed_attempt_left_undone_is_done_again_where_it_was(probing: Stack) -> None:
    keys = given_pieces(probing)
    place(probing, RUN, "words", 1)
    given_results(probing, keys, [0, 1, 2, 4, 7, 8])
    parts = place(probing, RUN, "words", 2)["parts"]
    assert [part["function"] for part in parts] == ["arn:1769", "arn:7076"]
    assert [task["task"] for task in inputs_of(probing, keys, 2, 1)] == [3, 5]
    assert [task["task"] for task in inputs_of(probing, keys, 2, 2)] == [6]


def test_what_follows_reads_the_outputs_of_one_place(probing: Stack) -> None:
    keys = given_pieces(probing)
    place(probing, RUN, "words", 1)
    given_results(probing, keys, list(range(9)))
    settle(probing, RUN, "words", 1)
    output = probing.store.get_json(keys.output)
    assert output == {"shards": [[f"out/{n}", 1] for n in range(3)], "counts": {"lines": 3}}


def test_a_probe_leaves_out_the_mpi_step_and_releases_nothing_that_waits_for_it(
    stack: Stack,
) -> None:
    given_probe(stack, "1", "read-clustering")
    run_item = stack.ledger.get(f"run#{RUN}", "run") or {}
    inputs = {"reads": [["raw/read-clustering/a.fastq", 2_000_000]], "truth": []}
    stack.ledger.put(f"run#{RUN}", "run", run_item | {"inputs": inputs})
    assert plan_run(stack, RUN)["steps"] == ["cut", "quality", "sketch"]
    keys = StepKeys(RUN, "sketch")
    stack.store.put_json(StepKeys(RUN, "quality").output, {"shards": SHARDS, "counts": {}})
    place(stack, RUN, "sketch", 1)
    given_results(stack, keys, list(range(9)))
    settle(stack, RUN, "sketch", 1)
    assert [item["step"] for item in stack.ledger.query(f"run#{RUN}", "step#")] == [
        "cut",
        "quality",
        "sketch",
    ]


# the budget


def test_a_probe_above_its_budget_is_refused_before_any_step_is_on_record(stack: Stack) -> None:
    given_probe(stack, "0.000001")
    with pytest.raises(UserError, match=r"a budget of \$0.000001 is too small.*the least budget"):
        plan_run(stack, RUN)
    assert stack.ledger.query(f"run#{RUN}", "step#") == []
    assert stack.store.find(RunKeys(RUN).plan) is None


def spend(stack: Stack, usd: str) -> None:
    """Put a settled attempt on record that cost so much."""
    amount = Decimal(usd)
    line = Item("GB-s", Decimal(1), "GB-s", amount, amount)
    wall = WallTime(0, 0, 0, 1)
    record = settled(
        an_attempt(RUN, "pieces", queued_s=BEGUN),
        started_s=BEGUN,
        ended_s=BEGUN + 1,
        wall=wall,
        items=(line,),
    )
    put_attempt(stack, record)


def spent(stack: Stack) -> Decimal:
    item = stack.ledger.get(f"run#{RUN}", "run") or {}
    return spent_so_far(stack, item, stack.ledger.query(f"run#{RUN}"))


def test_a_step_is_placed_while_what_is_left_pays_for_it(probing: Stack) -> None:
    given_pieces(probing)
    before = spent(probing)
    spend(probing, "0.01")
    assert spent(probing) - before == Decimal("0.01")
    assert len(place(probing, RUN, "words", 1)["parts"]) == 3


def test_a_step_beside_another_one_must_fit_the_budget_with_it(probing: Stack) -> None:
    given_pieces(probing)
    plan = Plan.from_json(probing.store.get_json(RunKeys(RUN).plan))
    both = step_usd(plan, "words") + step_usd(plan, "sizes")
    left = Decimal("0.05") - spent(probing) - both
    spend(probing, str(left + Decimal("0.0001")))
    place(probing, RUN, "words", 1)
    with pytest.raises(UserError, match="what comes next is estimated at"):
        place(probing, RUN, "sizes", 1)


def test_a_step_that_no_longer_fits_the_budget_is_not_started(probing: Stack) -> None:
    keys = given_pieces(probing)
    spend(probing, "0.0499")
    with pytest.raises(UserError, match=r"the probe has spent \$0.05\d* of its budget of \$0.05"):
        place(probing, RUN, "words", 1)
    assert probing.ledger.query(f"run#{RUN}", "attempt#words") == []
    assert probing.store.find(keys.part(1, 0)) is None
    # An emulator may give the error another name: the sentence is final all the same.
    failure = {"Error": "Runtime.HandlerError", "Cause": "anything"}
    verdict = replace(probing, RUN, "words", 1, failure)
    assert verdict["verdict"] == "failed"
    assert verdict["reason"].startswith("Step words failed: the probe has spent $0.05")
    assert "was tried" not in verdict["reason"]


def test_the_shares_of_the_steps_make_the_whole_plan(probing: Stack) -> None:
    plan = Plan.from_json(probing.store.get_json(RunKeys(RUN).plan))
    apart = sum(step_usd(plan, step.step) for step in plan.steps)
    assert apart == pytest.approx(plan.usd)
