"""Place writes down what an attempt is to do: tasks, parts and batches, all of them objects."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import pytest

from control.attempts import find_attempt
from control.placing import place
from control.stack import Stack
from runtime.batch import Batch, Part, read_tasks
from runtime.keys import StepKeys
from tests.support import FakeClock

RUN = "word-count-0123456789ab"
LAMBDA = {"platform": "lambda", "size": {"memory_mb": 1769, "batches": 3}, "share": 1.0}
RAY = {
    "platform": "ray",
    "size": {"instance_type": "c7i.large", "nodes": 1, "slots": 2, "batches": 6, "start": "warm"},
    "share": 1.0,
}
HPC = RAY | {"platform": "hpc"}


def given(stack: Stack, step: str, placements: list[list[dict[str, Any]]]) -> StepKeys:
    inputs = {"texts": [["raw/word-count/a b+%.txt", 30], ["raw/word-count/é.txt", 12]]}
    stack.ledger.put(f"run#{RUN}", "run", {"workflow": "word-count", "inputs": inputs})
    item = {"step": step, "status": "waiting", "placements": placements, "tasks": 1}
    stack.ledger.put(f"run#{RUN}", f"step#{step}", item)
    return StepKeys(RUN, step)


def given_shards(stack: Stack, step: str, sizes: list[int]) -> None:
    shards = [[f"runs/{RUN}/steps/{step}/out/{n:06d}.txt", size] for n, size in enumerate(sizes)]
    stack.store.put_json(StepKeys(RUN, step).output, {"shards": shards, "counts": {}})


def tasks_of(stack: Stack, keys: StepKeys, attempt: int, part: int) -> list[list[int]]:
    """Return the tasks of every batch of a part, as a runner reads them."""
    batches = stack.store.get_json(keys.batches(attempt, part))
    return [
        [task["task"] for task in read_tasks(stack.store, keys, Batch.from_json(item))]
        for item in batches
    ]


def test_a_step_that_reads_the_upload_whole_is_one_task(stack: Stack) -> None:
    keys = given(stack, "pieces", [[LAMBDA]])
    (part,) = place(stack, RUN, "pieces", 1)["parts"]
    assert part == {
        "platform": "lambda",
        "part_key": keys.part(1, 0),
        "batches_key": keys.batches(1, 0),
        "function": "arn:1769",
    }
    assert tasks_of(stack, keys, 1, 0) == [[0]]
    assert stack.store.get_json(keys.shared) == [
        ["raw/word-count/a b+%.txt", 30],
        ["raw/word-count/é.txt", 12],
    ]
    line = json.loads(stack.store.get_bytes(keys.tasks))
    assert line == {"task": 0, "inputs": []}


def test_a_map_has_one_task_per_shard_of_its_input(stack: Stack) -> None:
    keys = given(stack, "words", [[LAMBDA]])
    given_shards(stack, "pieces", [10] * 9)
    place(stack, RUN, "words", 1)
    assert tasks_of(stack, keys, 1, 0) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    whole = Batch(0, 0, len(stack.store.get_bytes(keys.tasks)), 9)
    assert [task["inputs"] for task in read_tasks(stack.store, keys, whole)] == [
        [[f"runs/{RUN}/steps/pieces/out/{number:06d}.txt", 10]] for number in range(9)
    ]
    item = stack.ledger.get(f"run#{RUN}", "step#words") or {}
    assert (item["status"], item["tasks"], item["attempt"]) == ("running", 9, 1)


def test_a_runner_reads_from_the_description_what_it_is_to_run(stack: Stack) -> None:
    keys = given(stack, "summary", [[LAMBDA]])
    given_shards(stack, "words", [5, 6])
    given_shards(stack, "sizes", [7])
    place(stack, RUN, "summary", 1)
    part = Part.from_json(stack.store.get_json(keys.part(1, 0)))
    assert (part.keys, part.attempt, part.part, part.platform) == (keys, 1, 0, "lambda")
    assert part.code.run == "workflows.word_count.summary:run"
    assert part.output_suffix == ".json"
    names = [key.split("/")[3] for key, _ in stack.store.get_json(keys.shared)]
    assert names == ["words", "words", "sizes"]  # in the order of `with`


@pytest.mark.parametrize("platform", [RAY, HPC])
def test_a_cluster_gets_a_job_name_and_a_time_limit(stack: Stack, platform: dict[str, Any]) -> None:
    keys = given(stack, "words", [[platform]])
    given_shards(stack, "pieces", [10] * 100)
    (part,) = place(stack, RUN, "words", 1)["parts"]
    assert part["job"] == f"{RUN}-words-a1-p0"
    assert 0 < part["timeout_s"] <= 7 * 86_400
    assert len(tasks_of(stack, keys, 1, 0)) == 6


def test_parts_share_the_tasks_in_proportion(stack: Stack) -> None:
    shared = [LAMBDA | {"share": 0.75}, RAY | {"share": 0.25}]
    keys = given(stack, "words", [shared])
    given_shards(stack, "pieces", [10] * 8)
    parts = place(stack, RUN, "words", 1)["parts"]
    assert [part["platform"] for part in parts] == ["lambda", "ray"]
    split = [list(chain(*tasks_of(stack, keys, 1, number))) for number in range(2)]
    assert split == [[0, 1, 2, 3, 4, 5], [6, 7]]


def test_a_part_without_tasks_is_left_out(stack: Stack) -> None:
    keys = given(stack, "words", [[LAMBDA | {"share": 0.99}, RAY | {"share": 0.01}]])
    given_shards(stack, "pieces", [10])
    parts = place(stack, RUN, "words", 1)["parts"]
    assert [part["platform"] for part in parts] == ["lambda"]
    assert stack.store.find(keys.part(1, 1)) is None


def test_no_shards_make_no_parts(stack: Stack) -> None:
    given(stack, "words", [[LAMBDA]])
    given_shards(stack, "pieces", [])
    assert place(stack, RUN, "words", 1) == {"parts": []}
    assert (stack.ledger.get(f"run#{RUN}", "step#words") or {})["tasks"] == 0


def test_another_attempt_does_only_what_is_left_on_its_own_platform(stack: Stack) -> None:
    keys = given(stack, "words", [[LAMBDA], [RAY]])
    given_shards(stack, "pieces", [10] * 5)
    place(stack, RUN, "words", 1)
    done: list[Any] = [{"task": task, "outputs": [], "counts": {}} for task in (1, 4)]
    stack.store.put_json(keys.result(1, 0, 0), done)
    (part,) = place(stack, RUN, "words", 2)["parts"]
    assert (part["platform"], part["job"]) == ("ray", f"{RUN}-words-a2-p0")
    assert list(chain(*tasks_of(stack, keys, 2, 0))) == [0, 2, 3]
    item = stack.ledger.get(f"run#{RUN}", "step#words") or {}
    assert (item["tasks"], item["attempt"]) == (5, 2)


def test_another_attempt_of_which_all_is_done_has_nothing_to_do(stack: Stack) -> None:
    keys = given(stack, "words", [[LAMBDA], [RAY]])
    given_shards(stack, "pieces", [10])
    place(stack, RUN, "words", 1)
    stack.store.put_json(keys.result(1, 0, 0), [{"task": 0, "outputs": [], "counts": {}}])
    assert place(stack, RUN, "words", 2) == {"parts": []}


def test_placing_again_writes_the_same_work(stack: Stack) -> None:
    keys = given(stack, "words", [[LAMBDA]])
    given_shards(stack, "pieces", [3, 1, 4, 1, 5])

    def written() -> list[Any]:
        description = stack.store.get_json(keys.part(1, 0))
        description.pop("queued_s")
        return [
            stack.store.get_bytes(keys.tasks),
            stack.store.get_bytes(keys.batches(1, 0)),
            description,
        ]

    first, before = place(stack, RUN, "words", 1), written()
    assert place(stack, RUN, "words", 1) == first
    assert written() == before


def test_the_answer_stays_small_however_many_tasks_there_are(stack: Stack) -> None:
    given(stack, "words", [[LAMBDA]])
    given_shards(stack, "pieces", [10] * 10_000)
    answer = place(stack, RUN, "words", 1)
    assert len(json.dumps(answer)) < 1_000
    assert (stack.ledger.get(f"run#{RUN}", "step#words") or {})["tasks"] == 10_000


def test_an_attempt_is_on_record_before_anything_of_it_can_run(
    stack: Stack, clock: FakeClock
) -> None:
    estimate = {"seconds": 3.5, "usd": "0.25"}
    keys = given(stack, "pieces", [[LAMBDA | {"estimate": estimate}]])
    books = [{"name": "prices", "date": "2026-08-22", "region": "us-east-1"}]
    stack.ledger.set(f"run#{RUN}", "step#pieces", {"books": books})
    place(stack, RUN, "pieces", 1)
    begun_s = clock.at_s
    clock.forward(7)
    place(stack, RUN, "pieces", 1)
    record = find_attempt(stack, keys, 1, 0)
    assert record is not None
    assert (record.platform, record.size, record.queued_s) == ("lambda", LAMBDA["size"], begun_s)
    assert record.to_json()["estimate"] == estimate
    assert record.to_json()["books"] == books
    assert stack.store.get_json(keys.part(1, 0))["queued_s"] == begun_s
