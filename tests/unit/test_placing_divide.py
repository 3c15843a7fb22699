"""Tasks are divided into parts and batches: each once, in order, balanced, by their own lines."""

import itertools
import json

from hypothesis import assume, given
from hypothesis import strategies as st

from control.placing import TaskList, batches_of, divide

sizes = st.lists(st.integers(0, 10**9), max_size=60)
shares = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6)


@st.composite
def some_of(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Return the bytes of all tasks, and those that are left of them, in order."""
    every = draw(sizes)
    kept = draw(st.lists(st.booleans(), min_size=len(every), max_size=len(every)))
    return every, [task for task, keep in enumerate(kept) if keep]


def task_list(every: list[int]) -> tuple[TaskList, bytes]:
    """Return a task list, and the object in which its lines lie."""
    lines = [
        json.dumps({"task": number, "inputs": [[f"k{number}", size]]}).encode() + b"\n"
        for number, size in enumerate(every)
    ]
    starts = [sum(map(len, lines[:number])) for number in range(len(lines) + 1)]
    return TaskList(tuple(starts), tuple(every)), b"".join(lines)


@given(some_of(), shares)
def test_every_task_is_in_exactly_one_group_and_in_order(
    tasks: tuple[list[int], list[int]], wanted: list[float]
) -> None:
    every, left = tasks
    groups = divide(left, every, wanted)
    assert len(groups) == len(wanted)
    assert [task for group in groups for task in group] == left


@given(some_of(), shares)
def test_no_group_is_further_from_its_share_than_half_a_task_at_each_end(
    tasks: tuple[list[int], list[int]], wanted: list[float]
) -> None:
    every, left = tasks
    assume(left)
    weights = {task: every[task] + 1 for task in left}
    total = sum(weights.values())
    for group, share in zip(divide(left, every, wanted), wanted, strict=True):
        ideal = total * share / sum(wanted)
        has = sum(weights[task] for task in group)
        assert abs(has - ideal) <= max(weights.values()) + 1e-6 * total


@given(some_of())
def test_one_group_gets_all(tasks: tuple[list[int], list[int]]) -> None:
    every, left = tasks
    assert divide(left, every, [0.3]) == [left]


def test_equal_tasks_are_divided_in_proportion() -> None:
    groups = divide(range(10), [100] * 10, [0.7, 0.3])
    assert groups == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]]


def test_empty_inputs_are_divided_as_well() -> None:
    assert [len(group) for group in divide(range(8), [0] * 8, [1.0] * 4)] == [2, 2, 2, 2]


def test_one_huge_task_goes_where_its_middle_falls() -> None:
    assert divide(range(4), [1, 1, 10**9, 1], [0.5, 0.5]) == [[0, 1], [2, 3]]
    assert divide(range(4), [1, 1, 10**9, 1], [0.9, 0.1]) == [[0, 1, 2], [3]]


@given(some_of(), st.integers(1, 80))
def test_batches_hold_every_task_once_in_order(
    tasks: tuple[list[int], list[int]], wanted: int
) -> None:
    every, left = tasks
    list_of, content = task_list(every)
    batches = batches_of(left, list_of, wanted)
    assert [batch.index for batch in batches] == list(range(len(batches)))
    found = []
    for batch in batches:
        lines = content[batch.start_byte : batch.end_byte].splitlines()
        assert len(lines) == batch.tasks > 0
        found += [json.loads(line)["task"] for line in lines]
    assert found == left


@given(sizes, st.integers(1, 80))
def test_a_whole_step_has_no_more_batches_than_wanted(every: list[int], wanted: int) -> None:
    list_of, _ = task_list(every)
    batches = batches_of(range(len(every)), list_of, wanted)
    assert len(batches) <= min(wanted, len(every))
    if len(set(every)) == 1:
        counts = [batch.tasks for batch in batches]
        assert len(batches) == min(wanted, len(every))
        assert max(counts) - min(counts) <= 1


@given(some_of(), st.integers(1, 80))
def test_a_gap_in_what_is_left_only_splits_the_batch_that_spans_it(
    tasks: tuple[list[int], list[int]], wanted: int
) -> None:
    every, left = tasks
    list_of, _ = task_list(every)
    gaps = sum(after - before > 1 for before, after in itertools.pairwise(left))
    assert len(batches_of(left, list_of, wanted)) <= min(wanted, len(left)) + gaps


def test_many_tasks_are_cut_into_as_many_batches_as_wanted() -> None:
    list_of, _ = task_list([1000] * 2_000)
    assert {batch.tasks for batch in batches_of(range(2_000), list_of, 40)} == {50}
